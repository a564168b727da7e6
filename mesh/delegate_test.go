package mesh

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestNoDelegateOfItself has a delegate become one that delegates to itself:
// what it was before must not stand in for it.
func TestNoDelegateOfItself(t *testing.T) {
	change := func(spec *networking.VirtualService) []Change {
		o := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "v"}}
		spec.DeepCopyInto(&o.Spec)
		return []Change{{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "v"}, Object: o}}
	}
	delegate := change(&networking.VirtualService{Http: []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "b.example.com"}}}}}})
	root := change(&networking.VirtualService{Hosts: []string{"b.example.com"}, Http: []*networking.HTTPRoute{{Delegate: &networking.Delegate{Name: "v"}}}})

	worlds := make(chan *World, 4)
	s := NewStore(slog.New(slog.DiscardHandler), func(w *World, _ *Dirty) { worlds <- w })
	go func() { _ = s.Run(t.Context()) }()
	next := func() *World {
		select {
		case w := <-worlds:
			return w
		case <-time.After(10 * time.Second):
			t.Fatal("no world")
			return nil
		}
	}
	s.Submit(delegate)
	s.Synced()
	next()
	s.Submit(root)
	for name, w := range map[string]*World{"changed": next(), "from nothing": Build(root)} {
		vs, _ := w.virtualServices.Get("a/v")
		if vs == nil || len(vs.Spec.Http) != 0 {
			t.Errorf("%s: the rules are %v", name, vs)
		}
		found := ""
		for f := range w.Findings() {
			found += f.Message
		}
		if !strings.Contains(found, "VirtualService a/v has hosts of its own, so that it is no delegate") {
			t.Errorf("%s: found %q", name, found)
		}
	}
}

// rulesOf are VirtualServices as they are written.
func rulesOf(t *testing.T, texts ...string) (out []Change) {
	t.Helper()
	for _, text := range texts {
		o := readObject[networkingv1.VirtualService](t, text)
		out = append(out, Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: o.Namespace, Name: o.Name}, Object: o})
	}
	return out
}

// TestDelegateBecomesRoot: a root whose delegate becomes a root itself is without it, and
// says so, whichever of the two names comes first.
func TestDelegateBecomesRoot(t *testing.T) {
	for _, name := range []string{"a", "z"} {
		root := rulesOf(t, "metadata: {name: "+name+", namespace: ns}\nspec: {hosts: [a.example], http: [{delegate: {name: b}}]}")
		leaf := rulesOf(t, "metadata: {name: c, namespace: ns}\nspec: {http: [{route: [{destination: {host: c.example}}]}]}")
		was := rulesOf(t, "metadata: {name: b, namespace: ns}\nspec: {http: [{route: [{destination: {host: old.example}}]}]}")
		is := rulesOf(t, "metadata: {name: b, namespace: ns}\nspec: {hosts: [b.example], http: [{delegate: {name: c}}]}")
		b := newBuilder()
		b.apply(slices.Concat(root, leaf, was))
		b.finish()
		b.apply(is)
		later, _ := b.finish()
		for how, w := range map[string]*World{"changed": later, "from nothing": Build(slices.Concat(root, leaf, is))} {
			vs, _ := w.virtualServices.Get("ns/" + name)
			if len(vs.Spec.Http) != 0 {
				t.Errorf("%s, %s: the rules are %v", name, how, vs.Spec.Http)
			}
			found := ""
			for f := range w.Findings() {
				found += f.Message
			}
			if !strings.Contains(found, "VirtualService ns/b has hosts of its own, so that it is no delegate") {
				t.Errorf("%s, %s: found %q", name, how, found)
			}
		}
	}
}

// TestDelegatesOfOneTakeNoRoomOfOthers: roots of the operator lead to the rules of teams.
// One team with about as many rules as an object may have, for several roots, takes nothing from
// another's.
func TestDelegatesOfOneTakeNoRoomOfOthers(t *testing.T) {
	large := manyRules(0, 4999)
	large.Namespace, large.Name = "ta", "d"
	changes := []Change{{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "ta", Name: "d"}, Object: large}}
	changes = append(changes, rulesOf(t, "metadata: {name: d, namespace: tb}\nspec: {http: [{route: [{destination: {host: b.example}}]}]}")...)
	for i, name := range []string{"ra", "rb", "rc"} {
		c := rulesOf(t, "metadata: {name: "+name+", namespace: gw}\nspec: {hosts: ["+name+".example], http: [{match: [{uri: {prefix: /b}}], delegate: {name: d, namespace: tb}}, {delegate: {name: d, namespace: ta}}]}")
		c[0].Object.(*networkingv1.VirtualService).CreationTimestamp = metav1.Unix(int64(i), 0)
		changes = append(changes, c...)
	}
	w := Build(changes)
	for name, want := range map[string]int{"ra": 5000, "rb": 1, "rc": 1} {
		if vs, _ := w.virtualServices.Get("gw/" + name); len(vs.Spec.Http) != want {
			t.Errorf("%s has %d rules, not %d", name, len(vs.Spec.Http), want)
		}
	}
	var losers []string
	for f := range w.Findings() {
		if strings.Contains(f.Message, "delegates of namespace ta add more") && f.Winner.Name == "ra" && f.Field == "spec.http[1].delegate" {
			losers = append(losers, f.Object.Name)
		}
	}
	if slices.Sort(losers); !slices.Equal(losers, []string{"rb", "rc"}) {
		t.Errorf("%v are told that there is no room", losers)
	}
}

