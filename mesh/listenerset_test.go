package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

const setsFront = `kind: Gateway
metadata: {name: front, namespace: a}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: web}]
  allowedListeners: {namespaces: FROM}
  listeners:
  - {name: own, port: 80, protocol: HTTP, hostname: own.example}
---
kind: ListenerSet
metadata: {name: near, namespace: a}
spec:
  parentRef: {name: front}
  listeners:
  - {name: own, port: 80, protocol: HTTP, hostname: own.example}
  - {name: near, port: 80, protocol: HTTP, hostname: near.example}
  - {name: tcp, port: 80, protocol: TCP}
---
kind: ListenerSet
metadata: {name: far, namespace: b}
spec:
  parentRef: {name: front, namespace: a}
  listeners:
  - {name: near, port: 80, protocol: HTTP, hostname: near.example}
  - {name: far, port: 81, protocol: HTTP, hostname: far.example}
---
kind: HTTPRoute
metadata: {name: ofgateway, namespace: a}
spec: {parentRefs: [{name: front}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
kind: HTTPRoute
metadata: {name: near, namespace: a}
spec: {parentRefs: [{kind: ListenerSet, name: near}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
kind: HTTPRoute
metadata: {name: far, namespace: b}
spec: {parentRefs: [{kind: ListenerSet, name: far, sectionName: far}, {name: front, namespace: a, sectionName: far}], rules: [{backendRefs: [{name: web, port: 80}]}]}
`

// onGateways writes what is served: each server with the objects of the routes on it.
func onGateways(w *World) string {
	var out []string
	for _, g := range w.Gateways() {
		for _, s := range g.Servers {
			line := g.Ref.String() + ": " + s.Listener
			for _, b := range s.Bound {
				line += " " + b.Host + "=" + b.VirtualService.Ref.Name
			}
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func setConditions(w *World, namespace, name string) string {
	s, _ := w.GatewayAPI().ListenerSetStatus(object.Ref{Kind: object.KindListenerSet, Namespace: namespace, Name: name})
	if s == nil {
		return "none"
	}
	out := conditions(s.Conditions)
	for _, l := range s.Listeners {
		out += "; " + string(l.Name) + " " + conditions(l.Conditions[:1])
	}
	return out
}

// TestListenerSets: a Gateway serves the listeners of the ListenerSets that it allows,
// with their routes, behind its own; older ones keep what they have.
func TestListenerSets(t *testing.T) {
	const (
		own  = "gateway.networking.k8s.io/Gateway a/front: own own.example=ofgateway"
		near = "\ngateway.networking.k8s.io/ListenerSet a/near: near near.example=near"
		far  = "gateway.networking.k8s.io/ListenerSet b/far: far far.example=far"
		both = "Accepted=True/ListenersNotValid Programmed=True/Programmed; "
		not  = "Accepted=False/NotAllowed Programmed=False/NotAllowed"
	)
	nearStatus := both + "own Accepted=False/HostnameConflict; near Accepted=True/Accepted; tcp Accepted=False/ProtocolConflict"
	for from, want := range map[string]struct{ served, near, far, route string }{
		"{from: All}":  {own + near + "\n" + far, nearStatus, both + "near Accepted=False/HostnameConflict; far Accepted=True/Accepted", "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"},
		"{from: Same}": {own + near, nearStatus, not, "Accepted=False/NoMatchingParent ResolvedRefs=True/ResolvedRefs"},
		"{from: Selector, selector: {matchLabels: {team: b}}}": {own + "\n" + far, not, "Accepted=True/Accepted Programmed=True/Programmed; near Accepted=True/Accepted; far Accepted=True/Accepted", "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"},
		"{from: None}": {own, not, not, "Accepted=False/NoMatchingParent ResolvedRefs=True/ResolvedRefs"},
		"{}":           {own, not, not, "Accepted=False/NoMatchingParent ResolvedRefs=True/ResolvedRefs"},
	} {
		served := want.served
		if strings.Contains(from, "team: b") {
			served = own + "\n" + far + "\ngateway.networking.k8s.io/ListenerSet b/far: near"
		}
		w := apiWorld(t, strings.Replace(setsFront, "FROM", from, 1))
		if got := onGateways(w); got != served {
			t.Errorf("%s serves\n%s\nwant\n%s", from, got, served)
		}
		if got := setConditions(w, "a", "near"); got != want.near {
			t.Errorf("%s: near is %s, want %s", from, got, want.near)
		}
		if got := setConditions(w, "b", "far"); got != want.far {
			t.Errorf("%s: far is %s, want %s", from, got, want.far)
		}
		parents, _, _ := w.GatewayAPI().RouteStatus(object.Ref{Kind: object.KindHTTPRoute, Namespace: "b", Name: "far"})
		if got := conditions(parents[0].Conditions); got != want.route {
			t.Errorf("%s: the route is %s, want %s", from, got, want.route)
		}
		if got := conditions(parents[1].Conditions); !strings.HasPrefix(got, "Accepted=False/NoMatchingParent") { // sections of sets are not the Gateway's
			t.Errorf("%s: the route is %s on the Gateway", from, got)
		}
	}
}

// TestListenerSetsComeAndGo: what a change of a namespace, of the Gateway or of a set
// allows or ends is served or withdrawn in the same pass.
func TestListenerSetsComeAndGo(t *testing.T) {
	b := newBuilder()
	b.apply(apiChanges(t, strings.Replace(setsFront, "FROM", "{from: Selector, selector: {matchLabels: {team: b}}}", 1)))
	w, _ := b.finish()
	served := func() bool { return strings.Contains(onGateways(w), "b/far: far") }
	change := func(ref object.Ref, o any) {
		b.apply([]Change{{Ref: ref, Object: o}})
		w, _ = b.finish()
	}
	namespace := object.Ref{Kind: object.KindNamespace, Name: "b"}
	set := object.Ref{Kind: object.KindListenerSet, Namespace: "b", Name: "far"}
	gateway := object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"}
	if !served() {
		t.Fatal("the ListenerSet of a selected namespace is not served")
	}
	change(namespace, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "b"}})
	if served() {
		t.Error("the namespace is selected no more, and its ListenerSet is served")
	}
	change(namespace, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "b", Labels: map[string]string{"team": "b"}}})
	if !served() {
		t.Error("the namespace is selected again, and its ListenerSet is not served")
	}
	change(set, nil)
	if served() {
		t.Error("the ListenerSet is gone, and is served")
	}
	o := &gatewayv1.ListenerSet{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "far"}}
	namespaceOf := gatewayv1.Namespace("a")
	o.Spec.ParentRef = gatewayv1.ParentGatewayReference{Name: "front", Namespace: &namespaceOf}
	o.Spec.Listeners = []gatewayv1.ListenerEntry{{Name: "far", Port: 82, Protocol: gatewayv1.HTTPProtocolType}}
	change(set, o)
	if !served() {
		t.Error("the ListenerSet is there again, and is not served")
	}
	change(gateway, nil)
	if got := onGateways(w); got != "" {
		t.Errorf("the Gateway is gone, and this is served: %s", got)
	}
	if w.GatewayAPI().Gateway(gateway) != nil || w.Gateway(gatewayapi.NameOf(set)) != nil {
		t.Error("the Gateway is gone, and is there")
	}
}

