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
	of     map[object.Ref][]overlap             // by the workload
	counts map[object.Ref]map[object.Ref]int    // the workloads by loser and winner
	wide   map[string]map[object.Ref]object.Ref // by namespace: the winner of each that is for all workloads
	lost   map[object.Ref]struct{}              // losers that are to be told anew
}

func newOverlaps() overlaps {
	return overlaps{stale: map[string]struct{}{}, of: map[object.Ref][]overlap{}, counts: map[object.Ref]map[object.Ref]int{}, wide: map[string]map[object.Ref]object.Ref{}, lost: map[object.Ref]struct{}{}}
}

// settleOverlaps says again which objects do nothing for workloads, since older ones
// select them. A change of a Pod costs what it alone is selected by.
func (b *builder) settleOverlaps() {
	o := &b.overlaps
	for ns := range o.stale {
		kinds := b.chosenOf(ns)
		b.widest(ns, kinds)
		near := rivals(kinds)
		for _, list := range []map[string]*registry.Workload{b.pods[ns], b.entries[ns]} {
			for _, w := range list {
				o.recount(w.Ref, w.Labels, near)
			}
		}
	}
	near := map[string][][]chosen{}
	for ref := range b.dirty.Workloads {
		ns := ref.Namespace
		if _, done := o.stale[ns]; done && b.workloadOf(ref) != nil {
			continue
		}
		if _, known := near[ns]; !known {
			near[ns] = rivals(b.chosenOf(ns))
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

// rivals are the objects with a selector, of kinds with more than one of them.
func rivals(kinds [][]chosen) (out [][]chosen) {
	for _, list := range kinds {
		list = slices.DeleteFunc(list, func(c chosen) bool { return len(c.selector) == 0 })
		if len(list) > 1 {
			out = append(out, list)
		}
	}
	return out
}

// recount notes by which objects a workload with the labels is selected in vain.
func (o *overlaps) recount(workload object.Ref, labels map[string]string, near [][]chosen) {
	for _, x := range o.of[workload] {
		if o.counts[x.loser][x.winner]--; o.counts[x.loser][x.winner] == 0 {
			delete(o.counts[x.loser], x.winner)
			o.lost[x.loser] = struct{}{}
		}
		if len(o.counts[x.loser]) == 0 {
			delete(o.counts, x.loser)
		}
	}
	delete(o.of, workload)
	for _, list := range near {
		var winner object.Ref
		for _, c := range list {
			if !object.Selects(c.selector, labels) {
				continue
			}
			if winner == (object.Ref{}) {
				winner = c.ref
				continue
			}
			o.of[workload] = append(o.of[workload], overlap{c.ref, winner})
			if o.counts[c.ref] == nil {
				o.counts[c.ref] = map[object.Ref]int{}
			}
			if o.counts[c.ref][winner]++; o.counts[c.ref][winner] == 1 {
				o.lost[c.ref] = struct{}{}
			}
		}
	}
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
