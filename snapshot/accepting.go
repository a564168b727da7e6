package snapshot

import (
	"sync"
	"time"
)

// accepting counts the proxies that have something of one pass to accept. Safe for
// concurrent use.
type accepting struct {
	at time.Time

	mu    sync.Mutex
	count Acceptance
}

func (a *accepting) now() Acceptance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}

func (a *accepting) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count.Waiting++
}

// end says that one proxy is not waited for any longer, with what became of it.
func (a *accepting) end(how func(*Acceptance)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count.Waiting--
	how(&a.count)
}

// mostAwaited is how many passes one proxy is waited for at once.
const mostAwaited = 32

// due are passes of which one proxy has yet to accept something, the oldest first. Safe for
// concurrent use.
type due struct {
	mu   sync.Mutex
	list []*accepting
	gone bool
}

// add has one more waited for. Of too many the oldest is not waited for any longer.
func (d *due) add(a *accepting) {
	a.begin()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		a.end(func(n *Acceptance) { n.Left++ })
		return
	}
	if len(d.list) == mostAwaited {
		d.list[0].end(func(n *Acceptance) { n.Late++ })
		d.list = append(d.list[:0], d.list[1:]...)
	}
	d.list = append(d.list, a)
}

// settle ends what was published until a moment.
func (d *due) settle(until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for n < len(d.list) && !d.list[n].at.After(until) {
		a := d.list[n]
		a.end(func(n *Acceptance) { n.Took = max(n.Took, time.Since(a.at)) })
		n++
	}
	rest := copy(d.list, d.list[n:])
	clear(d.list[rest:])
	d.list = d.list[:rest]
}

// leave ends all, and what is added after.
func (d *due) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.list {
		a.end(func(n *Acceptance) { n.Left++ })
	}
	d.list, d.gone = nil, true
}
