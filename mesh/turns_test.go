package mesh

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestTurnsOfNamespaces: what is light goes with the next pass, whatever heavy changes wait;
// those of different namespaces take turns, and each namespace's stay in order.
func TestTurnsOfNamespaces(t *testing.T) {
	pending := map[object.Ref]queued{}
	var order []object.Ref
	add := func(ns, name string, weight int) {
		r := object.Ref{Kind: object.KindVirtualService, Namespace: ns, Name: name}
		pending[r] = queued{Change{Ref: r}, weight}
		order = append(order, r)
	}
	for i := range 4 {
		add("evil", fmt.Sprint("large", i), heaviest)
	}
	add("evil", "small", 1)
	add("heavy", "one", heaviest)
	for i := range 100 {
		add("shop", fmt.Sprint("small", i), 1)
	}
	var turns turns
	var passes []string
	for len(order) > 0 {
		taken, left := turns.share(order, pending)
		if len(taken)+len(left) != len(order) || len(taken) == 0 {
			t.Fatalf("%d taken and %d left of %d", len(taken), len(left), len(order))
		}
		said := ""
		for _, r := range taken {
			if r.Namespace != "shop" {
				said += r.Namespace + "/" + r.Name + " "
			}
		}
		passes = append(passes, fmt.Sprint(said, "of ", len(taken)))
		order = left
	}
	want := []string{"evil/large0 of 101", "heavy/one of 1", "evil/large1 of 1", "evil/large2 of 1", "evil/large3 of 1", "evil/small of 1"}
	if !slices.Equal(passes, want) {
		t.Errorf("passes are\n%q\nwant\n%q", passes, want)
	}
}

// TestWeightOfWildcards: how much a rule for a wildcard becomes its object does not say.
func TestWeightOfWildcards(t *testing.T) {
	for host, want := range map[string]int{"*.evil.example": heaviest, "h.evil.example": 2 * heaviest / bounds.MaxSubsets} {
		if got := weigh(subsetRule("a", host, 2)); got != want {
			t.Errorf("a rule for %s weighs %d, want %d", host, got, want)
		}
	}
}
