package mesh

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// chosen is an object of a kind of which one alone is in force at a time: for each
// workload the oldest that selects it, and the oldest for all others.
type chosen struct {
	ref      object.Ref
	selector map[string]string // empty: all of the namespace
}

// chosenOf are the objects of such kinds in a namespace, those of each kind oldest first.
// What is attached to other objects (targetRefs) is none of them.
func (b *builder) chosenOf(namespace string) [][]chosen {
	var sidecars []chosen
	for _, s := range b.world.sidecars[namespace] {
		sidecars = append(sidecars, chosen{s.Ref, s.Selector})
	}
	return [][]chosen{
		sidecars, chosenPolicies(b.world.PeerAuthentications, namespace), chosenPolicies(b.world.Telemetries, namespace), chosenPolicies(b.world.ProxyConfigs, namespace),
	}
}

func chosenPolicies[T any](policies *Policies[T], namespace string) (out []chosen) {
	for _, p := range policies.In(namespace) {
		if len(p.targets) == 0 {
			out = append(out, chosen{p.Ref, p.Selector})
		}
	}
	return out
}

// overlap is one object that does nothing for a workload, and the one that is in force.
type overlap struct{ loser, winner object.Ref }

// overlaps are what building keeps of objects that select the same workloads.
type overlaps struct {
	stale  map[string]struct{}                  // namespaces whose objects have changed
	of     map[object.Ref][]*overlap            // by the workload
	counts map[object.Ref]map[object.Ref]*count // by loser and winner
	wide   map[string]map[object.Ref]object.Ref // by namespace: the winner of each that is for all workloads
	lost   map[object.Ref]struct{}              // losers that are to be told anew
}

// count is how many workloads an overlap concerns, which share it.
type count struct {
	overlap
	workloads int
}

func newOverlaps() overlaps {
	return overlaps{stale: map[string]struct{}{}, of: map[object.Ref][]*overlap{}, counts: map[object.Ref]map[object.Ref]*count{}, wide: map[string]map[object.Ref]object.Ref{}, lost: map[object.Ref]struct{}{}}
}

// settleOverlaps says again which objects do nothing for workloads, since older ones
// select them. A change of a Pod costs what it alone is selected by.
func (b *builder) settleOverlaps() {
	o := &b.overlaps
	for ns := range o.stale {
		kinds := b.chosenOf(ns)
		b.widest(ns, kinds)
		near := rivalsOf(kinds)
		for _, list := range []map[string]*registry.Workload{b.pods[ns], b.entries[ns]} {
			for _, w := range list {
				o.recount(w.Ref, w.Labels, near)
			}
		}
	}
	near := map[string][]rivals{}
	for ref := range b.dirty.Workloads {
		ns := ref.Namespace
		if _, done := o.stale[ns]; done && b.workloadOf(ref) != nil {
			continue
		}
		if _, known := near[ns]; !known {
			near[ns] = rivalsOf(b.chosenOf(ns))
		}
		if w := b.workloadOf(ref); w != nil {
			o.recount(ref, w.Labels, near[ns])
		} else {
			o.recount(ref, nil, nil)
		}
	}
	for loser := range o.lost {
		b.tellOverlaps(loser)
	}
	clear(o.stale)
	clear(o.lost)
}

func (b *builder) workloadOf(ref object.Ref) *registry.Workload {
	if ref.Kind == object.KindWorkloadEntry {
		return b.entries[ref.Namespace][ref.Name]
	}
	return b.pods[ref.Namespace][ref.Name]
}

// widest notes which objects for all workloads of a namespace lose to another.
func (b *builder) widest(namespace string, kinds [][]chosen) {
	o := &b.overlaps
	for loser := range o.wide[namespace] {
		o.lost[loser] = struct{}{}
	}
	delete(o.wide, namespace)
	for _, list := range kinds {
		var winner object.Ref
		for _, c := range list {
			switch {
			case len(c.selector) > 0:
			case winner == object.Ref{}:
				winner = c.ref
			default:
				if o.wide[namespace] == nil {
					o.wide[namespace] = map[object.Ref]object.Ref{}
				}
				o.wide[namespace][c.ref] = winner
				o.lost[c.ref] = struct{}{}
			}
		}
	}
}

