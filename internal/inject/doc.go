// Package inject adds the proxy to pods: the init container that captures their
// traffic and a stock Envoy, configured by its arguments. One function, Inject,
// stands behind the admission webhook, which hands it pods, and behind "fairway
// inject", which hands it the pod templates found in manifests (Documents).
//
// Manifests keep everything else as it is: what is added is put between the
// lines of the user's text. Documents that hold no pod, or whose pod is left
// alone, come out byte for byte.
//
// # Where the proxy stands
//
// A plain sidecar is the first container, so that it starts first; the init
// container is the last one, since nothing could carry the traffic of init
// containers after it. Its preStop hook (see internal/bootstrap, Drain) keeps it
// alive for a while after the application was told to end. A native sidecar (an
// init container that restarts always) runs before the application's own init
// containers and ends after the application; it is chosen by Params, by
// holdApplicationUntilProxyStarts, which nothing else can keep without an agent
// in the container, and for pods that are meant to complete.
//
// # Probes
//
// The kubelet speaks plaintext and knows no mesh certificate: its probes would
// fail under STRICT mutual TLS, and a captured TCP connection is accepted by the
// proxy whether or not the application listens. So httpGet, tcpSocket and grpc
// probes of captured ports, and httpGet hooks, become httpGet probes of port
// 15020 of the proxy, path /app-health/CONTAINER/PROBE, which is not captured.
// Each such path is one route of the bootstrap to one path of the application;
// for tcpSocket and grpc Envoy checks the application itself, and the path
// answers with the last result. Nothing but those paths is opened. Probes by
// exec, of another host, and of ports that are not captured stay. The answer of
// a redirect counts as success, and is not followed.
//
// The package must never inject into a pod that uses the node's network, never
// inject twice, and never read a cluster.
package inject
