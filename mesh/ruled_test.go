package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ruleFor is a VirtualService of the given age with so many matches.
func ruleFor(namespace, name string, age time.Duration, matches int, hosts ...string) Change {
	o := manyRules(0, matches)
	o.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1_000_000, 0).Add(-age))}
	o.Spec.Hosts = hosts
	return Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: namespace, Name: name}, Object: o}
}

// entriesIn is a ServiceEntry of a namespace with hosts "hN.NAME.example".
func entriesIn(namespace, name string, hosts, ports int) Change {
	c := entryOf(name, 0, hosts, 0, ports)
	o := c.Object.(*networkingv1.ServiceEntry)
	c.Ref.Namespace, o.Namespace = namespace, namespace
	for i, h := range o.Spec.Hosts {
		o.Spec.Hosts[i] = strings.TrimPrefix(strings.TrimSuffix(h, ".evil.example")+"."+name+".example", name+"-")
	}
	return c
}

func rulesLeftOut(w *World) map[object.Ref]object.Finding {
	out := map[object.Ref]object.Finding{}
	for f := range w.Findings() {
		if f.Field == ruledField {
			out[f.Object] = f
		}
	}
	return out
}

// TestRulesOfManyHostsAreBounded: a match is a route at every port of every host that its
// rules are for. The newest rules of a namespace lose theirs, in whatever order objects
// come, and get them back when there is room.
func TestRulesOfManyHostsAreBounded(t *testing.T) {
	hosts := entriesIn("evil", "e", 250, 8) // at 2,000 ports
	old, newer := ruleFor("evil", "a", 2*time.Hour, 5, "h0.e.example"), ruleFor("evil", "b", time.Hour, 101, "*.e.example")
	for _, order := range [][]Change{{hosts, old, newer}, {newer, old, hosts}, {old, hosts, newer}} {
		b := newBuilder()
		var w *World
		for _, c := range order {
			b.apply([]Change{c})
			w, _ = b.finish()
		}
		rule := func(host string) string {
			vs, _ := w.View(Scope{Role: RoleSidecar, Namespace: "evil"}).Route(host)
			if vs == nil {
				return ""
			}
			return vs.Ref.Name
		}
		if got := []string{rule("h0.e.example"), rule("h1.e.example"), rule("x.e.example")}; !slices.Equal(got, []string{"a", "", "b"}) {
			t.Errorf("rules are %q, want the old one, none, and the newer one where there is no service", got)
		}
		if out := rulesLeftOut(w); len(out) != 1 || out[newer.Ref].Winner != old.Ref || out[newer.Ref].Code != object.CodeInvalid {
			t.Errorf("found %v", out)
		}
		b.apply([]Change{entriesIn("evil", "e", 20, 8)})
		w, dirty := b.finish()
		if vs, _ := w.View(Scope{Role: RoleSidecar}).Route("h1.e.example"); vs == nil || len(rulesLeftOut(w)) != 0 {
			t.Errorf("with fewer hosts the rules are still left out: %v", rulesLeftOut(w))
		}
		if dirty.Hosts["h1.e.example"] == TouchNone {
			t.Error("a host whose rules came back is not made anew")
		}
	}
	refused := false
	for _, f := range Build([]Change{hosts}).CheckReferences(t.Context(), newer.Ref, newer.Object) {
		refused = refused || f.Field == ruledField && f.Code == object.CodeInvalid
	}
	if !refused {
		t.Error("rules that are too many by themselves are not refused beside their hosts")
	}
}

// TestHostsOfOthersTakeNoRules: who makes many hosts below the wildcard of another's rules
// has these left out for his hosts alone.
func TestHostsOfOthersTakeNoRules(t *testing.T) {
	own, honest, evil := entriesIn("shop", "own.e", 10, 2), entriesIn("bank", "honest.e", 10, 2), entriesIn("evil", "evil.e", 250, 8)
	rules := ruleFor("shop", "r", 0, 101, "*.e.example")
	all := Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("fairway: {exportedResources: 100000}")} // else shop does not see them
	w := Build([]Change{own, honest, evil, rules, all})
	v := w.View(Scope{Role: RoleSidecar, Namespace: "shop"})
	for host, want := range map[string]bool{"h0.own.e.example": true, "h0.honest.e.example": true, "h0.evil.e.example": false} {
		if vs, _ := v.Route(host); vs != nil != want {
			t.Errorf("rules for %s: %t, want %t", host, vs != nil, want)
		}
	}
	if f := rulesLeftOut(w)[rules.Ref]; !strings.Contains(f.Message, "hosts of namespace evil:") {
		t.Errorf("found %v", f)
	}
}

// TestHostsWithoutServicesCount: a host that no service has is a virtual host on every
// sidecar as well, and an object may name a thousand.
func TestHostsWithoutServicesCount(t *testing.T) {
	var changes []Change
	for i := range 5 {
		var hosts []string
		for j := range 900 {
			hosts = append(hosts, fmt.Sprintf("h%d.v%d.example", j, i))
		}
		changes = append(changes, ruleFor("evil", fmt.Sprint("v", i), time.Duration(-i)*time.Hour, 6, hosts...))
	}
	changes = append(changes, ruleFor("evil", "small", -9*time.Hour, 6, "small.example"))
	w := Build(changes)
	out := rulesLeftOut(w)
	if _, newest := out[object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: "v4"}]; len(out) != 2 || !newest { // 5,400 routes each, of 20,000
		t.Fatalf("left out are %v, want the two newest", out)
	}
	v := w.View(Scope{Role: RoleSidecar, Namespace: "shop"})
	for host, want := range map[string]bool{"h0.v2.example": true, "h0.v3.example": false, "small.example": true} {
		if vs, _ := v.Route(host); vs != nil != want {
			t.Errorf("rules for %s: %t, want %t", host, vs != nil, want)
		}
	}
}

// TestRulesOfTheRootNamespaceMayBeForAll: the operator's rules for a wildcard have more room,
// from the moment on that their namespace is the root namespace.
func TestRulesOfTheRootNamespaceMayBeForAll(t *testing.T) {
	b := newBuilder()
	b.apply([]Change{entriesIn("shop", "e", 250, 8), ruleFor("ops", "r", 0, 11, "*.e.example")}) // 22,000 routes
	if w, _ := b.finish(); len(rulesLeftOut(w)) != 1 {
		t.Error("rules of a namespace for 2,000 ports are in force")
	}
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("rootNamespace: ops")}})
	if w, _ := b.finish(); len(rulesLeftOut(w)) != 0 {
		t.Errorf("those of the root namespace are left out: %v", rulesLeftOut(w))
	}
}

// TestPortsOfEachOtherAreCounted: hosts of one VirtualService are served at the ports of
// each other.
func TestPortsOfEachOtherAreCounted(t *testing.T) {
	changes := []Change{entriesIn("evil", "e", 1, 200)}
	hosts := []string{"h0.e.example"}
	for len(hosts) < 100 {
		hosts = append(hosts, "none-"+strings.Repeat("x", len(hosts))+".example")
	}
	for i := range 20 {
		changes = append(changes, ruleFor("evil", string(rune('a'+i)), time.Duration(-i)*time.Hour, 1, hosts...))
	}
	out := rulesLeftOut(Build(changes))
	if len(out) != 19 { // 20,000 routes each
		t.Errorf("%d of 20 are left out, want all but the oldest", len(out))
	}
}
