// Package kube runs a real etcd and kube-apiserver for tests, and builds the
// programs of Kubernetes from their Go modules, once, into a cache outside the
// tree.
//
// It must never be imported by the control plane, reach an API server that it
// did not start, or leave a process or a file behind that the next start does
// not remove.
package kube
