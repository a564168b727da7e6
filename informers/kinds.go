package informers

import (
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	networkingv1beta1 "istio.io/client-go/pkg/apis/networking/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// kubeObject is what every API type is.
type kubeObject interface {
	runtime.Object
	metav1.Object
}

// kind is one row of the table: how objects of a kind are found and read.
type kind struct {
	mesh     object.Kind
	group    string
	name     string // as in the object's `kind` field
	resource string // as in the API server's paths
	// versions are all that the kind has ever been served in, the best first.
	// They differ in name only: every one decodes into the same Go type.
	versions []string
	cluster  bool // it has no namespace
	// proto says that spec is a protobuf message (istio.io/api); else the kind
	// is made of plain Go structs.
	proto bool
	// make returns an empty object of the Go type that the mesh gets.
	make func() kubeObject
	// trim takes away all of an object that nobody reads, before it is kept.
	trim func(kubeObject)
}

const (
	groupDiscovery  = "discovery.k8s.io"
	groupIngress    = "networking.k8s.io"
	groupNetworking = "networking.istio.io"
	groupSecurity   = "security.istio.io"
	groupTelemetry  = "telemetry.istio.io"
	groupGateway    = "gateway.networking.k8s.io"
)

// kinds is the table. A new kind is a row here and a use in mesh.
func kinds() []*kind {
	v1 := []string{"v1"}
	all := []string{"v1", "v1beta1", "v1alpha3"}
	two := []string{"v1", "v1beta1"}
	return []*kind{
		{mesh: object.KindService, name: "Service", resource: "services", versions: v1, make: empty[corev1.Service], trim: trimmed(trimService)},
		{mesh: object.KindPod, name: "Pod", resource: "pods", versions: v1, make: empty[corev1.Pod], trim: trimmed(trimPod)},
		{mesh: object.KindNode, name: "Node", resource: "nodes", versions: v1, cluster: true, make: empty[corev1.Node], trim: trimmed(trimNode)},
		{mesh: object.KindNamespace, name: "Namespace", resource: "namespaces", versions: v1, cluster: true, make: empty[corev1.Namespace], trim: trimmed(trimNamespace)},
		{mesh: object.KindSecret, name: "Secret", resource: "secrets", versions: v1, make: empty[corev1.Secret], trim: trimmed(trimSecret)},
		{mesh: object.KindConfigMap, name: "ConfigMap", resource: "configmaps", versions: v1, make: empty[corev1.ConfigMap], trim: trimmed(trimConfigMap)},
		{mesh: object.KindEndpointSlice, group: groupDiscovery, name: "EndpointSlice", resource: "endpointslices", versions: two, make: empty[discoveryv1.EndpointSlice], trim: trimmed(trimEndpointSlice)},

		{mesh: object.KindIngress, group: groupIngress, name: "Ingress", resource: "ingresses", versions: v1, make: empty[netv1.Ingress], trim: trimmed(trimIngress)},
		{mesh: object.KindIngressClass, group: groupIngress, name: "IngressClass", resource: "ingressclasses", versions: v1, cluster: true, make: empty[netv1.IngressClass], trim: trimmed(trimIngressClass)},

		{mesh: object.KindVirtualService, group: groupNetworking, name: "VirtualService", resource: "virtualservices", versions: all, proto: true, make: empty[networkingv1.VirtualService], trim: trimmed(trimVirtualService)},
		{mesh: object.KindDestinationRule, group: groupNetworking, name: "DestinationRule", resource: "destinationrules", versions: all, proto: true, make: empty[networkingv1.DestinationRule], trim: trimmed(trimDestinationRule)},
		{mesh: object.KindGateway, group: groupNetworking, name: "Gateway", resource: "gateways", versions: all, proto: true, make: empty[networkingv1.Gateway], trim: trimmed(trimGateway)},
		{mesh: object.KindServiceEntry, group: groupNetworking, name: "ServiceEntry", resource: "serviceentries", versions: all, proto: true, make: empty[networkingv1.ServiceEntry], trim: trimmed(trimServiceEntry)},
		{mesh: object.KindWorkloadEntry, group: groupNetworking, name: "WorkloadEntry", resource: "workloadentries", versions: all, proto: true, make: empty[networkingv1.WorkloadEntry], trim: trimmed(trimWorkloadEntry)},
		{mesh: object.KindSidecar, group: groupNetworking, name: "Sidecar", resource: "sidecars", versions: all, proto: true, make: empty[networkingv1.Sidecar], trim: trimmed(trimSidecar)},
		{mesh: object.KindProxyConfig, group: groupNetworking, name: "ProxyConfig", resource: "proxyconfigs", versions: []string{"v1beta1"}, proto: true, make: empty[networkingv1beta1.ProxyConfig], trim: trimmed(trimProxyConfig)},
		{mesh: object.KindPeerAuthentication, group: groupSecurity, name: "PeerAuthentication", resource: "peerauthentications", versions: two, proto: true, make: empty[securityv1.PeerAuthentication], trim: trimmed(trimPeerAuthentication)},
		{mesh: object.KindRequestAuthentication, group: groupSecurity, name: "RequestAuthentication", resource: "requestauthentications", versions: two, proto: true, make: empty[securityv1.RequestAuthentication], trim: trimmed(trimRequestAuthentication)},
		{mesh: object.KindAuthorizationPolicy, group: groupSecurity, name: "AuthorizationPolicy", resource: "authorizationpolicies", versions: two, proto: true, make: empty[securityv1.AuthorizationPolicy], trim: trimmed(trimAuthorizationPolicy)},
		{mesh: object.KindTelemetry, group: groupTelemetry, name: "Telemetry", resource: "telemetries", versions: []string{"v1", "v1alpha1"}, proto: true, make: empty[telemetryv1.Telemetry], trim: trimmed(trimTelemetry)},

		{mesh: object.KindGatewayClass, group: groupGateway, name: "GatewayClass", resource: "gatewayclasses", versions: []string{"v1", "v1beta1", "v1alpha2"}, cluster: true, make: empty[gatewayv1.GatewayClass], trim: trimmed(trimGatewayClass)},
		{mesh: object.KindKubeGateway, group: groupGateway, name: "Gateway", resource: "gateways", versions: []string{"v1", "v1beta1", "v1alpha2"}, make: empty[gatewayv1.Gateway], trim: trimmed(trimKubeGateway)},
		{mesh: object.KindHTTPRoute, group: groupGateway, name: "HTTPRoute", resource: "httproutes", versions: []string{"v1", "v1beta1", "v1alpha2"}, make: empty[gatewayv1.HTTPRoute], trim: trimmed(trimHTTPRoute)},
		{mesh: object.KindGRPCRoute, group: groupGateway, name: "GRPCRoute", resource: "grpcroutes", versions: []string{"v1", "v1alpha2"}, make: empty[gatewayv1.GRPCRoute], trim: trimmed(trimGRPCRoute)},
		{mesh: object.KindTLSRoute, group: groupGateway, name: "TLSRoute", resource: "tlsroutes", versions: []string{"v1", "v1alpha3", "v1alpha2"}, make: empty[gatewayv1.TLSRoute], trim: trimmed(trimTLSRoute)},
		{mesh: object.KindTCPRoute, group: groupGateway, name: "TCPRoute", resource: "tcproutes", versions: []string{"v1", "v1alpha2"}, make: empty[gatewayv1.TCPRoute], trim: trimmed(trimTCPRoute)},
		{mesh: object.KindListenerSet, group: groupGateway, name: "ListenerSet", resource: "listenersets", versions: []string{"v1"}, make: empty[gatewayv1.ListenerSet], trim: trimmed(trimListenerSet)},
		{mesh: object.KindReferenceGrant, group: groupGateway, name: "ReferenceGrant", resource: "referencegrants", versions: []string{"v1", "v1beta1", "v1alpha2"}, make: empty[gatewayv1.ReferenceGrant], trim: trimmed(trimReferenceGrant)},
		{mesh: object.KindBackendTLSPolicy, group: groupGateway, name: "BackendTLSPolicy", resource: "backendtlspolicies", versions: []string{"v1", "v1alpha3"}, make: empty[gatewayv1.BackendTLSPolicy], trim: trimmed(trimBackendTLSPolicy)},
	}
}

// empty makes an object of the API type T.
func empty[T any, P interface {
	*T
	kubeObject
}]() kubeObject {
	return P(new(T))
}

// trimmed is a trim function of one type as one of any object; what holds for
// the metadata of every kind is done here.
func trimmed[T kubeObject](trim func(T)) func(kubeObject) {
	return func(o kubeObject) {
		trimMeta(o)
		trim(o.(T))
	}
}

// groupKind names the kind as Kubernetes does, without a version.
func (k *kind) groupKind() schema.GroupKind { return schema.GroupKind{Group: k.group, Kind: k.name} }

// ref names an object of the kind.
func (k *kind) ref(o metav1.Object) object.Ref {
	r := object.Ref{Kind: k.mesh, Namespace: o.GetNamespace(), Name: o.GetName()}
	if k.cluster {
		r.Namespace = ""
	}
	return r
}
