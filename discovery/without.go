package discovery

// few is so many keys that copying them costs next to nothing.
const few = 8

// without removes a key from a map and returns what to go on with. A map keeps the size
// that it once had, which for what a proxy holds of a large mesh is much, so one of which
// little is left is made anew, and an empty one is nil.
func without[K comparable, V any](m map[K]V, key K) map[K]V {
	before := len(m)
	delete(m, key)
	switch {
	case len(m) == 0:
		return nil
	case len(m) == few && before > few:
		small := make(map[K]V, few)
		for k, v := range m {
			small[k] = v
		}
		return small
	}
	return m
}
