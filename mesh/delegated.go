package mesh

import (
	"cmp"
	"maps"
	"slices"
	"strings"

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
// counts what delegates add to roots, and knows what is left out. A delegate may be that of
// the roots of many namespaces, and much in each: these take turns.
type delegated struct {
	roots map[object.Ref]root
	of    map[string]map[object.Ref]struct{} // roots by the delegate "namespace/name" that they name
	again map[object.Ref]struct{}            // roots to be merged again
	order []object.Ref                       // of those that an earlier pass has left over
	turns turns
	costs map[string]map[object.Ref]map[string]bounds.RuleCost // by the roots' namespace, root and delegates' namespace
	sums  map[string]map[string]bounds.RuleCost                // of these, by both namespaces
	out   map[string]map[object.Ref]map[string]object.Ref      // what roots are left without, with who has the room
}

func newDelegated() delegated {
	return delegated{roots: map[object.Ref]root{}, of: map[string]map[object.Ref]struct{}{}, again: map[object.Ref]struct{}{},
		costs: map[string]map[object.Ref]map[string]bounds.RuleCost{}, sums: map[string]map[string]bounds.RuleCost{}, out: map[string]map[object.Ref]map[string]object.Ref{}}
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

// settleDelegates puts roots in place for which something has changed.
func (b *builder) settleDelegates() {
	d := &b.delegated
	if len(d.again) == 0 {
		return
	}
	namespaces := map[string]struct{}{}
	for ref := range d.again {
		d.count(ref, b.costOf(d.roots[ref]))
		namespaces[ref.Namespace] = struct{}{}
	}
	for ns := range namespaces {
		d.allot(ns)
	}
	for _, ref := range d.turn(b.world.Generation == 0) {
		if r, ok := d.roots[ref]; ok {
			next, more := b.withDelegates(r.VirtualService)
			b.putVirtualService(ref, next, append(slices.Clip(r.findings), more...))
		}
		delete(d.again, ref)
	}
}

// turn is which roots are merged in this pass: all that are light or whose turn it is, and
// all there are in the first. The others stay as they are.
func (d *delegated) turn(first bool) []object.Ref {
	waiting, late := make(map[object.Ref]queued, len(d.again)), make(map[object.Ref]struct{}, len(d.order))
	for _, ref := range d.order {
		late[ref] = struct{}{}
	}
	order := d.order
	for _, ref := range slices.SortedFunc(maps.Keys(d.again), object.CompareRefs) {
		waiting[ref] = queued{weight: d.weight(ref)}
		if _, was := late[ref]; !was {
			order = append(order, ref)
		}
	}
	if first {
		d.order = nil
		return order
	}
	var taken []object.Ref
	taken, d.order = d.turns.share(order, waiting)
	return taken
}

// weight is how much of a pass it takes to merge a root, in the units of weigh.
func (d *delegated) weight(ref object.Ref) int {
	var all bounds.RuleCost
	for of, cost := range d.costs[ref.Namespace][ref] {
		if _, out := d.out[ref.Namespace][ref][of]; !out {
			all = all.Plus(cost, 1)
		}
	}
	return min(heaviest, max(1, all.Matches*heaviest/bounds.MaxMatches, all.Bytes*heaviest/bounds.MaxExpanded))
}

// count notes what delegates add to a root, in place of what was counted before.
func (d *delegated) count(ref object.Ref, costs map[string]bounds.RuleCost) {
	ns := ref.Namespace
	for of, cost := range d.costs[ns][ref] {
		if sum := d.sums[ns][of].Plus(cost, -1); sum == (bounds.RuleCost{}) {
			remove(d.sums, ns, of)
		} else {
			d.sums[ns][of] = sum
		}
	}
	for of, cost := range costs {
		put(d.sums, ns, of, d.sums[ns][of].Plus(cost, 1))
	}
	if len(costs) == 0 {
		remove(d.costs, ns, ref)
	} else {
		put(d.costs, ns, ref, costs)
	}
}

// tooMuch tells whether delegates add more to the roots of a namespace than they may.
func (d *delegated) tooMuch(ns string) bool {
	var most, all bounds.RuleCost
	for _, sum := range d.sums[ns] {
		all = all.Plus(sum, 1)
		most = bounds.RuleCost{Matches: max(most.Matches, sum.Matches), Bytes: max(most.Bytes, sum.Bytes)}
	}
	return traffic.TooMuchDelegated(most, all)
}

// allot decides which roots of a namespace have what they delegate, and has those merged
// again for which that has changed. The delegates of each namespace have room of their own,
// of what all have together those that need least first: who needs little has it whatever
// others need. Of one namespace's room the oldest roots have what there is.
func (d *delegated) allot(ns string) {
	next := map[object.Ref]map[string]object.Ref{}
	if d.tooMuch(ns) {
		next = d.shares(ns)
	}
	for _, out := range []map[object.Ref]map[string]object.Ref{d.out[ns], next} {
		for ref := range out {
			if !maps.Equal(d.out[ns][ref], next[ref]) {
				d.again[ref] = struct{}{}
			}
		}
	}
	if delete(d.out, ns); len(next) > 0 {
		d.out[ns] = next
	}
}

// shares is what the roots of a namespace are left without.
func (d *delegated) shares(ns string) map[object.Ref]map[string]object.Ref {
	out := map[object.Ref]map[string]object.Ref{}
	roots := slices.SortedFunc(maps.Keys(d.costs[ns]), func(x, y object.Ref) int {
		return cmp.Or(d.roots[x].Created.Compare(d.roots[y].Created), cmp.Compare(x.Name, y.Name))
	})
	oldest := map[string]int{} // the root that delegates to a namespace, by its place in roots
	for i, ref := range slices.Backward(roots) {
		for of := range d.costs[ns][ref] {
			oldest[of] = i
		}
	}
	waiting := slices.SortedFunc(maps.Keys(d.sums[ns]), func(x, y string) int {
		return cmp.Or(cmp.Compare(traffic.DelegatedShare(d.sums[ns][x]), traffic.DelegatedShare(d.sums[ns][y])), cmp.Compare(oldest[x], oldest[y]), cmp.Compare(x, y))
	})
	var all bounds.RuleCost
	var before object.Ref // the last root that has room of any namespace's
	for _, of := range waiting {
		room := traffic.DelegateRoom(all)
		var sum bounds.RuleCost
		last := before
		for _, ref := range roots {
			cost, has := d.costs[ns][ref][of]
			if !has {
				continue
			}
			if with := sum.Plus(cost, 1); with.Matches > room.Matches || with.Bytes > room.Bytes {
				put(out, ref, of, last)
			} else {
				sum, last = with, ref
			}
		}
		all, before = all.Plus(sum, 1), last
	}
	return out
}

// delegateOf finds what a root may delegate to, by "namespace/name"; nil: there is none.
// Of what delegates itself the newest version counts, which is not in the world yet.
func (b *builder) delegateOf(root *traffic.VirtualService) func(name string) *traffic.VirtualService {
	return func(name string) *traffic.VirtualService {
		ns, of, _ := strings.Cut(name, "/")
		v := b.delegated.roots[object.Ref{Kind: object.KindVirtualService, Namespace: ns, Name: of}].VirtualService
		if v == root { // whoever else may see it
			return v
		}
		if v == nil {
			v, _ = b.world.virtualServices.Get(name)
		}
		if v == nil || !v.ExportTo.VisibleFrom(v.Namespace, root.Namespace, b.world.Config.DefaultVirtualServiceExportTo) {
			return nil
		}
		return v
	}
}

// costOf is what its delegates add to a root, by their namespace.
func (b *builder) costOf(r root) map[string]bounds.RuleCost {
	if r.VirtualService == nil {
		return nil
	}
	return traffic.CostOfDelegates(r.VirtualService, b.delegateOf(r.VirtualService))
}

// withDelegates is the VirtualService with the routes of its delegates in place of its own
// that delegate.
func (b *builder) withDelegates(root *traffic.VirtualService) (*traffic.VirtualService, []object.Finding) {
	return traffic.MergeDelegates(root, b.delegateOf(root), b.delegated.out[root.Namespace][root.Ref])
}
