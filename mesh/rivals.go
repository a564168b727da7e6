package mesh

import (
	"cmp"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Objects and workloads multiply, so both of these are for one workload and one kind.
const (
	maxRivals = 100 // objects that select it which are told of, and as many of one selector
	maxLooks  = 300 // pairs of selectors that it is compared with
)

// rivals are objects of one kind with a selector, by selector, and the places of these by
// one pair of each: the one that the fewest selectors have, which few other workloads have.
type rivals struct {
	kind   object.Kind
	groups []group
	by     map[[2]string]*candidates
}

// group are the objects with one selector.
type group struct {
	selector map[string]string
	members  []aged // oldest first, at most maxRivals
}

// aged is an object and how many of its kind are older.
type aged struct {
	age int
	ref object.Ref
}

// candidates are the groups that one pair leads to, and how many pairs their selectors have.
type candidates struct {
	groups []int
	pairs  int
}

// rivalsOf are the objects with a selector, of kinds with more than one of them.
func rivalsOf(kinds [][]chosen) (out []rivals) {
	for _, list := range kinds {
		list = slices.DeleteFunc(list, func(c chosen) bool { return len(c.selector) == 0 })
		if len(list) > 1 {
			r := rivals{kind: list[0].ref.Kind, groups: groupsOf(list), by: map[[2]string]*candidates{}}
			r.index()
			out = append(out, r)
		}
	}
	return out
}

// groupsOf puts objects with the same selector together; those of all are oldest first.
func groupsOf(list []chosen) (out []group) {
	at := map[string]int{}
	for age, c := range list {
		key := object.CanonicalLabels(c.selector)
		i, known := at[key]
		if !known {
			i = len(out)
			at[key] = i
			out = append(out, group{selector: c.selector})
		}
		if g := &out[i]; len(g.members) < maxRivals {
			g.members = append(g.members, aged{age, c.ref})
		}
	}
	return out
}

// index has each selector found by its rarest pair, of several the first in order.
func (r *rivals) index() {
	having := map[[2]string]int{}
	for _, g := range r.groups {
		for label, value := range g.selector {
			having[[2]string{label, value}]++
		}
	}
	for i, g := range r.groups {
		var rarest [2]string
		least := len(r.groups) + 1
		for label, value := range g.selector {
			pair := [2]string{label, value}
			if n := having[pair]; n < least || n == least && label < rarest[0] {
				rarest, least = pair, n
			}
		}
		c := r.by[rarest]
		if c == nil {
			c = &candidates{}
			r.by[rarest] = c
		}
		c.groups = append(c.groups, i)
		c.pairs += len(g.selector)
	}
}

// selecting are the objects that select a workload with the labels: of more than maxRivals
// the oldest. ok is false where that would be more than maxLooks to look at.
func (r *rivals) selecting(labels map[string]string) (out []object.Ref, ok bool) {
	looks := 0
	var near []*candidates
	for label, value := range labels {
		if c := r.by[[2]string{label, value}]; c != nil {
			near = append(near, c)
			looks += c.pairs
		}
	}
	if looks > maxLooks {
		return nil, false
	}
	var found [][]aged
	for _, c := range near {
		for _, i := range c.groups {
			if g := r.groups[i]; object.Selects(g.selector, labels) {
				found = append(found, g.members)
			}
		}
	}
	return oldest(found), true
}

// oldest are the maxRivals oldest of lists that are oldest first.
func oldest(lists [][]aged) (out []object.Ref) {
	slices.SortFunc(lists, func(x, y []aged) int { return cmp.Compare(x[0].age, y[0].age) })
	lists = lists[:min(len(lists), maxRivals)] // others begin after maxRivals that are older
	for len(lists) > 0 && len(out) < maxRivals {
		next := 0
		for i := range lists {
			if lists[i][0].age < lists[next][0].age {
				next = i
			}
		}
		out = append(out, lists[next][0].ref)
		if lists[next] = lists[next][1:]; len(lists[next]) == 0 {
			lists = slices.Delete(lists, next, next+1)
		}
	}
	return out
}