// TestMirrorSaidTwice: what root and delegate say alike is no conflict.
func TestMirrorSaidTwice(t *testing.T) {
	for f := range Build(rulesOf(t, "metadata: {name: r, namespace: ns}\nspec: {hosts: [a.example], http: [{mirror: {host: m}, delegate: {name: d}}]}",
		"metadata: {name: d, namespace: ns}\nspec: {http: [{mirror: {host: m}, route: [{destination: {host: b}}]}]}")).Findings() {
		if f.Code == object.CodeConflict {
			t.Errorf("found %v", f)
		}
	}
}

// delegateOf has rules of a namespace that roots may lead to, each with a header of so many bytes.
func delegateOf(namespace string, rules, bytes int) Change {
	o := manyRules(0, rules)
	o.Namespace, o.Name = namespace, "d"
	for _, r := range o.Spec.Http {
		r.Headers = &networking.Headers{Request: &networking.Headers_HeaderOperations{Set: map[string]string{"x": strings.Repeat("x", bytes)}}}
	}
	return Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: namespace, Name: "d"}, Object: o}
}

// rootTo is a root of the namespace gw that delegates to the namespaces in turn.
func rootTo(t *testing.T, name string, age int64, namespaces ...string) Change {
	t.Helper()
	var rules []string
	for _, ns := range namespaces {
		rules = append(rules, "{delegate: {name: d, namespace: "+ns+"}}")
	}
	c := rulesOf(t, "metadata: {name: "+name+", namespace: gw}\nspec: {hosts: ["+name+".example], http: ["+strings.Join(rules, ", ")+"]}")[0]
	c.Object.(*networkingv1.VirtualService).CreationTimestamp = metav1.Unix(age, 0)
	return c
}

// rulesMerged is how many rules a root has.
func rulesMerged(w *World, name string) int {
	vs, _ := w.virtualServices.Get("gw/" + name)
	return len(vs.Spec.Http)
}

// TestDelegatesThatAreFewAndLarge: room is shared by bytes as well as by matches.
func TestDelegatesThatAreFewAndLarge(t *testing.T) {
	changes := []Change{delegateOf("good", 20, 10)}
	var large []string
	for i := range 4 {
		ns := fmt.Sprint("e", i)
		large = append(large, ns)
		changes = append(changes, delegateOf(ns, 10, 52_000))
	}
	for i := range 20 {
		changes = append(changes, rootTo(t, fmt.Sprintf("r%02d", i), int64(i), large...))
	}
	for i := range 8 {
		changes = append(changes, rootTo(t, fmt.Sprintf("s%02d", i), int64(100+i), "good"))
	}
	w := Build(changes)
	for i := range 8 {
		if name := fmt.Sprintf("s%02d", i); rulesMerged(w, name) != 20 {
			t.Errorf("%s has %d rules, not 20", name, rulesMerged(w, name))
		}
	}
}

// TestDelegatesOfOneRoot: of one root the first rules have room, and no more is counted than
// a root becomes.
func TestDelegatesOfOneRoot(t *testing.T) {
	var changes []Change
	order := []string{"n4", "n0", "n1", "n2", "n3"}
	for _, ns := range order {
		changes = append(changes, delegateOf(ns, 4900, 1))
	}
	w := Build(append(changes, rootTo(t, "r", 0, order...)))
	if n := rulesMerged(w, "r"); n != 5000 && n != 4900 {
		t.Errorf("%d rules", n)
	}
	if vs, _ := w.virtualServices.Get("gw/r"); len(vs.Spec.Http) > 0 && vs.HTTPOrigin(0).Ref.Namespace != "n4" {
		t.Errorf("the first rule is of %v", vs.HTTPOrigin(0).Ref)
	}
}

// TestWhoHasTheRoom: whoever is left without is told of a root that has room, and of a name
// that leads nowhere as ever.
func TestWhoHasTheRoom(t *testing.T) {
	var changes []Change
	for i := range 6 {
		ns := fmt.Sprint("n", i)
		changes = append(changes, delegateOf(ns, 4900, 1), rootTo(t, fmt.Sprint("r", i), int64(i), ns))
	}
	missing := rulesOf(t, "metadata: {name: r9, namespace: gw}\nspec: {hosts: [r9.example], http: [{delegate: {name: nobody, namespace: n5}}]}")
	w := Build(append(changes, missing...))
	out := 0
	for f := range w.Findings() {
		switch {
		case f.Object.Name == "r9" && f.Code != object.CodeDelegateMissing && strings.Contains(f.Field, "delegate"):
			t.Errorf("found %v", f)
		case strings.Contains(f.Message, "delegates of namespace"):
			if out++; f.Winner == (object.Ref{}) || f.Winner == f.Object {
				t.Errorf("found %v", f)
			}
		}
	}
	if out == 0 {
		t.Error("nobody is left without")
	}
}
