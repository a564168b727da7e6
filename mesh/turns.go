package mesh

import (
	"slices"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// A pass takes in what has changed, and everybody waits for its end. What is costly is
// therefore taken in turns: of each namespace a share, and of all namespaces only so much
// that is heavy, those first that have waited longest. What is light is never left
// over for another namespace's heavy objects, so that it waits for one pass at most.
const (
	heaviest = 5000          // units: an object at a bound of its kind; most weigh one or two
	light    = heaviest / 50 // an object that no pass leaves over for those of others
	// labelsOfUnit is how many labels are one unit: services are looked for by each.
	labelsOfUnit = 5
)

// queued is a change that waits for its pass.
type queued struct {
	Change
	weight int // units
}

// weigh is how much of a pass a change takes: how near its object is to a bound.
func weigh(c Change) int {
	weight := 1
	if c.Object == nil {
		return weight
	}
	if r, ok := c.Object.(*networkingv1.DestinationRule); ok && object.IsWildcard(r.Spec.Host) && (len(r.Spec.Subsets) > 0 || bounds.PolicyWeight(r.Spec.TrafficPolicy) > 0) {
		return heaviest // for how many hosts it is nobody knows before the pass
	}
	if o, ok := c.Object.(metav1.Object); ok {
		weight = max(weight, min(heaviest, len(o.GetLabels())/labelsOfUnit))
	}
	if o, ok := c.Object.(*networkingv1.WorkloadEntry); ok {
		weight = max(weight, min(heaviest, len(o.Spec.Labels)/labelsOfUnit))
	}
	for _, l := range bounds.Limits {
		if l.Kind == c.Ref.Kind {
			weight = max(weight, min(heaviest, l.Count(c.Object)*heaviest/l.Most))
		}
	}
	return weight
}

// turns says which namespaces' heavy changes were taken in which pass.
type turns struct {
	pass   uint64
	served map[string]uint64 // of namespaces that have changes left over
}

// share picks what the next pass takes of the changes that wait, in their order within
// each namespace. What has no namespace is the operator's, and always taken.
func (t *turns) share(order []object.Ref, pending map[object.Ref]queued) (taken, left []object.Ref) {
	t.pass++
	of := map[string][]object.Ref{}
	var namespaces []string
	for _, r := range order {
		if len(of[r.Namespace]) == 0 {
			namespaces = append(namespaces, r.Namespace)
		}
		of[r.Namespace] = append(of[r.Namespace], r)
	}
	slices.SortStableFunc(namespaces, func(a, b string) int { return int(t.served[a]) - int(t.served[b]) })
	heavy := 0
	served := map[string]uint64{}
	for _, ns := range namespaces {
		spent, n, at := 0, 0, t.served[ns]
		for _, r := range of[ns] {
			w := pending[r].weight
			if ns != "" && (spent > 0 && spent+w > heaviest || w > light && heavy > 0 && heavy+w > heaviest) {
				break
			}
			if spent, n = spent+w, n+1; w > light {
				heavy, at = heavy+w, t.pass
			}
		}
		taken = append(taken, of[ns][:n]...)
		if n < len(of[ns]) {
			left = append(left, of[ns][n:]...)
			served[ns] = at
		}
	}
	t.served = served
	return taken, left
}
