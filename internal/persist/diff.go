package persist

import "cmp"

// Change is one key on which two maps differ.
type Change[K cmp.Ordered, V any] struct {
	Key            K
	Old, New       V
	HadOld, HasNew bool // whether the key is in the old and in the new map
}

// Diff calls visit, in the order of the keys, for every key that only one of
// the maps has, and for every key whose values are not same. Subtrees that the
// maps share are skipped, so that the cost is O(changes · log n) for maps that
// were made from one another. A nil same takes all values of a key for changed
// that are not in a shared subtree. Diff ends early when visit returns false.
func Diff[K cmp.Ordered, V any](before, after Map[K, V], same func(a, b V) bool, visit func(Change[K, V]) bool) {
	d := differ[K, V]{same: same, visit: visit}
	d.diff(before.root, after.root)
}

type differ[K cmp.Ordered, V any] struct {
	same  func(a, b V) bool
	visit func(Change[K, V]) bool
}

// diff reports whether to go on.
func (d *differ[K, V]) diff(a, b *node[K, V]) bool {
	switch {
	case a == b:
		return true
	case a == nil:
		return d.diff(nil, b.left) && d.added(b) && d.diff(nil, b.right)
	case b == nil:
		return d.diff(a.left, nil) && d.removed(a) && d.diff(a.right, nil)
	case a.key == b.key:
		return d.diff(a.left, b.left) && d.changed(a, b) && d.diff(a.right, b.right)
	case above(a.priority, a.key, b):
		// The key of a is not in b, or it would stand above the root of b.
		below, _, beyond := split(b, a.key)
		return d.diff(a.left, below) && d.removed(a) && d.diff(a.right, beyond)
	default:
		below, _, beyond := split(a, b.key)
		return d.diff(below, b.left) && d.added(b) && d.diff(beyond, b.right)
	}
}

func (d *differ[K, V]) added(b *node[K, V]) bool {
	return d.visit(Change[K, V]{Key: b.key, New: b.value, HasNew: true})
}

func (d *differ[K, V]) removed(a *node[K, V]) bool {
	return d.visit(Change[K, V]{Key: a.key, Old: a.value, HadOld: true})
}

func (d *differ[K, V]) changed(a, b *node[K, V]) bool {
	if d.same != nil && d.same(a.value, b.value) {
		return true
	}
	return d.visit(Change[K, V]{Key: a.key, Old: a.value, New: b.value, HadOld: true, HasNew: true})
}
