package mesh

import (
	"fmt"
	"runtime"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// rulesOfOneHost are so many DestinationRules of a namespace for one host, with a subset each.
func rulesOfOneHost(n int, selecting bool) (out []Change) {
	for i := range n {
		o := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: fmt.Sprint("rule-", i)}}
		o.Spec.Host = "h.evil.example"
		o.Spec.Subsets = []*networking.Subset{{Name: fmt.Sprint("s", i)}}
		if selecting {
			o.Spec.WorkloadSelector = &typev1.WorkloadSelector{MatchLabels: map[string]string{"a": fmt.Sprint(i)}}
		}
		out = append(out, Change{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "evil", Name: o.Name}, Object: o})
	}
	return out
}

// TestRulesOfOneHostAreLinear: four times as many rules for one host cost about four times
// as much, in a pass that brings them all and in one that changes them all.
func TestRulesOfOneHostAreLinear(t *testing.T) {
	cost := func(n int, selecting bool) float64 {
		changes := rulesOfOneHost(n, selecting)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b := newBuilder()
		for range 2 {
			b.apply(changes)
			b.finish()
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	for _, selecting := range []bool{false, true} {
		if few, many := cost(250, selecting), cost(1000, selecting); many > 8*few {
			t.Errorf("with selectors %t: 1000 rules allocate %.1f MB, 250 %.1f MB", selecting, many/1e6, few/1e6)
		}
	}
}

// TestRulesOfOneHostMerge: what is merged is that of every object, and an object stays as
// it is when others go.
func TestRulesOfOneHostMerge(t *testing.T) {
	b := newBuilder()
	changes := rulesOfOneHost(3, false)
	b.apply(changes)
	w, _ := b.finish()
	merged, _ := w.rules.Get("h.evil.example")
	if len(merged) != 1 || len(merged[0].Subsets) != 3 || len(merged[0].Refs) != 3 {
		t.Fatalf("merged %+v", merged)
	}
	b.apply([]Change{{Ref: changes[0].Ref}, {Ref: changes[2].Ref}})
	next, _ := b.finish()
	left, _ := next.rules.Get("h.evil.example")
	if len(left) != 1 || len(left[0].Subsets) != 1 || left[0].Subsets[0].Name != "s1" || len(merged[0].Subsets) != 3 {
		t.Errorf("left %+v of %+v", left, merged)
	}
}
