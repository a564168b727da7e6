package snapshot_test

import (
	"maps"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// TestRoutersKeepTheirLabels gives one of two gateway pods other labels: the
// other, with which it shared a layer, keeps what selects it, policies included.
func TestRoutersKeepTheirLabels(t *testing.T) {
	pod := func(name, ip, app string) mesh.Change {
		o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": app}}}
		o.Status.PodIP = ip
		return mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: o}
	}
	gateway := &networkingv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "g"}, Spec: networking.Gateway{
		Selector: map[string]string{"app": "web"}, Servers: []*networking.Server{{Port: &networking.Port{Number: 80, Protocol: "HTTP", Name: "http"}, Hosts: []string{"*"}}}}}
	policy := &securityv1.AuthorizationPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "nobody"}, Spec: security.AuthorizationPolicy{
		Selector: &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": "web"}}}}
	p := newPlane(t)
	p.store.Submit([]mesh.Change{pod("one", "10.0.0.1", "web"), pod("two", "10.0.0.2", "web"), {Ref: object.Ref{Kind: object.KindGateway, Namespace: "a", Name: "g"}, Object: gateway},
		{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "a", Name: "nobody"}, Object: policy}})
	p.store.Synced()
	p.settle(t, 0)
	p.enter(t, snapshot.Client{Role: snapshot.RoleRouter, Namespace: "a", Pod: "one", IP: "10.0.0.1"})
	p.enter(t, snapshot.Client{Role: snapshot.RoleRouter, Namespace: "a", Pod: "two", IP: "10.0.0.2"})
	before := content(p.views["a/two"].Current())
	if p.views["a/two"].Current().Len(snapshot.Listener) == 0 {
		t.Fatal("the gateway serves nothing to begin with")
	}
	p.store.Submit([]mesh.Change{pod("one", "10.0.0.1", "other")})
	p.settle(t, 1)
	if now := content(p.views["a/two"].Current()); !maps.Equal(now, before) {
		t.Errorf("the pod whose labels are as they were sees %v, before %v", now, before)
	}
	if n := p.views["a/one"].Current().Len(snapshot.Listener); n != 0 {
		t.Errorf("the pod that the Gateway does not select any more has %d listeners", n)
	}
}

// TestRoutersFollowAliases lets a route of a gateway lead to a Service that is another
// name of one: when the endpoints of that one change, the gateway's clusters have them.
func TestRoutersFollowAliases(t *testing.T) {
	service := func(name string, spec corev1.ServiceSpec) mesh.Change {
		return mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: name}, Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Spec: spec}}
	}
	alias := func(name, of string) mesh.Change {
		return service(name, corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: of + ".a.svc.cluster.local"})
	}
	pod := func(name, ip, app string) mesh.Change {
		o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": app}}}
		o.Status.PodIP = ip
		o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		return mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: o}
	}
	gateway := &networkingv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "g"}, Spec: networking.Gateway{
		Selector: map[string]string{"app": "gateway"}, Servers: []*networking.Server{{Port: &networking.Port{Number: 80, Protocol: "HTTP", Name: "http"}, Hosts: []string{"*"}}}}}
	rule := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "r"}, Spec: networking.VirtualService{
		Hosts: []string{"*"}, Gateways: []string{"g"}, Http: []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "outer"}}}}}}}
	p := newPlane(t)
	p.store.Submit([]mesh.Change{
		pod("gateway", "10.0.0.9", "gateway"), pod("web-1", "10.0.0.1", "web"),
		service("web", corev1.ServiceSpec{ClusterIP: "10.96.0.1", Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}), alias("inner", "web"), alias("outer", "inner"),
		{Ref: object.Ref{Kind: object.KindGateway, Namespace: "a", Name: "g"}, Object: gateway}, {Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "r"}, Object: rule},
	})
	p.store.Synced()
	p.settle(t, 0)
	client := snapshot.Client{Role: snapshot.RoleRouter, Namespace: "a", Pod: "gateway", IP: "10.0.0.9"}
	p.enter(t, client)
	before := p.views["a/gateway"].Current().Get(snapshot.Endpoint, "outbound|80||web.a.svc.cluster.local")
	p.store.Submit([]mesh.Change{pod("web-2", "10.0.0.2", "web")})
	p.settle(t, 1)
	after := p.views["a/gateway"].Current().Get(snapshot.Endpoint, "outbound|80||web.a.svc.cluster.local")
	if before == nil || after == nil || after.Same(before) {
		t.Errorf("the endpoints behind the alias are %v, as before", after)
	}
}
