package history

import "slices"

// lists are those that the entries of one ring have, of which equal ones are one: pass after
// pass concerns the same workloads. A list takes memory from its first entry on until its
// last one goes, and counts for as long.
type lists[T comparable] struct {
	last [8][]T // to be shared; none is in it that no entry has
	next int
	uses map[*T]int // how many entries have the list that begins there
}

// take returns an equal list that an entry has, or the list itself, without room for more;
// known says which.
func (l *lists[T]) take(list []T) (shared []T, known bool) {
	if len(list) == 0 {
		return nil, true
	}
	for _, earlier := range l.last {
		if slices.Equal(earlier, list) {
			l.uses[&earlier[0]]++
			return earlier, true
		}
	}
	exact := make([]T, len(list))
	copy(exact, list)
	l.last[l.next] = exact
	l.next = (l.next + 1) % len(l.last)
	if l.uses == nil {
		l.uses = map[*T]int{}
	}
	l.uses[&exact[0]] = 1
	return exact, false
}

// drop says that an entry which had the list has gone; gone says that it was the last one.
func (l *lists[T]) drop(list []T) (gone bool) {
	if len(list) == 0 {
		return false
	}
	first := &list[0]
	if l.uses[first]--; l.uses[first] > 0 {
		return false
	}
	delete(l.uses, first)
	for i, shared := range l.last {
		if len(shared) > 0 && &shared[0] == first {
			l.last[i] = nil
		}
	}
	return true
}
