package snapshot

import (
	"encoding/binary"
	"iter"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/fairway-mesh/fairway/internal/persist"
)

// Set is the resources of one type by name, in the order of the names.
type Set = persist.Map[string, *Resource]

// Revision is one immutable version of a layer. Nil is the empty revision.
// Successive revisions of a layer share what did not change.
type Revision struct {
	sets [NumTypes]Set
	sums [NumTypes]uint64 // of the hashes of (name, version): order does not matter, updates are O(1)
	// under is set on an overlay that says what it covers of a base.
	under *under
}

// NewRevision makes a revision from nothing. Of two resources with one name
// the later wins.
func NewRevision(resources ...*Resource) *Revision {
	var byName [NumTypes]map[string]*Resource
	for _, r := range resources {
		if byName[r.Type] == nil {
			byName[r.Type] = map[string]*Resource{}
		}
		byName[r.Type][r.Name] = r
	}
	rev := &Revision{}
	for t, set := range byName {
		rev.sets[t] = persist.Sorted(func(yield func(string, *Resource) bool) {
			for _, name := range slices.Sorted(maps.Keys(set)) {
				if !yield(name, set[name]) {
					return
				}
			}
		})
		for _, r := range set {
			rev.sums[t] += r.sum
		}
	}
	return rev
}

// HashOf is a hash of the name and the version of a resource, of which the
// XXH64 sums are given; see Stack.Sum.
func HashOf(name, version uint64) uint64 {
	var both [16]byte
	binary.LittleEndian.PutUint64(both[:8], name)
	binary.LittleEndian.PutUint64(both[8:], version)
	return xxhash.Sum64(both[:])
}

func (r *Resource) hash() uint64 {
	return HashOf(xxhash.Sum64String(r.Name), xxhash.Sum64String(r.Version))
}

// With returns the revision in which the resources of put are added or
// replaced and those of gone are not. It returns rev itself when that changes
// nothing, and costs O(changes · log n).
func (rev *Revision) With(put []*Resource, gone ...Key) *Revision {
	next := Revision{}
	if rev != nil {
		next = *rev
	}
	changed := false
	for _, k := range gone {
		if old, ok := next.sets[k.Type].Get(k.Name); ok {
			next.sets[k.Type] = next.sets[k.Type].Delete(k.Name)
			next.sums[k.Type] -= old.sum
			changed = true
		}
	}
	for _, r := range put {
		old, ok := next.sets[r.Type].Get(r.Name)
		if ok && old == r {
			continue
		}
		if ok {
			next.sums[r.Type] -= old.sum
		}
		next.sets[r.Type] = next.sets[r.Type].Set(r.Name, r)
		next.sums[r.Type] += r.sum
		changed = true
	}
	if !changed {
		return rev
	}
	next.under = nil // it was of other resources
	return &next
}

// Get returns the resource of a name, nil when there is none.
func (rev *Revision) Get(t Type, name string) *Resource {
	r, _ := rev.Set(t).Get(name)
	return r
}

// Set is the resources of one type.
func (rev *Revision) Set(t Type) Set {
	if rev == nil {
		return Set{}
	}
	return rev.sets[t]
}

// Len is the number of resources of one type.
func (rev *Revision) Len(t Type) int { return rev.Set(t).Len() }

// All yields the resources of one type in the order of their names.
func (rev *Revision) All(t Type) iter.Seq[*Resource] {
	return func(yield func(*Resource) bool) {
		for _, r := range rev.Set(t).All() {
			if !yield(r) {
				return
			}
		}
	}
}

func (rev *Revision) sum(t Type) uint64 {
	if rev == nil {
		return 0
	}
	return rev.sums[t]
}
