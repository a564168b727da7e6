package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// entryOf is a ServiceEntry of the given age within all bounds of its own, with hosts of
// its own.
func entryOf(name string, age time.Duration, hosts, addresses, ports int) Change {
	o := manyOfEntry(hosts, addresses, ports, 1)
	o.Name = name
	o.CreationTimestamp = metav1.NewTime(time.Unix(1_000_000, 0).Add(-age))
	for i := range o.Spec.Hosts {
		o.Spec.Hosts[i] = name + "-" + o.Spec.Hosts[i]
	}
	return Change{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "evil", Name: name}, Object: o}
}

func hostsOf(w *World) (out []string) {
	for name := range w.Hosts() {
		out = append(out, name)
	}
	return out
}

func leftOutOf(w *World) map[string]object.Finding {
	out := map[string]object.Finding{}
	for f := range w.Findings() {
		if strings.Contains(f.Message, "the most of one namespace") {
			out[f.Object.Name] = f
		}
	}
	return out
}

// TestNamespacesHaveAnAllowance: objects that are within their own bounds and together
// ask for too much are in force by age, in whatever order they come; what is deleted
// makes room, and another namespace has an allowance of its own.
func TestNamespacesHaveAnAllowance(t *testing.T) {
	oldest, middle, newest := entryOf("a", 3*time.Hour, 10, 100, 7), entryOf("b", 2*time.Hour, 10, 100, 7), entryOf("c", time.Hour, 1, 1, 1)
	other := entryOf("d", 0, 10, 100, 7)
	other.Ref.Namespace, other.Object.(*networkingv1.ServiceEntry).Namespace = "shop", "shop"
	changes := []Change{oldest, middle, newest, other}
	for range 3 {
		rand.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
		b := newBuilder()
		var w *World
		for _, c := range changes {
			b.apply([]Change{c})
			w, _ = b.finish()
		}
		if n := w.HostCount(); n != 21 {
			t.Fatalf("%d hosts of the oldest, the smallest and another namespace's, want 21: %v", n, hostsOf(w))
		}
		out := leftOutOf(w)
		if f := out["b"]; len(out) != 1 || f.Winner != oldest.Ref || f.Field != "spec.hosts × addresses × ports that are not HTTP" {
			t.Fatalf("left out are %v, want b beside a", out)
		}
		b.apply([]Change{{Ref: oldest.Ref, Object: nil}})
		if w, _ = b.finish(); w.HostCount() != 21 || w.Host("b-h0.evil.example") == nil || len(leftOutOf(w)) != 0 {
			t.Fatalf("b does not take the room of a: %v, left out %v", hostsOf(w), leftOutOf(w))
		}
		b.apply([]Change{oldest})
		if w, _ = b.finish(); w.Host("b-h0.evil.example") != nil || w.Host("a-h0.evil.example") == nil {
			t.Fatal("a newer one keeps the room of an older one that comes back")
		}
	}
}

// TestHonestNamespacesFit: what a large namespace of a real mesh holds is in force.
func TestHonestNamespacesFit(t *testing.T) {
	var changes []Change
	for i := range 10_000 {
		name := fmt.Sprint("n", i)
		changes = append(changes, entryOf(name, 0, 1, 0, 2))
		r := subsetRule(name, name+"-h0.evil.example", 2)
		changes = append(changes, r)
		v := manyRules(1, 5)
		v.Name, v.Spec.Hosts = name, []string{name + "-h0.evil.example"}
		changes = append(changes, Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: name}, Object: v})
	}
	w := Build(changes)
	if n := w.HostCount(); n != 10_000 {
		t.Errorf("%d hosts, want 10000", n)
	}
	for f := range w.Findings() {
		if f.Code == object.CodeInvalid {
			t.Fatalf("found %v", f)
		}
	}
}

func subsetRule(name, host string, subsets int) Change {
	o := &networkingv1.DestinationRule{ObjectMeta: evil(name)}
	o.Spec.Host = host
	o.Spec.Subsets = times(subsets, func(i int) *networking.Subset {
		return &networking.Subset{Name: fmt.Sprint("v", i), Labels: map[string]string{"version": fmt.Sprint("v", i)}}
	})
	return Change{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "evil", Name: name}, Object: o}
}

