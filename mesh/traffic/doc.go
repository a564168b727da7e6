// Package traffic reads, checks and merges the rules of Istio's traffic
// management, each by itself: VirtualServices with their delegates,
// DestinationRules, Gateways and Sidecars. It must never ask what else there is
// in the mesh, nor change the object that it reads.
package traffic
