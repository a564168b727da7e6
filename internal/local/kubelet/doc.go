// Package kubelet runs pods on this machine: it gives a pod its network
// namespace, runs its init containers and then its containers as processes,
// probes them, restarts them, ends them gracefully, and keeps the pod's status
// as Kubernetes' kubelet would. Container images are not pulled: an image stands
// for a program that is installed here (see Machine.Programs).
//
// It must never decide which pods exist, and never read the API: whoever calls it
// hands over whole pods and receives their status.
package kubelet
