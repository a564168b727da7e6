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
//   - 15000, loopback only: Envoy's admin interface.
//   - 15021: GET /healthz/ready is the admin's /ready; GET /drain begins a
//     graceful drain (see below). Everything else is 404.
//   - 15020, only with probes: exactly the probe paths of Config.Probes.
//   - 15090: GET /stats/prometheus, nothing else of the admin interface.
//
// # Drain
//
// Kubernetes calls the preStop hook GET :15021/drain from the node, so the path
// is open to whoever reaches the pod. It is therefore made such that a stranger
// who calls it does no harm: it posts /drain_listeners?graceful&skip_exit to
// the admin interface, which never closes a listener and never makes the proxy
// unready. From then on responses ask their clients to close the connection
// (HTTP/1: connection: close, HTTP/2: GOAWAY), and that is all; on a sidecar it
// concerns inbound listeners only (inboundonly). The answer comes after
// Config.DrainWait, so that a kubelet that waits for the hook keeps Envoy alive
// that long. To take effect at once Envoy wants the argument
// --drain-strategy immediate: see Args.
//
// The package must never read a file, the environment or the network, and never
// put a secret into the configuration: a proxy's token and its authority's
// certificates are named by path, see SDSFiles.
package bootstrap
