package snapshot

import (
	"maps"
	"slices"
	"testing"
	"time"
)

func TestShelf(t *testing.T) {
	made, dropped := 0, 0
	s := newShelf[string](2, func(*int) { dropped++ })
	enter := func(key string) *int {
		layer, _ := s.enter(key, func() *int { made++; return new(int) })
		if again := s.get(key); again != layer {
			t.Errorf("%s: the layer is not the one that is kept", key)
		}
		return layer
	}
	a := enter("a")
	if b := enter("a"); b != a || made != 1 {
		t.Error("a second user gets a layer of its own")
	}
	s.leave("a")
	s.leave("a")
	if used := len(slices.Collect(maps.Keys(maps.Collect(s.used())))); used != 0 {
		t.Errorf("%d layers count as used that nobody looks at", used)
	}
	if b := enter("a"); b != a || made != 1 {
		t.Error("who comes back gets another layer")
	}
	s.leave("a")

	s.forget(time.Now().Add(-time.Minute))
	if s.get("a") == nil {
		t.Error("a layer is forgotten too early")
	}
	enter("used")
	s.forget(time.Now().Add(time.Minute))
	if s.get("a") != nil || s.get("used") == nil {
		t.Error("not what nobody looks at is forgotten")
	}

	for _, key := range []string{"b", "c", "d"} {
		enter(key)
	}
	for _, key := range []string{"b", "c", "d"} {
		s.leave(key)
	}
	if n := len(s.places); n != 3 { // and "used"
		t.Errorf("%d layers are kept, want two that nobody looks at", n)
	}
	enter("b")
	s.leave("used")
	if n := len(s.places); n != 3 {
		t.Errorf("%d layers are kept: the room of one that is used again is not free", n)
	}
	if dropped != 2 { // "a" and "d"
		t.Errorf("%d layers were let go of", dropped)
	}
}

// TestIdleLayersFollow has a namespace without proxies change: who comes back
// sees what is now.
func TestIdleLayersFollow(t *testing.T) {
	var dropped []string
	s := newShelf[string](1, func(old string) { dropped = append(dropped, old) })
	s.enter("a", func() string { return "old" })
	s.leave("a")
	for key := range s.all() {
		s.replace(key, "new")
	}
	if layer, fresh := s.enter("a", func() string { return "made" }); layer != "new" || fresh {
		t.Errorf("got %q", layer)
	}
	if !slices.Equal(dropped, []string{"old"}) {
		t.Errorf("let go of %v", dropped)
	}
}
