package issuers

import (
	"context"
	"slices"
	"sync"
)

// maxAsked is how many issuers are asked at a time, and maxAskedEach how many of them
// for the objects of one namespace: slow issuers delay those of other namespaces only
// where there are very many.
const (
	maxAsked     = 64
	maxAskedEach = 2
)

// turns are the places of those that are asked now. An issuer takes one of any namespace
// that names it, so that what a namespace waits for is what it names itself, whoever else
// names the same.
type turns struct {
	mu      sync.Mutex
	taken   map[string]int // by namespace
	all     int
	waiting []*place // who came first is the first
}

// place is what an issuer waits for, and has while it is asked.
type place struct {
	namespaces []string // of which it may be
	of         string   // of which it is
	given      chan struct{}
}

func newTurns() *turns { return &turns{taken: map[string]int{}} }

func newPlace(namespaces []string) *place {
	return &place{namespaces: namespaces, given: make(chan struct{}, 1)}
}

// named changes of which namespaces a place may be, also while it is waited for.
func (t *turns) named(p *place, namespaces []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.namespaces = namespaces
	t.give()
}

// take waits for a place, which is to be left, until the context ends.
func (t *turns) take(ctx context.Context, p *place) error {
	t.mu.Lock()
	t.waiting = append(t.waiting, p)
	t.give()
	t.mu.Unlock()
	select {
	case <-p.given:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(t.waiting, p); at >= 0 {
		t.waiting = slices.Delete(t.waiting, at, at+1)
	} else { // it was given at the same moment
		<-p.given
		t.free(p)
	}
	return ctx.Err()
}

// leave gives a place back.
func (t *turns) leave(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free(p)
}

func (t *turns) free(p *place) {
	t.all--
	if t.taken[p.of]--; t.taken[p.of] == 0 {
		delete(t.taken, p.of)
	}
	t.give()
}

// give gives the places that are free to those that wait.
func (t *turns) give() {
	t.waiting = slices.DeleteFunc(t.waiting, func(p *place) bool {
		if t.all == maxAsked {
			return false
		}
		at := slices.IndexFunc(p.namespaces, func(n string) bool { return t.taken[n] < maxAskedEach })
		if at < 0 {
			return false
		}
		p.of = p.namespaces[at]
		t.taken[p.of]++
		t.all++
		p.given <- struct{}{}
		return true
	})
}
