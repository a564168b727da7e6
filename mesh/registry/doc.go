// Package registry reads what the mesh is made of, each object by itself: the
// services of Kubernetes and of ServiceEntries, the workloads and endpoints
// behind them, and Secrets. It must never ask what else there is in the mesh,
// nor decide who sees a service.
package registry
