package translate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// TestNamesThatNobodyServes: connections for the name of a server that cannot be served, here
// for want of its Secret, end; a server of a wider name, which may be somebody else's, does
// not take them.
func TestNamesThatNobodyServes(t *testing.T) {
	h := func(s string) *gatewayv1.Hostname { x := gatewayv1.Hostname(s); return &x }
	l := func(n, host, secret string) gatewayv1.Listener {
		return gatewayv1.Listener{Name: gatewayv1.SectionName(n), Port: 443, Protocol: "HTTPS", Hostname: h(host), TLS: &gatewayv1.ListenerTLSConfig{CertificateRefs: []gatewayv1.SecretObjectReference{{Name: gatewayv1.ObjectName(secret)}}}}
	}
	g := &gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"}, Spec: gatewayv1.GatewaySpec{GatewayClassName: "istio", Listeners: []gatewayv1.Listener{l("one", "a.example.com", "missing"), l("all", "*.example.com", "there")}}}
	r := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "r"}}
	sec := gatewayv1.SectionName("all")
	r.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "web", SectionName: &sec}}
	port := gatewayv1.PortNumber(80)
	r.Spec.Rules = []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{BackendObjectReference: gatewayv1.BackendObjectReference{Name: "s", Port: &port}}}}}}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "gw", Labels: map[string]string{gatewayapi.GatewayNameLabel: "web"}}}
	p.Status.PodIP = "10.0.0.9"
	w := mesh.Build([]mesh.Change{
		{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "web"}, Object: g},
		{Ref: object.Ref{Kind: object.KindHTTPRoute, Namespace: "a", Name: "r"}, Object: r},
		{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: "gw"}, Object: p},
	})
	x := w.Workload("a", "gw")
	plan := Gateway(GatewayInput{View: w.View(w.ScopeOf(&mesh.Proxy{Role: mesh.RoleRouter, Workload: x})), Workload: x, Has: func(n string) bool { return n != "kubernetes-gateway://a/missing" }})
	to := map[string]string{}
	for _, l := range plan.Listeners {
		for _, c := range l.Listener.FilterChains {
			text := protojson.Format(c)
			for _, name := range c.GetFilterChainMatch().GetServerNames() {
				to[name] = "requests"
				if strings.Contains(text, resource.BlackHoleCluster) && c.TransportSocket == nil {
					to[name] = "nowhere"
				}
			}
		}
	}
	if to["a.example.com"] != "nowhere" || to["*.example.com"] != "requests" {
		t.Errorf("names lead %v", to)
	}
}
