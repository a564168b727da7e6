package snapshot

import (
	"iter"
	"time"
)

// shelf holds the layers of one sort by what they are computed for, with the
// number of proxies that look at each. One that nobody looks at any more stays
// for a while: proxies lose their streams and come back, and whole namespaces of
// them do when a replica goes away.
type shelf[K comparable, L any] struct {
	places map[K]*place[L]
	room   int     // for layers that nobody looks at
	idle   int     // how many of those there are
	drop   func(L) // lets go of what a layer was made of
}

type place[L any] struct {
	layer L
	users int
	left  time.Time // when the last went, while there are none
}

func newShelf[K comparable, L any](room int, drop func(L)) *shelf[K, L] {
	return &shelf[K, L]{places: map[K]*place[L]{}, room: room, drop: drop}
}

// enter is the layer of a key for one more user, made when there is none.
func (s *shelf[K, L]) enter(key K, make func() L) (layer L, made bool) {
	p := s.places[key]
	if p == nil {
		p, made = &place[L]{layer: make()}, true
		s.places[key] = p
	} else if p.users == 0 {
		s.idle--
	}
	p.users++
	return p.layer, made
}

// leave takes one user from the layer of a key.
func (s *shelf[K, L]) leave(key K) {
	p := s.places[key]
	if p == nil {
		return
	}
	if p.users--; p.users > 0 {
		return
	}
	if s.idle == s.room {
		delete(s.places, key)
		s.drop(p.layer)
		return
	}
	s.idle++
	p.left = time.Now()
}

// get is the layer of a key; the zero L when there is none.
func (s *shelf[K, L]) get(key K) (layer L) {
	if p := s.places[key]; p != nil {
		layer = p.layer
	}
	return layer
}

// all are the layers that are kept up to date, in no order. They may be
// replaced meanwhile.
func (s *shelf[K, L]) all() iter.Seq2[K, L] { return s.of(0) }

// used are the layers that proxies look at, in no order.
func (s *shelf[K, L]) used() iter.Seq2[K, L] { return s.of(1) }

func (s *shelf[K, L]) of(users int) iter.Seq2[K, L] {
	return func(yield func(K, L) bool) {
		for key, p := range s.places {
			if p.users >= users && !yield(key, p.layer) {
				return
			}
		}
	}
}

// replace puts another layer into the place of one.
func (s *shelf[K, L]) replace(key K, layer L) {
	p := s.places[key]
	s.drop(p.layer)
	p.layer = layer
}

// forget lets go of the layers that nobody has looked at since.
func (s *shelf[K, L]) forget(since time.Time) {
	for key, p := range s.places {
		if p.users == 0 && p.left.Before(since) {
			delete(s.places, key)
			s.drop(p.layer)
			s.idle--
		}
	}
}
