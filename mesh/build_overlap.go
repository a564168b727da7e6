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
	near   map[string][]rivals                  // by namespace, of those with rivals
	of     map[object.Ref][]*overlap            // by the workload
	counts map[object.Ref]map[object.Ref]*count // by loser and winner
	wide   map[string]map[object.Ref]object.Ref // by namespace: the winner of each that is for all workloads
	lost   map[object.Ref]struct{}              // losers that are to be told anew

	crowded map[object.Ref]struct{} // workloads that have a finding, since too many selectors may select them
}

// count is how many workloads an overlap concerns, which share it.
type count struct {
	overlap
	workloads int
}

func newOverlaps() overlaps {
	return overlaps{stale: map[string]struct{}{}, near: map[string][]rivals{}, of: map[object.Ref][]*overlap{}, counts: map[object.Ref]map[object.Ref]*count{}, wide: map[string]map[object.Ref]object.Ref{}, lost: map[object.Ref]struct{}{}, crowded: map[object.Ref]struct{}{}}
}

// settleOverlaps says again which objects do nothing for workloads, since older ones
// select them. A change of a Pod costs what it alone is selected by.
func (b *builder) settleOverlaps() {
	o := &b.overlaps
	for ns := range o.stale {
		kinds := b.chosenOf(ns)
		b.widest(ns, kinds)
		near := rivalsOf(kinds)
		if delete(o.near, ns); len(near) > 0 {
			o.near[ns] = near
		}
		for _, list := range []map[string]*registry.Workload{b.pods[ns], b.entries[ns]} {
			for _, w := range list {
				b.recount(w.Ref, w.Labels, near)
			}
		}
	}
	for ref := range b.dirty.Workloads {
		ns := ref.Namespace
		if _, done := o.stale[ns]; done && b.workloadOf(ref) != nil {
			continue
		}
		if w := b.workloadOf(ref); w != nil {
			b.recount(ref, w.Labels, o.near[ns])
		} else {
			b.recount(ref, nil, nil)
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

// recount notes by which objects a workload with the labels is selected in vain.
func (b *builder) recount(workload object.Ref, labels map[string]string, near []rivals) {
	o := &b.overlaps
	before := o.of[workload]
	delete(o.of, workload)
	var now []*overlap
	var crowds []object.Finding
	for i := range near {
		refs, ok := near[i].selecting(labels)
		if !ok {
			crowds = append(crowds, manySelectors(workload, near[i].kind))
		}
		if len(refs) > 1 {
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
	if _, was := o.crowded[workload]; was || len(crowds) > 0 {
		b.foundAs(workload, "overlap", crowds)
		delete(o.crowded, workload)
	}
	if len(crowds) > 0 {
		o.crowded[workload] = struct{}{}
	}
}

// manySelectors says of a workload that too many selectors of a kind may select it.
func manySelectors(workload object.Ref, kind object.Kind) object.Finding {
	field := "metadata.labels"
	if workload.Kind == object.KindWorkloadEntry {
		field = "spec.labels"
	}
	return object.Finding{Object: workload, Field: field, Code: object.CodeConflict, Message: fmt.Sprintf(
		"selectors of %s objects that share labels with this workload have more than %d labels together; the oldest that selects it is in force, and the others are not told that they do nothing for it: "+
			"give the selectors labels that fewer of them have", kind, maxLooks)}
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
