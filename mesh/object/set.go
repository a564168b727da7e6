package object

// Set holds texts that have been met; the zero value is empty.
type Set map[string]struct{}

// Add tells whether the text is a new one, and takes it in.
func (s *Set) Add(text string) bool {
	if _, known := (*s)[text]; known {
		return false
	}
	if *s == nil {
		*s = Set{}
	}
	(*s)[text] = struct{}{}
	return true
}

// CoverBelow tells whether a wildcard of the set covers the host and is not the host itself.
func (s Set) CoverBelow(host string) (covered bool) {
	WildcardsOf(host, func(pattern string) bool {
		_, covered = s[pattern]
		return !covered
	})
	return covered
}
