package mesh

import (
	"cmp"
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// root is a VirtualService that delegates, as it was written.
type root struct {
	*traffic.VirtualService
	findings []object.Finding // of reading it
}

// delegated merges roots with their delegates: once in a pass, whatever of them changed. It
// counts what delegates add to roots, and knows which are left without.
type delegated struct {
	roots map[object.Ref]root
	of    map[string]map[object.Ref]struct{}        // roots by the delegate "namespace/name" that they name
	again map[object.Ref]struct{}                   // roots to be merged again
	costs map[string]map[object.Ref]bounds.RuleCost // by the roots' namespace
	sums  map[string]bounds.RuleCost
	out   map[string]map[object.Ref]object.Ref // roots that are left without, with who has the room
}

func newDelegated() delegated {
	return delegated{roots: map[object.Ref]root{}, of: map[string]map[object.Ref]struct{}{}, again: map[object.Ref]struct{}{},
		costs: map[string]map[object.Ref]bounds.RuleCost{}, sums: map[string]bounds.RuleCost{}, out: map[string]map[object.Ref]object.Ref{}}
}

// setRoot has a root merged when the pass ends.
func (b *builder) setRoot(v *traffic.VirtualService, findings []object.Finding) {
	d := &b.delegated
	d.forget(v.Ref)
	d.roots[v.Ref] = root{v, findings}
	for _, name := range v.Delegates {
		put(d.of, name, v.Ref, struct{}{})
	}
	d.again[v.Ref] = struct{}{}
}

// notRoot notes that a VirtualService delegates nothing, or is gone.
func (b *builder) notRoot(ref object.Ref) {
	d := &b.delegated
	if _, was := d.roots[ref]; was {
		d.forget(ref)
		d.again[ref] = struct{}{} // what it added is there for others
	}
}

func (d *delegated) forget(ref object.Ref) {
	for _, name := range d.roots[ref].delegates() {
		remove(d.of, name, ref)
	}
	delete(d.roots, ref)
}

func (r root) delegates() []string {
	if r.VirtualService == nil {
		return nil
	}
	return r.Delegates
}

// delegateChanged has those merged again that delegate to a VirtualService.
func (b *builder) delegateChanged(ref object.Ref) {
	for r := range b.delegated.of[ref.Namespace+"/"+ref.Name] {
		b.delegated.again[r] = struct{}{}
	}
}

// settleDelegates puts roots in place for which something has changed. By age it is
// decided which of a namespace have what they delegate.
func (b *builder) settleDelegates() {
	d := &b.delegated
	if len(d.again) == 0 {
		return
	}
	crowded := map[string]struct{}{}
	for ref := range d.again {
		d.count(ref, b.costOf(d.roots[ref]))
		if traffic.TooMuchDelegated(d.sums[ref.Namespace]) || len(d.out[ref.Namespace]) > 0 {
			crowded[ref.Namespace] = struct{}{}
		}
	}
	for ns := range crowded {
		d.allot(ns)
	}
	for _, ref := range slices.SortedFunc(maps.Keys(d.again), object.CompareRefs) {
		if r, ok := d.roots[ref]; ok {
			next, more := b.withDelegates(r.VirtualService)
			b.putVirtualService(ref, next, append(slices.Clip(r.findings), more...))
		}
	}
	clear(d.again)
}

// count notes what delegates add to a root, in place of what was counted before.
func (d *delegated) count(ref object.Ref, cost bounds.RuleCost) {
	ns := ref.Namespace
	if sum := d.sums[ns].Plus(d.costs[ns][ref], -1).Plus(cost, 1); sum == (bounds.RuleCost{}) {
		delete(d.sums, ns)
	} else {
		d.sums[ns] = sum
	}
	if cost == (bounds.RuleCost{}) {
		remove(d.costs, ns, ref)
	} else {
		put(d.costs, ns, ref, cost)
	}
}

// allot decides by age which roots of a namespace have what they delegate, and has those
// merged again for which that has changed.
func (d *delegated) allot(ns string) {
	roots := slices.SortedFunc(maps.Keys(d.costs[ns]), func(x, y object.Ref) int {
		return cmp.Or(d.roots[x].Created.Compare(d.roots[y].Created), cmp.Compare(x.Name, y.Name))
	})
	var sum bounds.RuleCost
	var last object.Ref
	next := map[object.Ref]object.Ref{}
	for _, ref := range roots {
		if with := sum.Plus(d.costs[ns][ref], 1); traffic.TooMuchDelegated(with) {
			next[ref] = last
		} else {
			sum, last = with, ref
		}
		was, wasOut := d.out[ns][ref]
		if winner, out := next[ref]; out != wasOut || was != winner {
			d.again[ref] = struct{}{}
		}
	}
	if delete(d.out, ns); len(next) > 0 {
		d.out[ns] = next
	}
}

// delegateOf finds what a root may delegate to, by "namespace/name"; nil: there is none.
func (b *builder) delegateOf(root *traffic.VirtualService) func(name string) *traffic.VirtualService {
	return func(name string) *traffic.VirtualService {
		if name == root.Ref.Namespace+"/"+root.Ref.Name {
			return root // and not what it was before
		}
		v, _ := b.world.virtualServices.Get(name)
		if v == nil || !v.ExportTo.VisibleFrom(v.Namespace, root.Namespace, b.world.Config.DefaultVirtualServiceExportTo) {
			return nil
		}
		return v
	}
}

// costOf is what its delegates add to a root.
func (b *builder) costOf(r root) bounds.RuleCost {
	if r.VirtualService == nil {
		return bounds.RuleCost{}
	}
	return traffic.CostOfDelegates(r.VirtualService, b.delegateOf(r.VirtualService))
}

// withDelegates is the VirtualService with the routes of its delegates in place of its own
// that delegate.
func (b *builder) withDelegates(root *traffic.VirtualService) (*traffic.VirtualService, []object.Finding) {
	if winner, out := b.delegated.out[root.Namespace][root.Ref]; out {
		return traffic.WithoutDelegates(root, winner)
	}
	return traffic.MergeDelegates(root, b.delegateOf(root))
}
