package discovery

import (
	"maps"
	"slices"
	"sync"
	"weak"

	"github.com/cespare/xxhash/v2"
)

// names is an immutable sorted set of resource names. Nil is the empty set.
// Equal sets have one pointer, so that the streams of like proxies share them and
// steps can be keyed by them.
type names struct{ sorted []string }

func (n *names) has(name string) bool {
	if n == nil {
		return false
	}
	_, ok := slices.BinarySearch(n.sorted, name)
	return ok
}

func (n *names) len() int {
	if n == nil {
		return 0
	}
	return len(n.sorted)
}

func (n *names) list() []string {
	if n == nil {
		return nil
	}
	return n.sorted
}

// nameTable gives equal sets one pointer as long as somebody holds it. Safe for
// concurrent use.
type nameTable struct {
	mu    sync.Mutex
	known map[uint64]weak.Pointer[names] // by a hash of the names
	room  int                            // how many there may be before those that went are looked for
}

const (
	nameTableRoom = 1024 // sets; proxies of one kind ask for the same few
	maxShared     = 512  // names in a set that is remembered
)

func newNameTable() *nameTable {
	return &nameTable{known: map[uint64]weak.Pointer[names]{}, room: nameTableRoom}
}

// of returns the set of the given names, which may come in any order and
// repeatedly.
func (t *nameTable) of(list []string) *names {
	if len(list) == 0 {
		return nil
	}
	return t.share(sortedOf(list))
}

// share returns the set of sorted names, each of which is there once.
func (t *nameTable) share(sorted []string) *names {
	if len(sorted) == 0 {
		return nil
	}
	n := &names{sorted: slices.Clip(sorted)}
	if len(n.sorted) > maxShared {
		return n
	}
	hash := xxhash.New()
	for _, name := range n.sorted {
		_, _ = hash.WriteString(name)
		_, _ = hash.WriteString("\n")
	}
	key := hash.Sum64()
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.known[key].Value(); known != nil && slices.Equal(known.sorted, n.sorted) {
		return known
	}
	if len(t.known) >= t.room {
		maps.DeleteFunc(t.known, func(_ uint64, held weak.Pointer[names]) bool { return held.Value() == nil })
		t.room = max(nameTableRoom, 2*len(t.known))
	}
	t.known[key] = weak.Make(n)
	return n
}

func sizeOf(list []string) int {
	size := 0
	for _, n := range list {
		size += len(n)
	}
	return size
}

// change returns set without some names, and then with others.
func (t *nameTable) change(set *names, add, remove []string) *names {
	adds := sortedOf(add)
	lacks := slices.ContainsFunc(adds, func(n string) bool { return !set.has(n) })
	if !lacks && !slices.ContainsFunc(remove, set.has) {
		return set
	}
	removes := sortedOf(remove)
	out := make([]string, 0, set.len()+len(adds))
	for _, n := range set.list() {
		for len(adds) > 0 && adds[0] < n {
			out, adds = append(out, adds[0]), adds[1:]
		}
		if len(adds) > 0 && adds[0] == n {
			out, adds = append(out, n), adds[1:]
			continue
		}
		for len(removes) > 0 && removes[0] < n {
			removes = removes[1:]
		}
		if len(removes) == 0 || removes[0] != n {
			out = append(out, n)
		}
	}
	return t.share(append(out, adds...))
}

func sortedOf(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
