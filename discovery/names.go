package discovery

import (
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
)

// names is an immutable sorted set of resource names. Nil is the empty set.
// Equal sets have one pointer as long as nameTable remembers them, so that the
// streams of like proxies share them and steps can be keyed by them.
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

// nameTable gives equal sets one pointer. It is bounded; what it forgets is
// merely not shared any more.
type nameTable struct{ known *lru.Cache[string, *names] }

const (
	nameTableSize = 4096 // sets; proxies of one kind ask for the same few
	maxShared     = 512  // names in a set that is remembered
)

func newNameTable() *nameTable {
	cache, err := lru.New[string, *names](nameTableSize)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &nameTable{cache}
}

// of returns the set of the given names, which may come in any order and
// repeatedly.
func (t *nameTable) of(list []string) *names {
	if len(list) == 0 {
		return nil
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	if len(sorted) > maxShared {
		return &names{sorted: sorted}
	}
	key := strings.Join(sorted, "\n")
	if known, ok := t.known.Get(key); ok {
		return known
	}
	n := &names{sorted: slices.Clip(sorted)}
	t.known.Add(key, n)
	return n
}

// change returns set with and without some names.
func (t *nameTable) change(set *names, add, remove []string) *names {
	if len(add) == 0 && len(remove) == 0 {
		return set
	}
	list := slices.DeleteFunc(slices.Clone(set.list()), func(n string) bool { return slices.Contains(remove, n) })
	return t.of(append(list, add...))
}
