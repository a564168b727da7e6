package webhook

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
)

// Bounds of what the port takes in at a time. Whoever reaches it may ask; most API
// servers show no certificate by which to tell them from others.
const (
	small = 64 << 10 // bytes of a request that is worked on beside a large one

	maxHeld     = 32 << 20 // bytes of bodies that are held: read, waiting or worked on
	maxHeldEach = 12 << 20 // … of one address
	maxWaiting  = 256      // requests that wait for their turn
	maxWaitEach = 64       // … of one address

	largeAtOnce = 1
	smallAtOnce = 2
)

var errBusy = errors.New("too many requests are being answered: try again")

// admission says which requests are held in memory, and whose turn it is.
type admission struct {
	mu    sync.Mutex
	held  map[string]int64 // bytes by address
	all   int64
	lanes [2]lane // small and large ones
}

// lane lets a few requests be worked on at a time. Addresses take turns, so that one
// that asks much waits for itself.
type lane struct {
	free    int
	waiting int
	order   []string                   // addresses with somebody waiting, the next one first
	queues  map[string][]chan struct{} // closed when it is their turn
}

func newAdmission() *admission {
	a := &admission{held: map[string]int64{}}
	a.lanes[0] = lane{free: smallAtOnce, queues: map[string][]chan struct{}{}}
	a.lanes[1] = lane{free: largeAtOnce, queues: map[string][]chan struct{}{}}
	return a
}

// hold makes room for a body of an address, or says that there is none. release gives
// it back.
func (a *admission) hold(address string, bytes int64) (release func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all+bytes > maxHeld || a.held[address]+bytes > maxHeldEach {
		return nil, errBusy
	}
	a.all += bytes
	a.held[address] += bytes
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all -= bytes
		if a.held[address] -= bytes; a.held[address] == 0 {
			delete(a.held, address)
		}
	}, nil
}

// turn waits until a body of so many bytes may be worked on. done lets the next one
// go on. The error is that of ctx, or that too many wait already.
func (a *admission) turn(ctx context.Context, address string, bytes int) (done func(), err error) {
	l := &a.lanes[0]
	if bytes > small {
		l = &a.lanes[1]
	}
	a.mu.Lock()
	if l.free > 0 {
		l.free--
		a.mu.Unlock()
		return func() { a.next(l) }, nil
	}
	if l.waiting >= maxWaiting || len(l.queues[address]) >= maxWaitEach {
		a.mu.Unlock()
		return nil, errBusy
	}
	ready := make(chan struct{})
	l.push(address, ready)
	a.mu.Unlock()
	select {
	case <-ready:
		return func() { a.next(l) }, nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	waited := l.remove(address, ready)
	a.mu.Unlock()
	if !waited { // its turn came at the same time
		a.next(l)
	}
	return nil, context.Cause(ctx)
}

// next gives a place to who is to have it.
func (a *admission) next(l *lane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(l.order) == 0 {
		l.free++
		return
	}
	address := l.order[0]
	ready := l.queues[address][0]
	l.order = append(l.order[1:], address) // after all others
	l.remove(address, ready)
	close(ready)
}

func (l *lane) push(address string, ready chan struct{}) {
	if len(l.queues[address]) == 0 {
		l.order = append(l.order, address)
	}
	l.queues[address] = append(l.queues[address], ready)
	l.waiting++
}

// remove takes somebody who waits away; false when nobody does.
func (l *lane) remove(address string, ready chan struct{}) bool {
	i := slices.Index(l.queues[address], ready)
	if i < 0 {
		return false
	}
	l.waiting--
	if l.queues[address] = slices.Delete(l.queues[address], i, i+1); len(l.queues[address]) == 0 {
		delete(l.queues, address)
		l.order = slices.DeleteFunc(l.order, func(o string) bool { return o == address })
	}
	return true
}

// addressOf is the host of a request's RemoteAddr: who pays for it.
func addressOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}
