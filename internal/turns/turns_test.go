package turns

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestQueueTakesTurns has one pod wait many times, and others once each: they
// wait for one of its turns, not for all.
func TestQueueTakesTurns(t *testing.T) {
	q := New[string](1, 60)
	if err := q.Enter(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	wait := func(ctx context.Context, pod string) {
		before := q.Waiting(pod)
		all.Go(func() {
			if err := q.Enter(ctx, pod, nil); err != nil {
				return
			}
			mu.Lock()
			order = append(order, pod)
			mu.Unlock()
			q.Leave()
		})
		eventually(t, "it waits", func() bool { return q.Waiting(pod) > before })
	}
	gone, cancel := context.WithCancel(t.Context())
	for range 50 {
		wait(t.Context(), "hostile")
		wait(gone, "gone")
	}
	for i := range 3 {
		wait(t.Context(), fmt.Sprint("honest-", i))
	}
	cancel()
	eventually(t, "those that left wait no more", func() bool { return q.Waiting("gone") == 0 })
	q.Leave()
	all.Wait()
	if len(order) != 53 || q.free != 1 {
		t.Errorf("%d had a turn, %d places are free", len(order), q.free)
	}
	last := 0
	for i, pod := range order {
		if pod != "hostile" {
			last = i
		}
	}
	if last > 6 {
		t.Errorf("an honest one had to wait for %d others", last)
	}
}

// TestQueueIsBounded has more of one key wait than may.
func TestQueueIsBounded(t *testing.T) {
	q := New[string](0, 2)
	gone, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	full := 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := q.Enter(gone, "one", nil); errors.Is(err, ErrFull) {
				mu.Lock()
				full++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if full != 3 {
		t.Errorf("%d of 5 were turned away", full)
	}
}

// eventually polls until ok, and fails the test after a while.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
