package snapshot

import (
	"cmp"
	"iter"
	"slices"

	"github.com/fairway-mesh/fairway/internal/persist"
)

// The places of a Stack.
const (
	LayerOutbound = iota // outbound(scope) or gateway(selection)
	LayerInbound         // inbound(workload)
	LayerSecrets         // secrets(identity)
	LayerLife            // what follows where the Pod is in its life
	LayerCaller          // of which workload its metrics say that it is
	LayerBase            // what most sidecars see alike; LayerOutbound overrides and hides parts of it
	numLayers
)

// Stack is all that one proxy sees: revisions of a few layers. A resource of
// LayerOutbound stands in place of the one of its name in LayerBase, and hides
// it when it is Hidden; otherwise the layers have different names. It is
// comparable: equal stacks show the same. The zero Stack is empty.
type Stack [numLayers]*Revision

// Get returns the resource of a name, nil when there is none.
func (s Stack) Get(t Type, name string) *Resource {
	for _, rev := range s {
		if r := rev.Get(t, name); r != nil {
			if r.Hidden() {
				return nil
			}
			return r
		}
	}
	return nil
}

// shown tells whether a resource of the layer is what the stack shows under
// its name.
func (s Stack) shown(layer int, r *Resource) bool {
	if r.Hidden() {
		return false
	}
	return layer != LayerBase || s[LayerOutbound].Len(r.Type) == 0 || s[LayerOutbound].Get(r.Type, r.Name) == nil
}

// Len is the number of resources of one type.
func (s Stack) Len(t Type) int {
	n := 0
	for _, rev := range s {
		n += rev.Len(t)
	}
	if s[LayerBase].Len(t) == 0 {
		return n
	}
	for r := range s[LayerOutbound].All(t) {
		if r.Hidden() {
			n--
		}
		if s[LayerBase].Get(t, r.Name) != nil {
			n--
		}
	}
	return n
}

// All yields the resources of one type, layer by layer and in the order of
// their names within each.
func (s Stack) All(t Type) iter.Seq[*Resource] {
	return func(yield func(*Resource) bool) {
		for i, rev := range s {
			for r := range rev.All(t) {
				if s.shown(i, r) && !yield(r) {
					return
				}
			}
		}
	}
}

// Prefix yields the resources of one type whose names begin with prefix, in
// the order of All.
func (s Stack) Prefix(t Type, prefix string) iter.Seq[*Resource] {
	return func(yield func(*Resource) bool) {
		for i, rev := range s {
			for _, r := range persist.Prefix(rev.Set(t), prefix) {
				if s.shown(i, r) && !yield(r) {
					return
				}
			}
		}
	}
}

// Sum is the sum of HashOf of all resources of one type, the same on all
// replicas and whatever the layers that they come from.
func (s Stack) Sum(t Type) uint64 {
	sum := -s[LayerOutbound].covered(s[LayerBase], t)
	for _, rev := range s {
		sum += rev.sum(t)
	}
	return sum
}

// SameType says whether both stacks show the same resources of type t, as far
// as that can be told in O(1); false means only that Diff must look.
func (s Stack) SameType(o Stack, t Type) bool {
	for i := range s {
		if s[i] != o[i] && !s[i].Set(t).Same(o[i].Set(t)) {
			return false
		}
	}
	return true
}

// Difference is one name on which two stacks differ.
type Difference struct {
	Name     string
	Old, New *Resource // nil: not there
}

// Diff lists, in the order of the names, the resources of type t that a proxy
// which holds all of s lacks or holds too much to see all of o. Its cost
// follows what changed, not what is there.
func (s Stack) Diff(o Stack, t Type) []Difference {
	var found []Difference
	layers := 0
	for i := range s {
		if s[i] == o[i] || s[i].Set(t).Same(o[i].Set(t)) {
			continue
		}
		before := len(found)
		persist.Diff(s[i].Set(t), o[i].Set(t), (*Resource).Same, func(c persist.Change[string, *Resource]) bool {
			found = append(found, Difference{Name: c.Key, Old: c.Old, New: c.New})
			return true
		})
		if len(found) > before {
			layers++
		}
	}
	if s[LayerBase] == nil && o[LayerBase] == nil && layers < 2 {
		return found
	}
	return s.effective(o, t, found)
}

// effective brings the differences of several layers into one order and keeps
// those that show: a resource may have moved from one layer to another, or be
// overridden in both stacks.
func (s Stack) effective(o Stack, t Type, found []Difference) []Difference {
	slices.SortStableFunc(found, func(a, b Difference) int { return cmp.Compare(a.Name, b.Name) })
	kept, last := found[:0], ""
	for i, d := range found {
		if i > 0 && last == d.Name {
			continue
		}
		last = d.Name
		d.Old, d.New = s.Get(t, d.Name), o.Get(t, d.Name)
		if !d.Old.Same(d.New) {
			kept = append(kept, d)
		}
	}
	return kept
}
