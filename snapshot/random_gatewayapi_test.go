package snapshot_test

import (
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// gatewayAPIKinds are those that randomGatewayAPI makes.
var gatewayAPIKinds = []object.Kind{object.KindGatewayClass, object.KindKubeGateway, object.KindKubeGateway, object.KindHTTPRoute, object.KindHTTPRoute, object.KindHTTPRoute, object.KindGRPCRoute,
	object.KindTLSRoute, object.KindTCPRoute, object.KindReferenceGrant, object.KindBackendTLSPolicy, object.KindListenerSet, object.KindNamespace}

func ptr[T any](v T) *T { return &v }

// randomGatewayAPI makes an object of the Gateway API, or a namespace whose
// labels listeners ask for.
func randomGatewayAPI(r *rand.Rand, kind object.Kind, m metav1.ObjectMeta) any {
	switch kind {
	case object.KindNamespace:
		m.Labels = map[string]string{"team": pick(r, "x", "y")}
		return &corev1.Namespace{ObjectMeta: m}
	case object.KindGatewayClass:
		o := &gatewayv1.GatewayClass{ObjectMeta: m}
		o.Spec.ControllerName = pick[gatewayv1.GatewayController](r, gatewayapi.IstioController, gatewayapi.FairwayController, "example.com/other")
		return o
	case object.KindKubeGateway:
		return randomGateway(r, m)
	case object.KindHTTPRoute:
		o := &gatewayv1.HTTPRoute{ObjectMeta: m}
		o.Spec.CommonRouteSpec, o.Spec.Hostnames = randomParents(r), randomHostnames(r)
		for range 1 + r.IntN(2) {
			rule := gatewayv1.HTTPRouteRule{}
			for range r.IntN(3) {
				rule.Matches = append(rule.Matches, gatewayv1.HTTPRouteMatch{Path: &gatewayv1.HTTPPathMatch{Type: ptr(pick(r, gatewayv1.PathMatchExact, gatewayv1.PathMatchPathPrefix)), Value: ptr(pick(r, "/", "/a", "/a/b"))}})
			}
			for range r.IntN(3) {
				rule.BackendRefs = append(rule.BackendRefs, gatewayv1.HTTPBackendRef{BackendRef: randomBackend(r)})
			}
			o.Spec.Rules = append(o.Spec.Rules, rule)
		}
		return o
	case object.KindGRPCRoute:
		o := &gatewayv1.GRPCRoute{ObjectMeta: m}
		o.Spec.CommonRouteSpec, o.Spec.Hostnames = randomParents(r), randomHostnames(r)
		o.Spec.Rules = []gatewayv1.GRPCRouteRule{{
			Matches:     []gatewayv1.GRPCRouteMatch{{Method: &gatewayv1.GRPCMethodMatch{Service: ptr(pick(r, "s.A", "s.B"))}}},
			BackendRefs: []gatewayv1.GRPCBackendRef{{BackendRef: randomBackend(r)}},
		}}
		return o
	case object.KindTLSRoute:
		o := &gatewayv1.TLSRoute{ObjectMeta: m}
		o.Spec.CommonRouteSpec, o.Spec.Hostnames = randomParents(r), randomHostnames(r)
		o.Spec.Rules = []gatewayv1.TLSRouteRule{{BackendRefs: []gatewayv1.BackendRef{randomBackend(r)}}}
		return o
	case object.KindTCPRoute:
		o := &gatewayv1.TCPRoute{ObjectMeta: m}
		o.Spec.CommonRouteSpec = randomParents(r)
		o.Spec.Rules = []gatewayv1.TCPRouteRule{{BackendRefs: []gatewayv1.BackendRef{randomBackend(r)}}}
		return o
	case object.KindBackendTLSPolicy:
		o := &gatewayv1.BackendTLSPolicy{ObjectMeta: m}
		o.Spec.TargetRefs = []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{LocalPolicyTargetReference: gatewayv1.LocalPolicyTargetReference{Kind: "Service", Name: randomBackend(r).Name}}}
		o.Spec.Validation.Hostname = pick[gatewayv1.PreciseHostname](r, "a.example", "b.example", "")
		o.Spec.Validation.WellKnownCACertificates = ptr(pick(r, gatewayv1.WellKnownCACertificatesSystem, "x/y"))
		return o
	case object.KindListenerSet:
		o := &gatewayv1.ListenerSet{ObjectMeta: m}
		o.Spec.ParentRef = gatewayv1.ParentGatewayReference{Name: gatewayv1.ObjectName(pick(r, names...)), Namespace: ptr(gatewayv1.Namespace(pick(r, "a", "a", "b")))}
		for _, l := range randomGateway(r, m).Spec.Listeners {
			o.Spec.Listeners = append(o.Spec.Listeners, gatewayv1.ListenerEntry(l))
		}
		return o
	case object.KindReferenceGrant:
		o := &gatewayv1.ReferenceGrant{ObjectMeta: m}
		for _, kind := range []gatewayv1.Kind{"HTTPRoute", "TCPRoute"} {
			o.Spec.From = append(o.Spec.From, gatewayv1.ReferenceGrantFrom{Group: gatewayv1.GroupName, Kind: kind, Namespace: gatewayv1.Namespace(pick(r, namespaces...))})
		}
		o.Spec.To = []gatewayv1.ReferenceGrantTo{{Kind: "Service"}}
		return o
	}
	return nil
}

