package object

// HostSet answers whether hosts, which may be patterns, have anything in common
// with one of the set.
type HostSet struct {
	names map[string]struct{}
	above map[string]struct{} // patterns that cover one of them
}

// NewHostSet is an empty set.
func NewHostSet() *HostSet {
	return &HostSet{map[string]struct{}{}, map[string]struct{}{}}
}

// Add takes a host or a pattern in.
func (s *HostSet) Add(host string) {
	s.names[host] = struct{}{}
	WildcardsOf(host, func(p string) bool {
		s.above[p] = struct{}{}
		return true
	})
}

// Covers tells whether one of the set is the host, covers it or is covered by it.
func (s *HostSet) Covers(host string) bool {
	if _, ok := s.above[host]; ok {
		return true
	}
	return !EachPattern(host, func(p string) bool { _, ok := s.names[p]; return !ok })
}