// TestRulesThatMultiply: of the rules of a namespace those for a wildcard, or for a host of
// many ports, have a bound of their own, which operators set and which is wider for them.
func TestRulesThatMultiply(t *testing.T) {
	entry := func(name string, hosts int) Change { return entryOf(name, 0, hosts, 0, 8) }
	config := func(text string) Change {
		return Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte(text)}
	}
	changes := []Change{entry("e", 250), entry("one", 1), subsetRule("a", "*.evil.example", 5), subsetRule("b", "one-h0.evil.example", 20)} // 10,040 clusters and 160
	for _, c := range []struct {
		what, config string
		a, b         int
	}{
		{"the default", "{}", 0, 20},
		{"raised", "fairway: {subsetClusters: 11000}", 5, 20},
		{"lowered", "fairway: {subsetClusters: 100}", 0, 0},
		{"in the root namespace", "{rootNamespace: evil, fairway: {subsetClusters: 2000}}", 5, 20},
	} {
		b := newBuilder()
		b.apply(changes)
		b.finish()
		b.apply([]Change{config(c.config)}) // which changes live
		w, _ := b.finish()
		subsets := func(host string) int {
			l, _ := w.rules.Get(host)
			return len(l[0].Subsets)
		}
		if x, y := subsets("*.evil.example"), subsets("one-h0.evil.example"); x != c.a || y != c.b {
			t.Errorf("%s: %d and %d subsets, want %d and %d", c.what, x, y, c.a, c.b)
		}
	}
}

// TestSubsetsOfManyHostsAreBounded: subsets are clusters at every port of every host that
// their rule covers. The newest rules lose theirs, whether the hosts or the rules come
// first, and get them back when there is room.
func TestSubsetsOfManyHostsAreBounded(t *testing.T) {
	hosts := entryOf("e", 0, 250, 0, 8) // 2,000 clusters
	small, large := subsetRule("a", "e-h0.evil.example", 3), subsetRule("b", "*.evil.example", 80)
	for _, order := range [][]Change{{hosts, small, large}, {large, small, hosts}, {small, hosts, large}} {
		b := newBuilder()
		var w *World
		for _, c := range order {
			b.apply([]Change{c})
			w, _ = b.finish()
		}
		subsets := func(host string) int {
			l, _ := w.rules.Get(host)
			if len(l) != 1 {
				t.Fatalf("%d rules of %s", len(l), host)
			}
			return len(l[0].Subsets)
		}
		if a, b := subsets("e-h0.evil.example"), subsets("*.evil.example"); a != 3 || b != 0 {
			t.Errorf("%d and %d subsets, want 3 and 0", a, b)
		}
		var found []object.Ref
		for f := range w.Findings() {
			if f.Field == "spec.subsets" && f.Code == object.CodeInvalid {
				found = append(found, f.Object, f.Winner)
			}
		}
		if !slices.Equal(found, []object.Ref{large.Ref, small.Ref}) {
			t.Errorf("found %v, want the large rule beside the small one", found)
		}
		b.apply([]Change{entryOf("e", 0, 3, 0, 8)})
		var dirty *Dirty
		if w, dirty = b.finish(); subsets("*.evil.example") != 80 {
			t.Error("with fewer hosts the rule is still without its subsets")
		}
		if dirty.Hosts["e-h2.evil.example"] == TouchNone {
			t.Error("a host whose subsets came back is not made anew")
		}
		for f := range w.Findings() {
			if f.Field == "spec.subsets" && f.Code == object.CodeInvalid {
				t.Errorf("found %v after there is room", f)
			}
		}
	}
}

// TestCrowdsCostNoMoreThanTheirNumber: who is in force of a namespace that asks for far too
// much is decided once in a pass, not for each of its objects.
func TestCrowdsCostNoMoreThanTheirNumber(t *testing.T) {
	b := newBuilder()
	var changes []Change
	for i := range 4000 {
		changes = append(changes, entryOf(fmt.Sprint("n", i), time.Duration(i)*time.Second, 1, 0, 100))
	}
	b.apply(changes) // 400,000 clusters
	if n := len(b.crowdedKeys); n != 1 {
		t.Errorf("%d namespaces wait, want one", n)
	}
	w, _ := b.finish()
	if n := w.HostCount(); n != 200 || w.Host("n3999-h0.evil.example") == nil {
		t.Errorf("%d hosts, want the oldest 200", n)
	}
	if n := len(leftOutOf(w)); n != 3800 {
		t.Errorf("%d are left out", n)
	}
}
