// Package discovery is the ADS server: who is connected, what they hold, what
// they get next. It speaks the incremental and the state-of-the-world variant
// of xDS over the same revisions.
//
// It must never compute a resource, never know Kubernetes or Istio, and never
// keep anything per stream that grows with the mesh: a stream is a few pointers
// to revisions.
package discovery
