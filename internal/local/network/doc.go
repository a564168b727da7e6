// Package network lays the wires of a mesh on one machine: a network namespace
// per pod, all joined by a router in a namespace of its own, which also
// translates the addresses of services as kube-proxy does.
//
// Nothing here has a name in the file system and nothing touches the machine's
// own network: a namespace lives as long as this process holds it or a process
// runs in it, so even a killed program leaves nothing behind.
//
// It must never know what a pod or a Kubernetes object is.
package network
