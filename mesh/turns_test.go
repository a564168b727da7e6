package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// TestWeightOfLabels: services are looked for by each label of a workload.
func TestWeightOfLabels(t *testing.T) {
	labels := map[string]string{}
	for i := range 5000 {
		labels[fmt.Sprint("l", i)] = "x"
	}
	meta := metav1.ObjectMeta{Namespace: "a", Name: "x", Labels: labels}
	for what, obj := range map[string]any{"a Pod": &corev1.Pod{ObjectMeta: meta}, "a WorkloadEntry": &networkingv1.WorkloadEntry{Spec: networking.WorkloadEntry{Labels: labels}}, "its metadata": &networkingv1.WorkloadEntry{ObjectMeta: meta}} {
		if got := weigh(Change{Object: obj}); got != 5000/labelsOfUnit {
			t.Errorf("%s of 5000 labels weighs %d", what, got)
		}
	}
}

// TestExportsOfServicesAreBounded: an annotation may be long; a Service whose list is longer
// than anybody writes is left out, and so exported to nobody.
func TestExportsOfServicesAreBounded(t *testing.T) {
	change := serviceOf("s", 0, 1, strings.Repeat("a,", 1000)+"a")
	w := Build([]Change{change})
	if w.Host("s.evil.svc.cluster.local") != nil {
		t.Error("it is served")
	}
	for f := range w.Findings() {
		if f.Object == change.Ref && strings.Contains(f.Message, "1001 namespaces of at most 1000") {
			return
		}
	}
	t.Error("nothing is told")
}
