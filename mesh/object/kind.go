package object

// Kind names an API kind that the world understands, as written in the
// object's `kind` field ("Service", "VirtualService", ...). Kinds of different
// groups that share a name carry the group: "Gateway" is
// networking.istio.io's, "gateway.networking.k8s.io/Gateway" the other one.
type Kind string

// Istio tells whether the kind is one of Istio's own API.
func (k Kind) Istio() bool {
	switch k {
	case KindVirtualService, KindDestinationRule, KindGateway, KindServiceEntry, KindWorkloadEntry, KindSidecar, KindProxyConfig,
		KindPeerAuthentication, KindRequestAuthentication, KindAuthorizationPolicy, KindTelemetry:
		return true
	}
	return false
}

// The kinds that the world reads.
const (
	KindService               Kind = "Service"
	KindPod                   Kind = "Pod"
	KindNode                  Kind = "Node"
	KindNamespace             Kind = "Namespace"
	KindEndpointSlice         Kind = "EndpointSlice"
	KindSecret                Kind = "Secret"
	KindConfigMap             Kind = "ConfigMap"
	KindVirtualService        Kind = "VirtualService"
	KindDestinationRule       Kind = "DestinationRule"
	KindGateway               Kind = "Gateway"
	KindServiceEntry          Kind = "ServiceEntry"
	KindWorkloadEntry         Kind = "WorkloadEntry"
	KindSidecar               Kind = "Sidecar"
	KindPeerAuthentication    Kind = "PeerAuthentication"
	KindRequestAuthentication Kind = "RequestAuthentication"
	KindAuthorizationPolicy   Kind = "AuthorizationPolicy"
	KindTelemetry             Kind = "Telemetry"
	KindProxyConfig           Kind = "ProxyConfig"
	KindIngress               Kind = "Ingress"
	KindIngressClass          Kind = "IngressClass"
	KindGatewayClass          Kind = "gateway.networking.k8s.io/GatewayClass"
	KindKubeGateway           Kind = "gateway.networking.k8s.io/Gateway"
	KindHTTPRoute             Kind = "gateway.networking.k8s.io/HTTPRoute"
	KindGRPCRoute             Kind = "gateway.networking.k8s.io/GRPCRoute"
	KindTLSRoute              Kind = "gateway.networking.k8s.io/TLSRoute"
	KindTCPRoute              Kind = "gateway.networking.k8s.io/TCPRoute"
	KindReferenceGrant        Kind = "gateway.networking.k8s.io/ReferenceGrant"
	KindBackendTLSPolicy      Kind = "gateway.networking.k8s.io/BackendTLSPolicy"
	KindListenerSet           Kind = "gateway.networking.k8s.io/ListenerSet"
	// KindMeshConfigFile is the file given by --mesh-config. Its object is a
	// []byte with the YAML of a MeshConfig and wins over the ConfigMap.
	KindMeshConfigFile Kind = "MeshConfigFile"
	// KindIssuer is an issuer of tokens, whose name is the object's. Its object is what came
	// of asking it for its keys.
	KindIssuer Kind = "Issuer"
	// KindWorkload is a Deployment, StatefulSet or other owner of Pods. Findings
	// name it; it is never read.
	KindWorkload Kind = "Workload"
	// KindHost is the name of a host, which Services, ServiceEntries and VirtualServices
	// declare. Findings name it; there is no such object.
	KindHost Kind = "Host"
)
