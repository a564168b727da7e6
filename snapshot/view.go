package snapshot

import (
	"sync"
	"sync/atomic"
	"time"
)

// View is what one connected proxy looks at. Who computes layers publishes
// stacks into it; the stream of the proxy reads the newest when it is told
// that there is one. Stacks in between are skipped. Safe for concurrent use.
type View struct {
	current atomic.Pointer[published]
	changed chan struct{}
	close   func()
	why     atomic.Pointer[error]
	due     due
	ask     func(names []string, listed bool) []string // nil: the proxy does not learn; set before the view is handed out
}

type published struct {
	stack Stack
	at    time.Time
}

// NewView returns a view that shows stack. Its Close calls onClose once, so
// that who publishes can forget it; nil is allowed.
func NewView(stack Stack, onClose func()) *View {
	v := &View{changed: make(chan struct{}, 1), close: func() {}}
	if onClose != nil {
		v.close = sync.OnceFunc(onClose)
	}
	v.current.Store(&published{stack: stack, at: time.Now()})
	return v
}

// Current is the stack that was published last.
func (v *View) Current() Stack { return v.current.Load().stack }

// Published is the current stack and when it was published.
func (v *View) Published() (Stack, time.Time) {
	p := v.current.Load()
	return p.stack, p.at
}

// Changed delivers one signal after each run of calls of Publish and End that
// the reader has not noticed yet.
func (v *View) Changed() <-chan struct{} { return v.changed }

// Publish shows stack. It never blocks, and does nothing when stack is what
// the view shows already. Only one goroutine may publish into a view at a time.
func (v *View) Publish(stack Stack) {
	if v.current.Load().stack != stack {
		v.publish(stack, time.Now(), nil)
	}
}

// publish shows stack as of a moment. counts, unless nil, counts the proxy until it has
// accepted it.
func (v *View) publish(stack Stack, at time.Time, counts *accepting) {
	if counts != nil {
		v.due.add(counts)
	}
	v.current.Store(&published{stack: stack, at: at})
	v.signal()
}

// Took says that the proxy has accepted what was published until a moment, see Published,
// or has refused what it did not accept.
func (v *View) Took(until time.Time) { v.due.settle(until) }

func (v *View) signal() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// End asks who looks at the view to stop, and says why, as a gRPC status. Only
// the first call counts.
func (v *View) End(why error) {
	if v.why.CompareAndSwap(nil, &why) {
		v.signal()
	}
}

// Why is what End was given, nil before.
func (v *View) Why() error {
	if why := v.why.Load(); why != nil {
		return *why
	}
	return nil
}

// Close says that nobody looks at the view any more.
func (v *View) Close() {
	v.close()
	v.due.leave()
}

// Learns tells whether the proxy holds the hosts that its workload uses, and asks for
// others.
func (v *View) Learns() bool { return v.ask != nil }

// Ask has the workload of a proxy that learns hold what answers to the names from now on.
// They are ROUTECONFIG/HOST, with the host as a request has it. For each it returns the name of the virtual host
// that answers, which the view shows now; empty: there is none, yet.
func (v *View) Ask(names []string) []string { return v.ask(names, false) }

// Recall is Ask for names that the proxy was answered on an earlier stream, and will not ask
// for again: that its workload knows them is no sign that it uses them.
func (v *View) Recall(names []string) []string { return v.ask(names, true) }
