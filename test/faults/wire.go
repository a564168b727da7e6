package faults

import (
	"net"
	"os"
	"sync"
	"time"
)

// State is what happens to connections.
type State int

// The states of a link.
const (
	// Passes is a good link.
	Passes State = iota
	// Hangs is one on which nothing comes any more: connections stay open and new
	// ones are accepted, and all are silent.
	Hangs
	// HangsAnew leaves open connections alone; new ones are accepted and silent.
	HangsAnew
	// Cut resets open connections and refuses new ones.
	Cut
	// Resets resets open connections once and is a good link again.
	Resets
)

// wire is a listener whose connections can be held.
type wire struct {
	net.Listener
	mu    sync.Mutex
	state State
	moved chan struct{} // closed when the state is another
	open  map[*wireConn]struct{}
}

func newWire(l net.Listener) *wire {
	return &wire{Listener: l, moved: make(chan struct{}), open: map[*wireConn]struct{}{}}
}

func (w *wire) set(s State) {
	w.mu.Lock()
	if s == Cut || s == Resets {
		for c := range w.open {
			c.reset()
		}
	}
	if s == Resets {
		s = Passes
	}
	w.state = s
	close(w.moved)
	w.moved = make(chan struct{})
	w.mu.Unlock()
}

func (w *wire) closeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Conn.Close()
	}
}

// Accept implements net.Listener.
func (w *wire) Accept() (net.Conn, error) {
	for {
		raw, err := w.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &wireConn{Conn: raw, wire: w, gone: make(chan struct{})}
		w.mu.Lock()
		cut := w.state == Cut
		c.late = w.state == HangsAnew
		if !cut {
			w.open[c] = struct{}{}
		}
		w.mu.Unlock()
		if cut {
			c.reset()
			continue
		}
		return c, nil
	}
}

// wireConn is one connection. Reading and writing wait while the link hangs.
type wireConn struct {
	net.Conn
	wire *wire
	late bool // made while new connections hang
	once sync.Once
	gone chan struct{}
}

func (c *wireConn) pass() error {
	for {
		c.wire.mu.Lock()
		s, moved := c.wire.state, c.wire.moved
		c.wire.mu.Unlock()
		if s != Hangs && (s != HangsAnew || !c.late) {
			return nil
		}
		select {
		case <-moved:
		case <-c.gone:
			return os.ErrClosed
		}
	}
}

// Read implements net.Conn. What came in meanwhile is held back.
func (c *wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if held := c.pass(); held != nil {
		return 0, held
	}
	return n, err
}

// Write implements net.Conn.
func (c *wireConn) Write(b []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn. A connection that is held stays open for the peer,
// which hears nothing.
func (c *wireConn) Close() error {
	c.once.Do(func() {
		close(c.gone)
		go func() {
			for {
				c.wire.mu.Lock()
				s, moved := c.wire.state, c.wire.moved
				c.wire.mu.Unlock()
				if s != Hangs && (s != HangsAnew || !c.late) {
					break
				}
				<-moved
			}
			c.wire.mu.Lock()
			delete(c.wire.open, c)
			c.wire.mu.Unlock()
			_ = c.Conn.Close()
		}()
	})
	return nil
}

// reset breaks the connection off.
func (c *wireConn) reset() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Conn.SetDeadline(time.Now())
	_ = c.Conn.Close()
}
