package mesh

import "unique"

// List is a list that can be compared: lists with equal elements in equal
// order are equal, wherever they were made. It never changes. The zero List is
// empty.
type List[T comparable] struct {
	last unique.Handle[listCell[T]]
	len  int
}

type listCell[T comparable] struct {
	before List[T]
	value  T
}

// ListOf is the list of the values.
func ListOf[T comparable](values ...T) List[T] {
	var l List[T]
	for _, v := range values {
		l = List[T]{unique.Make(listCell[T]{l, v}), l.len + 1}
	}
	return l
}

// Len is the number of elements.
func (l List[T]) Len() int { return l.len }

// Slice is a new slice with the elements; nil when there are none.
func (l List[T]) Slice() []T {
	if l.len == 0 {
		return nil
	}
	out := make([]T, l.len)
	for i := l.len - 1; i >= 0; i-- {
		c := l.last.Value()
		out[i], l = c.value, c.before
	}
	return out
}