func randomGateway(r *rand.Rand, m metav1.ObjectMeta) *gatewayv1.Gateway {
	o := &gatewayv1.Gateway{ObjectMeta: m}
	o.Spec.GatewayClassName = pick[gatewayv1.ObjectName](r, "istio", "web")
	for _, name := range []gatewayv1.SectionName{"one", "two"} {
		l := gatewayv1.Listener{Name: name, Port: pick[int32](r, 80, 8080, 9000), Protocol: pick(r, gatewayv1.HTTPProtocolType, gatewayv1.HTTPProtocolType, gatewayv1.TCPProtocolType, gatewayv1.TLSProtocolType)}
		if h := randomHostnames(r); len(h) > 0 {
			l.Hostname = &h[0]
		}
		if l.Protocol == gatewayv1.TLSProtocolType {
			l.TLS = &gatewayv1.ListenerTLSConfig{Mode: ptr(gatewayv1.TLSModePassthrough)}
		}
		namespaces := &gatewayv1.RouteNamespaces{From: ptr(pick(r, gatewayv1.NamespacesFromAll, gatewayv1.NamespacesFromSame, gatewayv1.NamespacesFromSelector))}
		namespaces.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "x"}}
		l.AllowedRoutes = &gatewayv1.AllowedRoutes{Namespaces: namespaces}
		o.Spec.Listeners = append(o.Spec.Listeners, l)
	}
	if r.IntN(2) == 0 {
		from := pick(r, gatewayv1.NamespacesFromAll, gatewayv1.NamespacesFromSame, gatewayv1.NamespacesFromSelector)
		o.Spec.AllowedListeners = &gatewayv1.AllowedListeners{Namespaces: &gatewayv1.ListenerNamespaces{From: &from, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "x"}}}}
	}
	if r.IntN(3) == 0 {
		o.Spec.Addresses = []gatewayv1.GatewaySpecAddress{{Type: ptr(gatewayv1.HostnameAddressType), Value: pick(r, "web", "web.a.svc.cluster.local")}}
	}
	return o
}

func randomParents(r *rand.Rand) (out gatewayv1.CommonRouteSpec) {
	for range 1 + r.IntN(2) {
		p := gatewayv1.ParentReference{Name: gatewayv1.ObjectName(pick(r, names...)), Namespace: ptr(gatewayv1.Namespace(pick(r, "a", "a", "b")))}
		if r.IntN(3) == 0 {
			p.Kind = ptr(gatewayv1.Kind("ListenerSet"))
		} else if r.IntN(3) == 0 {
			p.Group, p.Kind = ptr(gatewayv1.Group("")), ptr(gatewayv1.Kind("Service"))
			if r.IntN(2) == 0 {
				p.Port = ptr(pick[int32](r, 80, 81))
			}
		} else if r.IntN(3) == 0 {
			p.SectionName = ptr(pick[gatewayv1.SectionName](r, "one", "two"))
		}
		out.ParentRefs = append(out.ParentRefs, p)
	}
	return out
}

func randomHostnames(r *rand.Rand) []gatewayv1.Hostname {
	return pick(r, nil, []gatewayv1.Hostname{"x.example.com"}, []gatewayv1.Hostname{"*.example.com"}, []gatewayv1.Hostname{"y.example.com", "x.example.com"})
}

func randomBackend(r *rand.Rand) gatewayv1.BackendRef {
	b := gatewayv1.BackendRef{Weight: ptr(pick[int32](r, 0, 1, 3))}
	b.Name, b.Port = gatewayv1.ObjectName(pick(r, names...)), ptr(pick[int32](r, 80, 81))
	if r.IntN(3) == 0 {
		b.Namespace = ptr(gatewayv1.Namespace(pick(r, namespaces...)))
	}
	return b
}
