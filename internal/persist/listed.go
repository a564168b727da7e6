package persist

import "slices"

// Listed returns the index with the value in the list of a key, replacing the
// one that is the same object and in the order of precedence; a nil value only
// removes.
func Listed[V any](m Map[string, []V], key string, is func(V) bool, value *V, order func(a, b V) int) Map[string, []V] {
	l, _ := m.Get(key)
	l = slices.DeleteFunc(slices.Clone(l), is)
	if value != nil {
		i, _ := slices.BinarySearchFunc(l, *value, order)
		l = slices.Insert(l, i, *value)
	}
	if len(l) == 0 {
		return m.Delete(key)
	}
	return m.Set(key, l)
}
