package mesh

import (
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
		out = append(out, Change{object.Ref{Kind: object.KindVirtualService, Namespace: o.Namespace, Name: o.Name}, o})
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
	changes := []Change{{object.Ref{Kind: object.KindVirtualService, Namespace: "ta", Name: "d"}, large}}
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
