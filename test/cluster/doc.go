// Package cluster starts and removes a real Kubernetes cluster for tests: its
// nodes are network namespaces of this machine with the real kubelet,
// containerd, kube-proxy and CoreDNS in them, or containers of kind where a
// container engine exists.
//
// It must never be imported by the control plane, end a process or remove a
// device that it did not make, or leave anything behind that the next start
// does not remove.
package cluster