// TestListenerSetsThatAreNotServed: a listener that cannot be opened takes no requests from
// those that are.
func TestListenerSetsThatAreNotServed(t *testing.T) {
	w := apiWorld(t, `kind: Gateway
metadata: {name: front, namespace: a}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: web}]
  allowedListeners: {namespaces: {from: All}}
  listeners: [{name: own, port: 443, protocol: HTTPS, hostname: "*.example", tls: {certificateRefs: [{name: x}]}}]
---
kind: ListenerSet
metadata: {name: thief, namespace: b}
spec:
  parentRef: {name: front, namespace: a}
  listeners: [{name: pay, port: 443, protocol: HTTPS, hostname: pay.example, tls: {certificateRefs: [{name: x, namespace: a}]}}]
---
kind: HTTPRoute
metadata: {name: pay, namespace: a}
spec: {parentRefs: [{name: front}], hostnames: [pay.example], rules: [{backendRefs: [{name: web, port: 80}]}]}
`)
	if got, want := onGateways(w), "gateway.networking.k8s.io/Gateway a/front: own pay.example=pay"; got != want {
		t.Errorf("%s is served, want %s", got, want)
	}
}

// TestOrderOfListenerSets: the servers of a Gateway come first and those of its sets in their
// order, however old the API server says they are.
func TestOrderOfListenerSets(t *testing.T) {
	b := newBuilder()
	b.apply(apiChanges(t, strings.Replace(setsFront, "FROM", "{from: All}", 1)))
	b.finish()
	for _, name := range []string{"zz", "front", "aa"} {
		o := &gatewayv1.ListenerSet{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1, 0))}}
		o.Spec.ParentRef.Name = "front"
		host := gatewayv1.Hostname(name + ".example")
		o.Spec.Listeners = []gatewayv1.ListenerEntry{{Name: "l", Port: 80, Protocol: gatewayv1.HTTPProtocolType, Hostname: &host}}
		b.apply([]Change{{Ref: object.Ref{Kind: object.KindListenerSet, Namespace: "a", Name: name}, Object: o}})
	}
	w, _ := b.finish()
	var got []string
	for _, g := range w.View(Scope{Role: RoleRouter, Namespace: "a", Labels: "app=web"}).SelectedGateways() {
		got = append(got, g.Ref.Name)
	}
	if want := "front aa front zz near far"; strings.Join(got, " ") != want {
		t.Errorf("the order is %v, want %s", got, want)
	}
}

// TestManyListenerSets: sets beyond what a Gateway may have are not attached, and those that
// are add a bounded number of ports.
func TestManyListenerSets(t *testing.T) {
	b := newBuilder()
	b.apply(apiChanges(t, strings.Replace(setsFront, "FROM", "{from: Same}", 1)))
	for i := range 20 {
		o := &gatewayv1.ListenerSet{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprintf("s%02d", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(5000+i), 0))}}
		o.Spec.ParentRef.Name = "front"
		for j := range 64 {
			o.Spec.Listeners = append(o.Spec.Listeners, gatewayv1.ListenerEntry{Name: gatewayv1.SectionName(fmt.Sprint("l", j)), Port: gatewayv1.PortNumber(1000 + 64*i + j), Protocol: gatewayv1.HTTPProtocolType})
		}
		b.apply([]Change{{Ref: object.Ref{Kind: object.KindListenerSet, Namespace: "a", Name: o.Name}, Object: o}})
	}
	w, _ := b.finish()
	ports, sets := map[uint32]bool{}, 0
	for _, g := range w.Gateways() {
		sets++
		for _, s := range g.Servers {
			ports[s.Number] = true
		}
	}
	if sets != 1+1+15 || len(ports) != 1+100 {
		t.Errorf("%d objects have servers on %d ports", sets, len(ports))
	}
	for name, want := range map[string]string{"s00": "Accepted=True/Accepted", "s01": "Accepted=True/ListenersNotValid", "s14": "Accepted=False/ListenersNotValid", "s15": "Accepted=False/NotAllowed"} {
		if got := setConditions(w, "a", name); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %s, want %s", name, got[:min(len(got), 60)], want)
		}
	}
}
