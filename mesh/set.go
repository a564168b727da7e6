package mesh

// set holds texts that have been met; the zero value is empty.
type set map[string]struct{}

// add tells whether the text is a new one, and takes it in.
func (s *set) add(text string) bool {
	if _, known := (*s)[text]; known {
		return false
	}
	if *s == nil {
		*s = set{}
	}
	(*s)[text] = struct{}{}
	return true
}

// coverBelow tells whether a wildcard of the set covers the host and is not the host itself.
func (s set) coverBelow(host string) (covered bool) {
	wildcardsOf(host, func(pattern string) bool {
		_, covered = s[pattern]
		return !covered
	})
	return covered
}
