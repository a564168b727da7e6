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
	"github.com/fairway-mesh/fairway/snapshot"
)

// TestRoutersKeepTheirLabels gives one of two gateway pods other labels: the
// other, with which it shared a layer, keeps what selects it, policies included.
func TestRoutersKeepTheirLabels(t *testing.T) {
	pod := func(name, ip, app string) mesh.Change {
		o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": app}}}
		o.Status.PodIP = ip
		return mesh.Change{Ref: mesh.Ref{Kind: mesh.KindPod, Namespace: "a", Name: name}, Object: o}
	}
	gateway := &networkingv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "g"}, Spec: networking.Gateway{
		Selector: map[string]string{"app": "web"}, Servers: []*networking.Server{{Port: &networking.Port{Number: 80, Protocol: "HTTP", Name: "http"}, Hosts: []string{"*"}}}}}
	policy := &securityv1.AuthorizationPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "nobody"}, Spec: security.AuthorizationPolicy{
		Selector: &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": "web"}}}}
	p := newPlane(t)
	p.store.Submit([]mesh.Change{pod("one", "10.0.0.1", "web"), pod("two", "10.0.0.2", "web"), {Ref: mesh.Ref{Kind: mesh.KindGateway, Namespace: "a", Name: "g"}, Object: gateway},
		{Ref: mesh.Ref{Kind: mesh.KindAuthorizationPolicy, Namespace: "a", Name: "nobody"}, Object: policy}})
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
