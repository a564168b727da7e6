package informers

import (
	"maps"
	"slices"
	"strings"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	networkingv1beta1 "istio.io/client-go/pkg/apis/networking/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
)

// trimMeta keeps of the metadata what says who an object is, how old, and what
// people asked for by labels and annotations.
func trimMeta(o kubeObject) {
	o.SetManagedFields(nil)
	o.SetFinalizers(nil)
	o.SetSelfLink("")
	o.SetGenerateName("")
	o.SetResourceVersion("")
	o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	o.SetDeletionGracePeriodSeconds(nil)
	if a := o.GetAnnotations(); len(a) > 0 {
		maps.DeleteFunc(a, func(key, _ string) bool { return !readAnnotation(key) })
		if len(a) == 0 {
			a = nil
		}
		o.SetAnnotations(a)
	}
}

// readAnnotation tells whether the mesh may act upon an annotation: those of
// Istio and of Fairway. What the injector notes for itself is not among them.
func readAnnotation(key string) bool {
	domain, _, _ := strings.Cut(key, "/")
	return key == gatewayapi.IngressClassAnnotation || key != "sidecar.istio.io/status" &&
		(domain == "istio.io" || strings.HasSuffix(domain, ".istio.io") || domain == "fairway" || strings.HasPrefix(domain, "fairway."))
}

func trimService(o *corev1.Service) {
	o.OwnerReferences = nil
	o.Status = corev1.ServiceStatus{LoadBalancer: o.Status.LoadBalancer}
	o.Spec = corev1.ServiceSpec{
		Type: o.Spec.Type, Selector: o.Spec.Selector, Ports: o.Spec.Ports, ClusterIP: o.Spec.ClusterIP, ClusterIPs: o.Spec.ClusterIPs,
		ExternalIPs: o.Spec.ExternalIPs, ExternalName: o.Spec.ExternalName, PublishNotReadyAddresses: o.Spec.PublishNotReadyAddresses,
		InternalTrafficPolicy: o.Spec.InternalTrafficPolicy, TrafficDistribution: o.Spec.TrafficDistribution,
		SessionAffinity: o.Spec.SessionAffinity,
	}
}

func trimPod(o *corev1.Pod) {
	for i, r := range o.OwnerReferences {
		o.OwnerReferences[i] = metav1.OwnerReference{Kind: r.Kind, Name: r.Name, Controller: r.Controller}
	}
	o.Spec = corev1.PodSpec{
		NodeName: o.Spec.NodeName, ServiceAccountName: o.Spec.ServiceAccountName, HostNetwork: o.Spec.HostNetwork,
		Hostname: o.Spec.Hostname, Subdomain: o.Spec.Subdomain,
		Containers: trimContainers(o.Spec.Containers, o.Spec.InitContainers),
	}
	status := corev1.PodStatus{Phase: o.Status.Phase, PodIP: o.Status.PodIP, PodIPs: o.Status.PodIPs}
	for _, c := range o.Status.Conditions {
		if c.Type == corev1.PodReady {
			status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	o.Status = status
}

// trimContainers keeps the ports of all containers, as of one: a container is
// half a kilobyte even when it is empty, and nobody asks whose port it is.
func trimContainers(lists ...[]corev1.Container) []corev1.Container {
	var ports []corev1.ContainerPort
	for _, list := range lists {
		for _, c := range list {
			ports = append(ports, c.Ports...)
		}
	}
	if len(ports) == 0 {
		return nil
	}
	return []corev1.Container{{Ports: slices.Clip(ports)}}
}

func trimNode(o *corev1.Node) {
	o.OwnerReferences, o.Annotations, o.Spec = nil, nil, corev1.NodeSpec{}
	var addresses []corev1.NodeAddress
	for _, a := range o.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			addresses = append(addresses, a)
		}
	}
	o.Status = corev1.NodeStatus{Addresses: addresses}
}

func trimNamespace(o *corev1.Namespace) {
	o.OwnerReferences, o.Spec, o.Status = nil, corev1.NamespaceSpec{}, corev1.NamespaceStatus{Phase: o.Status.Phase}
}

