package persist

import (
	"cmp"
	"hash/maphash"
)

// Map is an immutable map in the order of its keys. The zero Map is empty and
// ready for use; a Map is copied by value and may be read by any number of
// goroutines at once.
//
// It is a treap whose priorities are hashes of the keys, so its shape follows
// from its keys alone: two maps with equal keys have equal shapes however they
// came about, and Diff can skip every subtree that both share.
type Map[K cmp.Ordered, V any] struct {
	root *node[K, V]
}

type node[K cmp.Ordered, V any] struct {
	left, right *node[K, V]
	size        uint32 // of the subtree, this node included
	priority    uint32
	key         K
	value       V
}

// seed makes priorities unguessable from outside the process. It is set once
// and is the same for all maps, which Diff relies upon.
var seed = maphash.MakeSeed()

func priorityOf[K cmp.Ordered](key K) uint32 {
	return uint32(maphash.Comparable(seed, key)) //nolint:gosec // the low half is as good as any
}

// above says whether the node (p, key) belongs nearer to the root than o.
func above[K cmp.Ordered, V any](p uint32, key K, o *node[K, V]) bool {
	if p != o.priority {
		return p > o.priority
	}
	return key < o.key
}

func size[K cmp.Ordered, V any](n *node[K, V]) uint32 {
	if n == nil {
		return 0
	}
	return n.size
}

// with is a copy of n with other children.
func (n *node[K, V]) with(left, right *node[K, V]) *node[K, V] {
	c := *n
	c.left, c.right = left, right
	c.size = 1 + size(left) + size(right)
	return &c
}

// Len is the number of keys.
func (m Map[K, V]) Len() int { return int(size(m.root)) }

// Same says whether both maps are one and the same, in O(1). Maps that are not
// the same may still hold the same keys and values.
func (m Map[K, V]) Same(o Map[K, V]) bool { return m.root == o.root }

// Get returns the value of key, and whether it is there.
func (m Map[K, V]) Get(key K) (V, bool) {
	for n := m.root; n != nil; {
		switch {
		case key == n.key:
			return n.value, true
		case key < n.key:
			n = n.left
		default:
			n = n.right
		}
	}
	var zero V
	return zero, false
}

// Set returns a map in which key has the value. It costs O(log n).
func (m Map[K, V]) Set(key K, value V) Map[K, V] {
	return Map[K, V]{set(m.root, &node[K, V]{size: 1, priority: priorityOf(key), key: key, value: value})}
}

func set[K cmp.Ordered, V any](n, in *node[K, V]) *node[K, V] {
	switch {
	case n == nil:
		return in
	case in.key == n.key:
		in.left, in.right, in.size = n.left, n.right, n.size
		return in
	case above(in.priority, in.key, n):
		// The key cannot be below n: its node would stand above n there, too.
		in.left, _, in.right = split(n, in.key)
		in.size = 1 + size(in.left) + size(in.right)
		return in
	case in.key < n.key:
		return n.with(set(n.left, in), n.right)
	default:
		return n.with(n.left, set(n.right, in))
	}
}

// Delete returns a map without key; m itself when it has no such key.
func (m Map[K, V]) Delete(key K) Map[K, V] {
	return Map[K, V]{remove(m.root, key)}
}

func remove[K cmp.Ordered, V any](n *node[K, V], key K) *node[K, V] {
	switch {
	case n == nil:
		return nil
	case key == n.key:
		return merge(n.left, n.right)
	case key < n.key:
		if left := remove(n.left, key); left != n.left {
			return n.with(left, n.right)
		}
	default:
		if right := remove(n.right, key); right != n.right {
			return n.with(n.left, right)
		}
	}
	return n
}

// split parts n into what is below key, the node of key (nil when there is
// none), and what is above it. Only the nodes on the way to key are copied.
func split[K cmp.Ordered, V any](n *node[K, V], key K) (below, at, beyond *node[K, V]) {
	switch {
	case n == nil:
		return nil, nil, nil
	case key == n.key:
		return n.left, n, n.right
	case key < n.key:
		below, at, beyond = split(n.left, key)
		return below, at, n.with(beyond, n.right)
	default:
		below, at, beyond = split(n.right, key)
		return n.with(n.left, below), at, beyond
	}
}

// merge joins two trees, all keys of a being below all keys of b.
func merge[K cmp.Ordered, V any](a, b *node[K, V]) *node[K, V] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case above(a.priority, a.key, b):
		return a.with(a.left, merge(a.right, b))
	default:
		return b.with(merge(a, b.left), b.right)
	}
}
