package snapshot

import (
	"testing"
	"time"
)

func TestShelf(t *testing.T) {
	made, dropped := 0, 0
	s := newShelf[string](2, func(*int) { dropped++ })
	enter := func(key string) *int {
		p := s.enter(key)
		if p == nil {
			made++
			p = s.add(key, new(int), Stack{})
		}
		return p.layer
	}
	a := enter("a")
	if b := enter("a"); b != a || made != 1 {
		t.Error("a second user gets a layer of its own")
	}
	s.leave("a")
	s.leave("a")
	if s.idle != 1 || s.places["a"].users != 0 {
		t.Errorf("%d layers count as used that nobody looks at", s.places["a"].users)
	}
	if b := enter("a"); b != a || made != 1 {
		t.Error("who comes back gets another layer")
	}
	s.leave("a")

	has := func(key string) bool { return s.places[key] != nil }
	s.forget(time.Now().Add(-time.Minute))
	if !has("a") {
		t.Error("a layer is forgotten too early")
	}
	enter("used")
	s.forget(time.Now().Add(time.Minute))
	if has("a") || !has("used") {
		t.Error("not what nobody looks at is forgotten")
	}

	for _, key := range []string{"b", "c", "d"} {
		enter(key)
	}
	for _, key := range []string{"b", "c", "d"} {
		s.leave(key)
	}
	s.forget(time.Time{})
	if n := len(s.places); n != 3 { // and "used"
		t.Errorf("%d layers are kept, want two that nobody looks at", n)
	}
	for _, key := range []string{"b", "c", "d"} {
		if has(key) {
			enter(key)
			break
		}
	}
	s.leave("used")
	s.forget(time.Time{})
	if n := len(s.places); n != 3 {
		t.Errorf("%d layers are kept: the room of one that is used again is not free", n)
	}
	if dropped != 2 { // "a" and one of the three
		t.Errorf("%d layers were let go of", dropped)
	}
}

// TestIdleLayersFollow has a namespace without proxies change: who comes back
// sees what is now.
func TestIdleLayersFollow(t *testing.T) {
	var dropped []string
	s := newShelf[string](1, func(old string) { dropped = append(dropped, old) })
	s.add("a", "old", Stack{})
	s.leave("a")
	for _, p := range s.all() {
		s.replace(p, "new")
	}
	if p := s.enter("a"); p == nil || p.layer != "new" {
		t.Errorf("got %v", p)
	}
	if len(dropped) != 1 || dropped[0] != "old" {
		t.Errorf("let go of %v", dropped)
	}
}