// maxRivals is how many objects of a kind are looked at for one workload, and for one pair of
// a selector: objects and workloads multiply.
const maxRivals = 100

// rivals are objects of one kind with a selector, oldest first, and their places by one pair
// of it: at most maxRivals of a pair, since one workload may have them all.
type rivals struct {
	list []chosen
	by   map[[2]string][]int
}

// rivalsOf are the objects with a selector, of kinds with more than one of them.
func rivalsOf(kinds [][]chosen) (out []rivals) {
	for _, list := range kinds {
		list = slices.DeleteFunc(list, func(c chosen) bool { return len(c.selector) == 0 })
		if len(list) < 2 {
			continue
		}
		r := rivals{list: list, by: map[[2]string][]int{}}
		for i, c := range list {
			label := firstLabel(c.selector)
			if pair := [2]string{label, c.selector[label]}; len(r.by[pair]) < maxRivals {
				r.by[pair] = append(r.by[pair], i)
			}
		}
		out = append(out, r)
	}
	return out
}

// firstLabel is the first label of a selector in order.
func firstLabel(selector map[string]string) (first string) {
	for label := range selector {
		if first == "" || label < first {
			first = label
		}
	}
	return first
}

// selecting are the objects that select a workload with the labels: of more than maxRivals
// the oldest.
func (r *rivals) selecting(labels map[string]string) (out []object.Ref) {
	var at []int
	for label, value := range labels {
		for _, i := range r.by[[2]string{label, value}] {
			if object.Selects(r.list[i].selector, labels) {
				at = append(at, i)
			}
		}
	}
	slices.Sort(at)
	for _, i := range at[:min(len(at), maxRivals)] {
		out = append(out, r.list[i].ref)
	}
	return out
}

// recount notes by which objects a workload with the labels is selected in vain.
func (o *overlaps) recount(workload object.Ref, labels map[string]string, near []rivals) {
	before := o.of[workload]
	delete(o.of, workload)
	var now []*overlap
	for i := range near {
		if refs := near[i].selecting(labels); len(refs) > 1 {
			for _, loser := range refs[1:] {
				now = append(now, o.add(loser, refs[0]))
			}
		}
	}
	if len(now) > 0 {
		o.of[workload] = now
	}
	for _, x := range before { // after what stays was counted again
		o.drop(x)
	}
}

// add counts an overlap once more.
func (o *overlaps) add(loser, winner object.Ref) *overlap {
	if o.counts[loser] == nil {
		o.counts[loser] = map[object.Ref]*count{}
	}
	c := o.counts[loser][winner]
	if c == nil {
		c = &count{overlap: overlap{loser, winner}}
		o.counts[loser][winner] = c
		o.lost[loser] = struct{}{}
	}
	c.workloads++
	return &c.overlap
}

// drop counts an overlap once less.
func (o *overlaps) drop(x *overlap) {
	c := o.counts[x.loser][x.winner]
	if c.workloads--; c.workloads > 0 {
		return
	}
	if delete(o.counts[x.loser], x.winner); len(o.counts[x.loser]) == 0 {
		delete(o.counts, x.loser)
	}
	o.lost[x.loser] = struct{}{}
}

// tellOverlaps tells of one object that loses.
func (b *builder) tellOverlaps(loser object.Ref) {
	field := "spec.selector"
	if loser.Kind == object.KindSidecar {
		field = "spec.workloadSelector"
	}
	var out []object.Finding
	if winner, is := b.overlaps.wide[loser.Namespace][loser]; is {
		out = append(out, object.Finding{Object: loser, Field: field, Code: object.CodeConflict, Winner: winner,
			Message: fmt.Sprintf("%s is older and applies to the whole namespace too; this object does nothing: merge the two, or give one a selector", winner)})
	}
	for winner := range b.overlaps.counts[loser] {
		out = append(out, object.Finding{Object: loser, Field: field, Code: object.CodeConflict, Winner: winner,
			Message: fmt.Sprintf("%s is older and selects workloads that this object selects too; for these this object does nothing: merge the two, or narrow a selector", winner)})
	}
	slices.SortFunc(out, func(x, y object.Finding) int { return cmp.Compare(x.Winner.String(), y.Winner.String()) })
	b.foundAs(loser, "overlap", out)
}
