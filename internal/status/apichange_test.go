package status

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

var (
	frontRef = object.Ref{Kind: object.KindKubeGateway, Namespace: "default", Name: "front"}
	routeRef = object.Ref{Kind: object.KindHTTPRoute, Namespace: "default", Name: "route"}
)

// smallWorld holds a Gateway and a route on it, both of generation 2.
func smallWorld(listener gatewayv1.SectionName) *mesh.World {
	m := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "default", Name: name, Generation: 2}
	}
	gateway := &gatewayv1.Gateway{ObjectMeta: m("front"), Spec: gatewayv1.GatewaySpec{GatewayClassName: "istio", Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}}}
	route := &gatewayv1.HTTPRoute{ObjectMeta: m("route"), Spec: gatewayv1.HTTPRouteSpec{CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{{Name: "front", SectionName: &listener}}}}}
	service := &corev1.Service{ObjectMeta: m("front-istio"), Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.9"}}
	return mesh.Build([]mesh.Change{{Ref: frontRef, Object: gateway}, {Ref: routeRef, Object: route}, {Ref: object.Ref{Kind: object.KindService, Namespace: "default", Name: "front-istio"}, Object: service}})
}

func seen(t *testing.T, generation int64, status map[string]any) *kept {
	t.Helper()
	js, err := json.Marshal(map[string]any{"metadata": map[string]any{"generation": generation}, "status": status})
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{}
	if err := json.Unmarshal(js, k); err != nil {
		t.Fatal(err)
	}
	return k
}

// TestAPIChangeSettles holds that what was written is not written again, that
// the time of a condition is that of its last change, and that what others
// wrote stays.
func TestAPIChangeSettles(t *testing.T) {
	first, later := time.Unix(1000, 0), time.Unix(2000, 0)
	for _, ref := range []object.Ref{frontRef, routeRef} {
		status := map[string]any{}
		if ref == routeRef {
			status["parents"] = []any{map[string]any{"controllerName": "example.com/other", "parentRef": map[string]any{"name": "x"}, "conditions": []any{}}}
		} else {
			status["conditions"] = []any{map[string]any{"type": "Foreign", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}}
		}
		patch, err := apiChange(seen(t, 2, status), ref, smallWorld("http"), nil, first)
		if err != nil || patch == nil {
			t.Fatalf("%s: nothing is written: %v", ref, err)
		}
		maps.Copy(status, patch)
		if ref == routeRef && len(status["parents"].([]any)) != 2 {
			t.Errorf("parents are %v, want the other controller's beside ours", status["parents"])
		}
		if ref == frontRef && len(status["conditions"].([]any)) != 3 {
			t.Errorf("conditions are %v, want the foreign one beside two of ours", status["conditions"])
		}
		if patch, err = apiChange(seen(t, 2, status), ref, smallWorld("http"), nil, later); err != nil || patch != nil {
			t.Errorf("%s: %v is written though it stands there: %v", ref, patch, err)
		}
		if patch, err = apiChange(seen(t, 3, status), ref, smallWorld("http"), nil, later); err != nil || patch != nil {
			t.Errorf("%s: %v is written of a generation that the world does not hold: %v", ref, patch, err)
		}
		if ref != routeRef {
			continue
		}
		patch, err = apiChange(seen(t, 2, status), ref, smallWorld("nowhere"), nil, later)
		if err != nil || patch == nil {
			t.Fatalf("%s: a listener that is gone changes nothing: %v", ref, err)
		}
		ours := patch["parents"].([]any)[1].(map[string]any)["conditions"].([]any)
		if c := ours[0].(map[string]any); c["status"] != "False" || c["lastTransitionTime"] != later.UTC().Format(time.RFC3339) {
			t.Errorf("the condition is %v, want it False since the later moment", c)
		}
	}
}

// TestRefusedGateway holds that a Gateway which proxies refuse is not told that
// they have it.
func TestRefusedGateway(t *testing.T) {
	patch, err := apiChange(seen(t, 2, map[string]any{}), frontRef, smallWorld("http"), []object.Finding{{Object: frontRef, Code: object.CodeRejected, Message: "no"}}, time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range patch["conditions"].([]any) {
		if c := c.(map[string]any); c["type"] == "Programmed" && (c["status"] != "False" || c["message"] != "no") {
			t.Errorf("the condition is %v, want it False", c)
		}
	}
}

// TestListenersWithoutPods: neither are its listeners, which say the same, while proxies that
// refuse something take back nothing of listeners.
func TestListenersWithoutPods(t *testing.T) {
	for code, want := range map[object.Code]string{object.CodePending: "False", object.CodeRejected: "True"} {
		patch, err := apiChange(seen(t, 2, map[string]any{}), frontRef, smallWorld("http"), []object.Finding{{Object: frontRef, Code: code, Message: "no Pod"}}, time.Unix(1000, 0))
		if err != nil {
			t.Fatal(err)
		}
		listeners := patch["listeners"].([]any)
		if len(listeners) == 0 {
			t.Fatal("no listener has a status")
		}
		for _, l := range listeners {
			for _, c := range l.(map[string]any)["conditions"].([]any) {
				if c := c.(map[string]any); c["type"] == "Programmed" && c["status"] != want {
					t.Errorf("%s: the condition of a listener is %v, want it %s", code, c, want)
				}
			}
		}
	}
}

// TestGatewayWithoutPods: a Gateway that no Pod serves is not told that it is programmed.
func TestGatewayWithoutPods(t *testing.T) {
	status := &gatewayv1.GatewayStatus{Conditions: []metav1.Condition{{Type: string(gatewayv1.GatewayConditionProgrammed), Status: metav1.ConditionTrue}}}
	notProgrammed(status.Conditions, nil)
	if c := status.Conditions[0]; c.Status != metav1.ConditionTrue {
		t.Errorf("the condition is %v though nothing is the matter", c)
	}
	notProgrammed(status.Conditions, []object.Finding{{Object: frontRef, Code: object.CodePending, Message: "no Pod"}})
	if c := status.Conditions[0]; c.Status != metav1.ConditionFalse || c.Reason != "Pending" || c.Message != "no Pod" {
		t.Errorf("the condition is %v, want it False", c)
	}
}
