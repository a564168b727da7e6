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
	ended   chan struct{} // closed by End, after why was set
	end     sync.Once
	why     error
}

type published struct {
	stack Stack
	at    time.Time
}

// NewView returns a view that shows stack. Its Close calls onClose once, so
// that who publishes can forget it; nil is allowed.
func NewView(stack Stack, onClose func()) *View {
	v := &View{changed: make(chan struct{}, 1), ended: make(chan struct{}), close: func() {}}
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

// Changed delivers one signal after each run of Publish calls that the reader
// has not noticed yet.
func (v *View) Changed() <-chan struct{} { return v.changed }

// Publish shows stack. It never blocks, and does nothing when stack is what
// the view shows already. Only one goroutine may publish into a view at a time.
func (v *View) Publish(stack Stack) {
	if v.current.Load().stack == stack {
		return
	}
	v.current.Store(&published{stack: stack, at: time.Now()})
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// End asks who looks at the view to stop, and says why, as a gRPC status. Only
// the first call counts.
func (v *View) End(why error) {
	v.end.Do(func() {
		v.why = why
		close(v.ended)
	})
}

// Ended is closed by End.
func (v *View) Ended() <-chan struct{} { return v.ended }

// Why is what End was given, nil before.
func (v *View) Why() error {
	select {
	case <-v.ended:
		return v.why
	default:
		return nil
	}
}

// Close says that nobody looks at the view any more.
func (v *View) Close() { v.close() }
