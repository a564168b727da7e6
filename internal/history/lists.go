package history

import "slices"

// lists are those that the last entries have, for others that say the same: pass after pass
// concerns the same workloads.
type lists[T comparable] struct {
	last [8][]T
	next int
}

// share returns an equal list that an earlier entry has, or the list itself, without room
// for more; known says which.
func (l *lists[T]) share(list []T) (shared []T, known bool) {
	if len(list) == 0 {
		return nil, true
	}
	for _, earlier := range l.last {
		if slices.Equal(earlier, list) {
			return earlier, true
		}
	}
	exact := make([]T, len(list))
	copy(exact, list)
	l.last[l.next] = exact
	l.next = (l.next + 1) % len(l.last)
	return exact, false
}
