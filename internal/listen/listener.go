// Package listen keeps what strangers can open within bounds, before anything is known
// of them but their address.
package listen

import (
	"net"
	"sync"
)

// Bounded is the listener with at most so many open connections, in all and of one
// address. One over that is closed as soon as it is accepted, so that it costs a moment
// and holds nothing.
func Bounded(l net.Listener, all, each int) net.Listener {
	return &listener{Listener: l, all: all, each: each, open: map[string]int{}}
}

type listener struct {
	net.Listener
	all, each int

	mu    sync.Mutex
	open  map[string]int // by address
	total int
}

// Accept waits for a connection that is within the bounds.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http looks at it
		}
		address := c.RemoteAddr().String()
		if host, _, err := net.SplitHostPort(address); err == nil {
			address = host
		}
		if l.enter(address) {
			return &conn{Conn: c, leave: sync.OnceFunc(func() { l.leave(address) })}, nil
		}
		_ = c.Close()
	}
}

func (l *listener) enter(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.all || l.open[address] >= l.each {
		return false
	}
	l.total++
	l.open[address]++
	return true
}

func (l *listener) leave(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.open[address]--; l.open[address] == 0 {
		delete(l.open, address)
	}
}

// conn gives its place back when it is closed.
type conn struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close() //nolint:wrapcheck // as net.Conn
}
