// Package nameserver is the DNS server of a local mesh: it answers for services
// and pods as a Kubernetes cluster's does, by the specification "Kubernetes
// DNS-Based Service Discovery", over UDP and TCP, and for a fixed list of names
// outside the mesh.
//
// It must never ask another server: a test that passes must pass without a network.
package nameserver