// trimSecret changes the metadata only. What is asked for by name is small, and any key may be named.
func trimSecret(o *corev1.Secret) {
	o.OwnerReferences, o.Labels, o.Annotations = nil, nil, nil
	for k, v := range o.StringData { // only in files: the API server folds it into data
		if o.Data == nil {
			o.Data = map[string][]byte{}
		}
		o.Data[k] = []byte(v)
	}
	o.StringData = nil
}

func trimConfigMap(o *corev1.ConfigMap) { o.OwnerReferences, o.Annotations = nil, nil }

func trimEndpointSlice(o *discoveryv1.EndpointSlice) {
	o.OwnerReferences, o.Annotations = nil, nil
	for i := range o.Endpoints {
		e := &o.Endpoints[i]
		e.DeprecatedTopology = nil
		if t := e.TargetRef; t != nil {
			e.TargetRef = &corev1.ObjectReference{Kind: t.Kind, Namespace: t.Namespace, Name: t.Name}
		}
	}
}

func trimIngress(o *netv1.Ingress)           { o.OwnerReferences, o.Status = nil, netv1.IngressStatus{} }
func trimIngressClass(o *netv1.IngressClass) { o.OwnerReferences, o.Spec.Parameters = nil, nil }

func trimVirtualService(o *networkingv1.VirtualService)   { o.OwnerReferences = nil; o.Status.Reset() }
func trimDestinationRule(o *networkingv1.DestinationRule) { o.OwnerReferences = nil; o.Status.Reset() }
func trimGateway(o *networkingv1.Gateway)                 { o.OwnerReferences = nil; o.Status.Reset() }
func trimWorkloadEntry(o *networkingv1.WorkloadEntry)     { o.OwnerReferences = nil; o.Status.Reset() }
func trimSidecar(o *networkingv1.Sidecar)                 { o.OwnerReferences = nil; o.Status.Reset() }
func trimProxyConfig(o *networkingv1beta1.ProxyConfig)    { o.OwnerReferences = nil; o.Status.Reset() }

// trimServiceEntry leaves the status: addresses that were allocated stand there.
func trimServiceEntry(o *networkingv1.ServiceEntry) {
	o.OwnerReferences, o.Status.Conditions, o.Status.ValidationMessages = nil, nil, nil
}

func trimPeerAuthentication(o *securityv1.PeerAuthentication) {
	o.OwnerReferences = nil
	o.Status.Reset()
}

func trimRequestAuthentication(o *securityv1.RequestAuthentication) {
	o.OwnerReferences = nil
	o.Status.Reset()
}

func trimAuthorizationPolicy(o *securityv1.AuthorizationPolicy) {
	o.OwnerReferences = nil
	o.Status.Reset()
}

func trimTelemetry(o *telemetryv1.Telemetry) { o.OwnerReferences = nil; o.Status.Reset() }

// The writer of statuses reads them from the API server; here they would only
// come back as changes that change nothing.

func trimGatewayClass(o *gatewayv1.GatewayClass) {
	o.OwnerReferences, o.Status = nil, gatewayv1.GatewayClassStatus{}
}
func trimKubeGateway(o *gatewayv1.Gateway) {
	o.OwnerReferences, o.Status = nil, gatewayv1.GatewayStatus{}
}
func trimHTTPRoute(o *gatewayv1.HTTPRoute) {
	o.OwnerReferences, o.Status = nil, gatewayv1.HTTPRouteStatus{}
}
func trimGRPCRoute(o *gatewayv1.GRPCRoute) {
	o.OwnerReferences, o.Status = nil, gatewayv1.GRPCRouteStatus{}
}
func trimTLSRoute(o *gatewayv1.TLSRoute) {
	o.OwnerReferences, o.Status = nil, gatewayv1.TLSRouteStatus{}
}
func trimTCPRoute(o *gatewayv1.TCPRoute) {
	o.OwnerReferences, o.Status = nil, gatewayv1.TCPRouteStatus{}
}
func trimBackendTLSPolicy(o *gatewayv1.BackendTLSPolicy) {
	o.OwnerReferences, o.Status = nil, gatewayv1.PolicyStatus{}
}
func trimListenerSet(o *gatewayv1.ListenerSet) {
	o.OwnerReferences, o.Status = nil, gatewayv1.ListenerSetStatus{}
}
func trimReferenceGrant(o *gatewayv1.ReferenceGrant) { o.OwnerReferences = nil }
