// Package local is a mesh on one machine, without Kubernetes: it takes the same
// manifests, injects the proxy as the admission webhook would, runs every pod in
// a network namespace of its own (see kubelet and network), keeps Deployments,
// Services and EndpointSlices as Kubernetes' controllers would, and writes the
// resulting objects into a directory that "fairway serve --config" reads.
//
// # What it leaves behind
//
// Nothing. Namespaces, devices and rules have no name on the machine and go with
// the processes; the kernel kills the processes with this one, even after SIGKILL.
// What can stay is a directory of files; the next start of any local mesh removes
// those whose owner is gone, after ending what was recorded there.
//
// It must never be imported by the control plane, and never touch the machine's
// own network beyond listening on loopback addresses.
package local
