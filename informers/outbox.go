package informers

import (
	"context"
	"sync"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// outbox gathers the changes of all kinds and hands on what is pending in one
// piece, from one goroutine. Of several changes of an object only the last one
// waits, so it holds at most one for each object.
type outbox struct {
	mu      sync.Mutex
	pending map[object.Ref]int // place in order
	order   []mesh.Change
	wake    chan struct{} // of size 1
}

func newOutbox() *outbox {
	return &outbox{pending: map[object.Ref]int{}, wake: make(chan struct{}, 1)}
}

func (b *outbox) put(changes ...mesh.Change) {
	if len(changes) == 0 {
		return
	}
	b.mu.Lock()
	for _, c := range changes {
		if i, ok := b.pending[c.Ref]; ok {
			b.order[i] = c
			continue
		}
		b.pending[c.Ref] = len(b.order)
		b.order = append(b.order, c)
	}
	b.mu.Unlock()
	b.signal()
}

func (b *outbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *outbox) take() []mesh.Change {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.order
	b.pending, b.order = map[object.Ref]int{}, nil // after the first lists they are large
	return out
}

// run hands on until the context ends. complete is asked before each look at
// what is pending; when it says yes for the first time, synced is called after
// that has been handed on.
func (b *outbox) run(ctx context.Context, sink Sink, complete func() bool, synced func()) {
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		all := told || complete()
		if changes := b.take(); len(changes) > 0 {
			sink(changes)
		}
		if all && !told {
			told = true
			synced()
		}
	}
}
