package mesh

import (
	"cmp"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// delegated counts what delegates add to roots, and knows which are left without.
type delegated struct {
	costs map[string]map[object.Ref]bounds.RuleCost // by the roots' namespace
	sums  map[string]bounds.RuleCost
	out   map[string]map[object.Ref]object.Ref // roots that are left without, with who has the room
	stale map[string]struct{}                  // namespaces to be looked at again
	fixed bool                                 // who is out has been decided by age
}

func newDelegated() delegated {
	return delegated{costs: map[string]map[object.Ref]bounds.RuleCost{}, sums: map[string]bounds.RuleCost{}, out: map[string]map[object.Ref]object.Ref{}, stale: map[string]struct{}{}}
}

// delegate counts what delegates add to a root, in place of what was counted before, and
// tells whether the root is to be left without them.
func (b *builder) delegate(root object.Ref, cost bounds.RuleCost) (left bool) {
	d, ns := &b.delegated, root.Namespace
	old := d.costs[ns][root]
	if sum := d.sums[ns].Plus(old, -1).Plus(cost, 1); sum == (bounds.RuleCost{}) {
		delete(d.sums, ns)
	} else {
		d.sums[ns] = sum
	}
	if cost == (bounds.RuleCost{}) {
		remove(d.costs, ns, root)
		if _, out := d.out[ns][root]; out {
			remove(d.out, ns, root)
		}
		if old != cost {
			d.stale[ns] = struct{}{}
		}
		return false
	}
	put(d.costs, ns, root, cost)
	if !d.fixed {
		d.stale[ns] = struct{}{}
		if traffic.TooMuchDelegated(d.sums[ns]) { // until it is decided by age
			put(d.out, ns, root, object.Ref{})
		} else {
			remove(d.out, ns, root)
		}
	}
	_, left = d.out[ns][root]
	return left
}

// settleDelegates decides by age which roots of namespaces have what they delegate.
func (b *builder) settleDelegates() {
	d := &b.delegated
	d.fixed = true
	for ns := range d.stale {
		if !traffic.TooMuchDelegated(d.sums[ns]) && len(d.out[ns]) == 0 {
			continue
		}
		roots := make([]object.Ref, 0, len(d.costs[ns]))
		for root := range d.costs[ns] {
			roots = append(roots, root)
		}
		slices.SortFunc(roots, func(x, y object.Ref) int {
			return cmp.Or(b.vsRaw[x].CreationTimestamp.Compare(b.vsRaw[y].CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
		})
		var sum bounds.RuleCost
		var last object.Ref
		next := map[object.Ref]object.Ref{}
		for _, root := range roots {
			if with := sum.Plus(d.costs[ns][root], 1); traffic.TooMuchDelegated(with) {
				next[root] = last
			} else {
				sum, last = with, root
			}
		}
		before := d.out[ns]
		if delete(d.out, ns); len(next) > 0 {
			d.out[ns] = next
		}
		for _, leaving := range []bool{true, false} { // there is room before others come in
			for _, root := range roots {
				winner, out := next[root]
				if was, wasOut := before[root]; out == leaving && (out != wasOut || out && was != winner) {
					b.setVirtualService(root, b.vsRaw[root])
				}
			}
		}
	}
	d.fixed = false
	clear(d.stale)
}
