// Package gatewayapi runs the conformance suite of the Kubernetes Gateway API
// against Fairway on a real cluster: the suite as its project publishes it, with
// the backends that it brings, and what a cluster needs beside them: a load
// balancer for Services, and an image of the echo application of the suite's mesh
// tests.
//
// It must never change what the suite asks for, and never be imported by the
// control plane.
package gatewayapi
