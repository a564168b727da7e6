package explain

// truth is whether a condition holds, as far as it can be told from a request and the
// configuration.
type truth int8

const (
	no truth = iota - 1
	unknown
	holds
)

func truthOf(b bool) truth {
	if b {
		return holds
	}
	return no
}

// all is holds when every condition does, and no when one does not.
func all[T any](list []T, is func(T) truth) truth {
	out := holds
	for _, x := range list {
		out = min(out, is(x))
	}
	return out
}

// some is holds when one condition does, and no when none does.
func some[T any](list []T, is func(T) truth) truth {
	out := no
	for _, x := range list {
		out = max(out, is(x))
	}
	return out
}
