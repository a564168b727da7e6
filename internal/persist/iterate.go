package persist

import (
	"cmp"
	"iter"
	"strings"
)

// All yields every key and its value in the order of the keys.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { walk(m.root, yield) }
}

func walk[K cmp.Ordered, V any](n *node[K, V], yield func(K, V) bool) bool {
	return n == nil || walk(n.left, yield) && yield(n.key, n.value) && walk(n.right, yield)
}

// From yields, in order, the keys that are not below key.
func (m Map[K, V]) From(key K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { walkFrom(m.root, key, yield) }
}

func walkFrom[K cmp.Ordered, V any](n *node[K, V], key K, yield func(K, V) bool) bool {
	if n == nil {
		return true
	}
	if n.key < key {
		return walkFrom(n.right, key, yield)
	}
	return walkFrom(n.left, key, yield) && yield(n.key, n.value) && walk(n.right, yield)
}

// Prefix yields, in order, the keys of m that begin with prefix.
func Prefix[V any](m Map[string, V], prefix string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for k, v := range m.From(prefix) {
			if !strings.HasPrefix(k, prefix) || !yield(k, v) {
				return
			}
		}
	}
}

// Sorted makes a map of pairs whose keys come in rising order, in O(n) and
// with one allocation per key. A pair that is out of order is put in as by
// Set, the last pair of a key wins.
func Sorted[K cmp.Ordered, V any](pairs iter.Seq2[K, V]) Map[K, V] {
	var (
		spine []*node[K, V] // the right edge of the tree, root first; sizes are not yet known
		late  []*node[K, V]
	)
	for k, v := range pairs {
		n := &node[K, V]{priority: priorityOf(k), key: k, value: v}
		if len(spine) > 0 && k <= spine[len(spine)-1].key {
			n.size = 1
			late = append(late, n)
			continue
		}
		var below *node[K, V]
		for len(spine) > 0 && above(n.priority, n.key, spine[len(spine)-1]) {
			below = spine[len(spine)-1]
			below.size = 1 + size(below.left) + size(below.right)
			spine = spine[:len(spine)-1]
		}
		n.left = below
		if len(spine) > 0 {
			spine[len(spine)-1].right = n
		}
		spine = append(spine, n)
	}
	var m Map[K, V]
	for i := len(spine) - 1; i >= 0; i-- {
		m.root = spine[i]
		m.root.size = 1 + size(m.root.left) + size(m.root.right)
	}
	for _, n := range late {
		m.root = set(m.root, n)
	}
	return m
}
