package issuers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestPlaces: a place is of any namespace that names the issuer, of each there are so many,
// and so many of all.
func TestPlaces(t *testing.T) {
	turns := newTurns()
	now, cancel := context.WithCancel(t.Context())
	cancel()
	has := func(p *place) bool {
		turns.mu.Lock()
		defer turns.mu.Unlock()
		return len(p.given) == 1
	}
	wait := func(namespaces ...string) *place {
		p := newPlace(namespaces)
		turns.mu.Lock()
		defer turns.mu.Unlock()
		turns.waiting = append(turns.waiting, p)
		turns.give()
		return p
	}
	first, second, third := wait("a"), wait("a"), wait("a")
	if !has(first) || !has(second) || has(third) {
		t.Error("of a there are not two")
	}
	if shared := wait("a", "b"); !has(shared) || shared.of != "b" {
		t.Error("none of another namespace")
	}
	turns.named(third, []string{"a", "b"})
	if !has(third) {
		t.Error("none of a namespace that names it later")
	}
	fourth := wait("b")
	if has(fourth) {
		t.Error("of b there are more than two")
	}
	<-third.given
	turns.leave(third)
	if !has(fourth) {
		t.Error("a place that was left is given to nobody")
	}
	for i := range maxAsked {
		wait(fmt.Sprint(i))
	}
	if turns.all != maxAsked || len(turns.waiting) != 4 {
		t.Errorf("%d of all, %d wait", turns.all, len(turns.waiting))
	}
	if err := turns.take(now, newPlace([]string{"late"})); !errors.Is(err, context.Canceled) || len(turns.waiting) != 4 {
		t.Errorf("%v, %d wait", err, len(turns.waiting))
	}
}

// TestPlacesAreLeft: whoever comes and goes, no place is lost.
func TestPlacesAreLeft(t *testing.T) {
	turns := newTurns()
	done := make(chan struct{})
	const askers = 100
	for i := range askers {
		go func() {
			defer func() { done <- struct{}{} }()
			p := newPlace([]string{"a", fmt.Sprint(i % 7)})
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Microsecond)
				if turns.take(ctx, p) == nil {
					turns.leave(p)
				}
				cancel()
			}
		}()
	}
	for range askers {
		<-done
	}
	if turns.all != 0 || len(turns.taken) != 0 || len(turns.waiting) != 0 {
		t.Errorf("left behind: %d, %v, %d", turns.all, turns.taken, len(turns.waiting))
	}
}
