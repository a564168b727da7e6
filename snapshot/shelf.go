package snapshot

import (
	"time"
)

// shelf holds the layers of one sort by what they are computed for, with the
// number of proxies that look at each. One that nobody looks at any more stays
// for a while: proxies lose their streams and come back, and whole namespaces of
// them do when a replica goes away.
type shelf[K comparable, L any] struct {
	places map[K]*place[K, L]
	room   int     // for layers that nobody looks at
	idle   int     // how many of those there are
	drop   func(L) // lets go of what a layer was made of
}

type place[K comparable, L any] struct {
	key   K
	layer L
	shown Stack // what was published of it last
	// unread says that this is not whole: Secrets that it names have been asked
	// for, and nobody has looked for them yet.
	unread bool
	users  int
	left   time.Time // when the last went, while there are none
	gone   bool      // it was dropped
}

func newShelf[K comparable, L any](room int, drop func(L)) *shelf[K, L] {
	return &shelf[K, L]{places: map[K]*place[K, L]{}, room: room, drop: drop}
}

// enter is the place of a key for one more user; nil when there is none.
func (s *shelf[K, L]) enter(key K) *place[K, L] {
	p := s.places[key]
	if p == nil {
		return nil
	}
	if p.users == 0 {
		s.idle--
	}
	p.users++
	return p
}

// add puts a layer in the place of its key, with one user.
func (s *shelf[K, L]) add(key K, layer L, shown Stack) *place[K, L] {
	p := &place[K, L]{key: key, layer: layer, shown: shown, users: 1}
	s.places[key] = p
	return p
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
	s.idle++
	p.left = time.Now()
}

// shown is what was published last of the layer of a key.
func (s *shelf[K, L]) shown(key K) Stack {
	if p := s.places[key]; p != nil {
		return p.shown
	}
	return Stack{}
}

// all are the places, whose layers are kept up to date, in no order.
func (s *shelf[K, L]) all() []*place[K, L] {
	out := make([]*place[K, L], 0, len(s.places))
	for _, p := range s.places {
		out = append(out, p)
	}
	return out
}

// replace puts another layer into a place.
func (s *shelf[K, L]) replace(p *place[K, L], layer L) {
	s.drop(p.layer)
	p.layer = layer
}

// forget lets go of the layers that nobody has looked at since, and of those for
// which there is no room.
func (s *shelf[K, L]) forget(since time.Time) {
	for _, p := range s.places {
		if p.users == 0 && p.left.Before(since) {
			s.remove(p)
		}
	}
	for _, p := range s.places {
		if s.idle <= s.room {
			return
		}
		if p.users == 0 {
			s.remove(p)
		}
	}
}

func (s *shelf[K, L]) remove(p *place[K, L]) {
	delete(s.places, p.key)
	p.gone = true
	s.idle--
	s.drop(p.layer)
}
