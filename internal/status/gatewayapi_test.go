package status

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	xds "github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// front is a Gateway with three listeners, of which one is served, and routes.
const front = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: ours}
spec: {controllerName: fairway-mesh.github.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: other}
spec: {controllerName: example.com/other}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: default}
spec:
  gatewayClassName: ours
  addresses: [{type: Hostname, value: ingress}]
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: bad-kind, port: 80, protocol: HTTP, hostname: kinds.example, allowedRoutes: {kinds: [{kind: TCPRoute}]}}
  - {name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: missing}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: foreign, namespace: default}
spec:
  gatewayClassName: other
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: good, namespace: default}
spec:
  parentRefs: [{name: front, sectionName: http}, {name: foreign}]
  rules: [{backendRefs: [{name: ingress, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: bad, namespace: default}
spec:
  parentRefs: [{name: front, sectionName: nowhere}]
  rules: [{backendRefs: [{name: nothing, port: 80}]}]
`

// apiObject is one object of a test, with where it is served.
type apiObject struct {
	ref    object.Ref
	at     dynamic.ResourceInterface
	object any
}

func apply(t *testing.T, client dynamic.Interface, text string) (out []*apiObject) {
	t.Helper()
	makers := map[string]func() (object.Kind, string, any){
		"GatewayClass": func() (object.Kind, string, any) {
			return object.KindGatewayClass, "gatewayclasses", &gatewayv1.GatewayClass{}
		},
		"Gateway":   func() (object.Kind, string, any) { return object.KindKubeGateway, "gateways", &gatewayv1.Gateway{} },
		"HTTPRoute": func() (object.Kind, string, any) { return object.KindHTTPRoute, "httproutes", &gatewayv1.HTTPRoute{} },
	}
	for doc := range strings.SplitSeq(text, "---") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatal(err)
		}
		kind, resource, obj := makers[u.GetKind()]()
		o := &apiObject{ref: object.Ref{Kind: kind, Namespace: u.GetNamespace(), Name: u.GetName()}, object: obj}
		o.at = client.Resource(schema.GroupVersionResource{Group: gatewayv1.GroupName, Version: "v1", Resource: resource}).Namespace(u.GetNamespace())
		made, err := o.at.Create(t.Context(), u, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(made.Object, obj); err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

// wantCondition waits for a condition ("False/Reason") at a place in a status.
func wantCondition(t *testing.T, o *apiObject, kind, want string, find func(status map[string]any) []any) *unstructured.Unstructured {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		u, err := o.at.Get(t.Context(), o.ref.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		status, _, _ := unstructured.NestedMap(u.Object, "status")
		got := "none"
		for _, c := range find(status) {
			if c, _ := c.(map[string]any); c["type"] == kind {
				got = c["status"].(string) + "/" + c["reason"].(string)
				if c["observedGeneration"] != u.GetGeneration() {
					got = "of another generation"
				}
			}
		}
		if got == want {
			return u
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: condition %s is %s, want %s: %v", o.ref, kind, got, want, status)
		}
	}
}

func top(status map[string]any) []any {
	l, _ := status["conditions"].([]any)
	return l
}

// within finds the conditions of an element of a list by a field of it.
func within(list, field, value string) func(map[string]any) []any {
	return func(status map[string]any) []any {
		l, _ := status[list].([]any)
		for _, e := range l {
			if e, _ := e.(map[string]any); e[field] == value {
				c, _ := e["conditions"].([]any)
				return c
			}
		}
		return nil
	}
}

func TestGatewayAPIStatuses(t *testing.T) {
	server := kubetest.Start(t, kube.Options{})
	client := kubetest.Dynamic(t, server)
	asks, err := discovery.NewDiscoveryClientForConfig(server.REST)
	if err != nil {
		t.Fatal(err)
	}
	objects := apply(t, client, front)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ingress"}, Spec: corev1.ServiceSpec{
		ClusterIP: "10.96.0.9", Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "ingress"}, Ports: []corev1.ServicePort{{Port: 80}}}}
	var world atomic.Pointer[mesh.World]
	build := func() {
		changes := []mesh.Change{{Ref: object.Ref{Kind: object.KindService, Namespace: "default", Name: "ingress"}, Object: service.DeepCopy()}}
		for _, o := range objects {
			changes = append(changes, mesh.Change{Ref: o.ref, Object: o.object})
		}
		world.Store(mesh.Build(changes))
	}
	build()
	w := &Writer{
		REST: server.REST, Discovery: asks, Findings: func() ([]object.Finding, bool) { return nil, true }, World: world.Load, Replica: "fairway-0",
		Deliveries: func() map[object.Ref]xds.Delivery { return nil }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	class, other, gateway, foreign, good, bad := objects[0], objects[1], objects[2], objects[3], objects[4], objects[5]
	ours := within("parents", "controllerName", gatewayapi.FairwayController)

	// The other controller tells of its parent, and nobody takes that away.
	if _, err := good.at.Patch(t.Context(), "good", types.MergePatchType, []byte(`{"status": {"parents": [{"parentRef": {"name": "foreign"}, "controllerName": "example.com/other",
		"conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}]}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	wantCondition(t, class, "Accepted", "True/Accepted", top)
	wantCondition(t, gateway, "Accepted", "True/ListenersNotValid", top)
	wantCondition(t, gateway, "Programmed", "False/AddressNotAssigned", top)
	wantCondition(t, gateway, "Programmed", "True/Programmed", within("listeners", "name", "http"))
	wantCondition(t, gateway, "ResolvedRefs", "False/InvalidRouteKinds", within("listeners", "name", "bad-kind"))
	u := wantCondition(t, gateway, "ResolvedRefs", "False/InvalidCertificateRef", within("listeners", "name", "tls"))
	listeners, _, _ := unstructured.NestedSlice(u.Object, "status", "listeners")
	if n := listeners[0].(map[string]any)["attachedRoutes"]; n != int64(1) {
		t.Errorf("listener http has %v routes, want 1", n)
	}
	wantCondition(t, good, "Accepted", "True/Accepted", ours)
	wantCondition(t, good, "ResolvedRefs", "True/ResolvedRefs", ours)
	wantCondition(t, bad, "Accepted", "False/NoMatchingParent", ours)
	wantCondition(t, bad, "ResolvedRefs", "False/BackendNotFound", ours)
	u, err = good.at.Get(t.Context(), "good", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if parents, _, _ := unstructured.NestedSlice(u.Object, "status", "parents"); len(parents) != 2 {
		t.Errorf("the route has %d parents, want its own and that of the other controller: %v", len(parents), parents)
	}

	// An address comes, and with it the Gateway is reached.
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
	build()
	w.Signal()
	u = wantCondition(t, gateway, "Programmed", "True/Programmed", top)
	if a, _, _ := unstructured.NestedSlice(u.Object, "status", "addresses"); len(a) != 1 || a[0].(map[string]any)["value"] != "192.0.2.1" {
		t.Errorf("addresses are %v", a)
	}

	// Signals without news write nothing, and others' objects are left alone.
	version := u.GetResourceVersion()
	for range 2 {
		w.Signal()
		time.Sleep(pause + pause/4)
	}
	if u, err = gateway.at.Get(t.Context(), "front", metav1.GetOptions{}); err != nil || u.GetResourceVersion() != version {
		t.Errorf("written without need: %v", err)
	}
	for _, o := range []*apiObject{other, foreign} {
		if u, err = o.at.Get(t.Context(), o.ref.Name, metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, c := range top(u.Object["status"].(map[string]any)) {
			if c.(map[string]any)["reason"] != "Pending" {
				t.Errorf("%s is another controller's, and has the condition %v", o.ref, c)
			}
		}
	}
}

// TestAncestorsOfPoliciesAreBounded: a policy is told of the Gateways that lead to its
// Service, as far as the API has room beside what other controllers wrote, which stays.
func TestAncestorsOfPoliciesAreBounded(t *testing.T) {
	m := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "default", Name: name, Generation: 2}
	}
	system := gatewayv1.WellKnownCACertificatesSystem
	ref := object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: "default", Name: "p"}
	policy := &gatewayv1.BackendTLSPolicy{ObjectMeta: m("p"), Spec: gatewayv1.BackendTLSPolicySpec{
		TargetRefs: []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{LocalPolicyTargetReference: gatewayv1.LocalPolicyTargetReference{Kind: "Service", Name: "web"}}},
		Validation: gatewayv1.BackendTLSPolicyValidation{Hostname: "web.example", WellKnownCACertificates: &system},
	}}
	port := gatewayv1.PortNumber(80)
	route := &gatewayv1.HTTPRoute{ObjectMeta: m("route"), Spec: gatewayv1.HTTPRouteSpec{Rules: []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{BackendObjectReference: gatewayv1.BackendObjectReference{Name: "web", Port: &port}}}}}}}}
	changes := []mesh.Change{{Ref: ref, Object: policy}, {Ref: routeRef, Object: route},
		{Ref: object.Ref{Kind: object.KindService, Namespace: "default", Name: "web"}, Object: &corev1.Service{ObjectMeta: m("web"), Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.9", Ports: []corev1.ServicePort{{Port: 80}}}}}}
	for i := range 20 {
		name := fmt.Sprintf("g%02d", i)
		route.Spec.ParentRefs = append(route.Spec.ParentRefs, gatewayv1.ParentReference{Name: gatewayv1.ObjectName(name)})
		changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: "default", Name: name},
			Object: &gatewayv1.Gateway{ObjectMeta: m(name), Spec: gatewayv1.GatewaySpec{GatewayClassName: "istio", Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}}}})
	}
	strange := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "another", Name: "r"}}
	strange.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "front"}}
	namespace := gatewayv1.Namespace("default")
	strange.Spec.Rules = []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{BackendObjectReference: gatewayv1.BackendObjectReference{Name: "web", Namespace: &namespace, Port: &port}}}}}}
	changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindHTTPRoute, Namespace: "another", Name: "r"}, Object: strange}, // no ReferenceGrant lets it lead there
		mesh.Change{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: "another", Name: "front"}, Object: &gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "another", Name: "front"},
			Spec: gatewayv1.GatewaySpec{GatewayClassName: "istio", Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}}}})
	foreign := map[string]any{"controllerName": "example.com/other", "ancestorRef": map[string]any{"name": "x"}, "conditions": []any{}}
	status := map[string]any{"ancestors": []any{foreign}}
	patch, err := apiChange(seen(t, 2, status), ref, mesh.Build(changes), nil, time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	all, _ := patch["ancestors"].([]any)
	if len(all) != 16 || !reflect.DeepEqual(all[0], foreign) {
		t.Fatalf("%d ancestors, the first %v, want 16 with the other controller's", len(all), all[0])
	}
	last := all[15].(map[string]any)
	for _, a := range all[1:] {
		if ns := a.(map[string]any)["ancestorRef"].(map[string]any)["namespace"]; ns != "default" {
			t.Errorf("a Gateway of namespace %v is told of, and may not lead there", ns)
		}
	}
	if name := last["ancestorRef"].(map[string]any)["name"]; name != "g14" {
		t.Errorf("the last is %v, want g14", name)
	}
	if c := last["conditions"].([]any)[0].(map[string]any); c["type"] != "Accepted" || c["status"] != "True" || c["observedGeneration"] != int64(2) {
		t.Errorf("the condition is %v, want Accepted of generation 2", c)
	}
	maps.Copy(status, patch)
	if patch, err = apiChange(seen(t, 2, status), ref, mesh.Build(changes), nil, time.Unix(2000, 0)); err != nil || patch != nil {
		t.Errorf("%v is written though it stands there: %v", patch, err)
	}
}
