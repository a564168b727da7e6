package mesh

import (
	"slices"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestHostsOfOthersTakeNoSubsets: who makes many hosts below the wildcard of another's rule
// has its subsets left out for his hosts alone, and what he shows to nobody counts for
// nothing.
func TestHostsOfOthersTakeNoSubsets(t *testing.T) {
	own, bank, evil := entriesIn("shop", "own.e", 10, 2), entriesIn("bank", "honest.e", 10, 2), entriesIn("evil", "evil.e", 250, 8)
	rule := subsetRule("r", "*.e.example", 5) // 10,000 clusters for the hosts of evil
	rule.Ref.Namespace = "shop"
	rule.Object.(*networkingv1.DestinationRule).Namespace = "shop"
	wide := Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("fairway: {exportedResources: 100000}")} // else shop does not see them
	private := entriesIn("evil", "evil.e", 250, 8)
	private.Object.(*networkingv1.ServiceEntry).Spec.ExportTo = []string{"."}

	b := newBuilder()
	var w *World
	step := func(c ...Change) *Dirty {
		b.apply(c)
		var dirty *Dirty
		w, dirty = b.finish()
		return dirty
	}
	subsets := func(from, host string) int {
		v := w.View(Scope{Role: RoleSidecar, Namespace: from})
		s, _ := v.Service(host)
		r := v.Rule(s)
		if r == nil {
			return -1
		}
		return len(r.Subsets)
	}
	expect := func(when string, evils int) {
		t.Helper()
		for host, want := range map[string]int{"h0.own.e.example": 5, "h0.honest.e.example": 5, "h0.evil.e.example": evils} {
			if n := subsets("shop", host); n != want {
				t.Errorf("%s: %s has %d subsets, want %d", when, host, n, want)
			}
		}
		found := slices.ContainsFunc(slices.Collect(w.Findings()), func(f object.Finding) bool { return f.Field == "spec.subsets" && f.Object == rule.Ref })
		if found != (evils == 0) {
			t.Errorf("%s: found %t", when, found)
		}
	}
	step(wide, own, bank, rule)
	if n := subsets("shop", "h0.honest.e.example"); n != 5 {
		t.Errorf("another's host has %d subsets", n)
	}
	dirty := step(evil)
	expect("with evil's hosts", 0)
	if dirty.Hosts["h0.evil.e.example"] == TouchNone {
		t.Error("evil's host is not made anew")
	}
	if n := subsets("bank", "h0.own.e.example"); n != 5 {
		t.Errorf("everybody's proxies have %d subsets of the rule's own namespace", n)
	}
	before := w.View(Scope{Role: RoleSidecar, Namespace: "shop"})
	s, _ := before.Service("h0.evil.e.example")
	if before.Rule(s) != before.Rule(s) { //nolint:staticcheck // rules are compared by pointer
		t.Error("the rule without subsets is another each time")
	}
	step(private)
	if n := subsets("shop", "h0.own.e.example"); n != 5 || subsets("shop", "h0.honest.e.example") != 5 {
		t.Errorf("hosts that nobody sees take subsets: %d", n)
	}
	step(evil)
	expect("when he shows them again", 0)
	step(Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("fairway: {exportedResources: 100000, subsetClusters: 20000}")})
	expect("raised", 5)
	step(Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("{rootNamespace: shop, fairway: {exportedResources: 100000, subsetClusters: 2000}}")})
	expect("of the root namespace", 5) // 10,400 of 16,000
	step(wide)
	expect("as before", 0)
	step(Change{Ref: evil.Ref, Object: nil}, Change{Ref: rule.Ref, Object: nil})
	if len(w.subsetless) > 0 {
		t.Errorf("what is gone is remembered: %v", w.subsetless)
	}
}
