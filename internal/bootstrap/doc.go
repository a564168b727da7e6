// Package bootstrap writes the first configuration of a stock Envoy: who it is,
// where its control plane is and how it proves itself, and the few listeners
// that it must have before the control plane says anything.
//
// The result fits in one command line argument (envoy --config-yaml JSON) and
// may hold Kubernetes placeholders such as $(POD_NAME), which the kubelet
// replaces in a container's args; Envoy itself expands nothing. No file, shell
// or agent is needed in the container.
//
// # Ports
//
//   - 15000, loopback only: a sidecar's admin interface. A gateway's is the
//     abstract Unix socket AdminSocket. Either only tells: pages that change or
//     end the proxy are not served.
//   - 15021: GET /healthz/ready is the admin's /ready. Everything else is 404.
//   - 15020, only with probes: exactly the probe paths of Config.Probes.
//   - 15090: GET /stats/prometheus, nothing else of the admin interface.
//
// No port takes a command, since strangers reach every port of a pod. The control
// plane drains a proxy when its pod's end begins.
//
// # Later changes
//
// A changed bootstrap takes new pods. So it names everything that the control
// plane may want to switch later without them: the RTDS layer RuntimeLayer,
// internal listeners, the cluster TapCluster, and room for long regular
// expressions.
//
// The package must never read a file, the environment or the network, and never
// put a secret into the configuration: a proxy's token and its authority's
// certificates are named by path, see SDSFiles.
package bootstrap
