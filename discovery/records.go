package discovery

import (
	"encoding/binary"
	"net"
)

// recordHeader is the length of what precedes each TLS record: its type, its
// version and its length (RFC 8446, section 5.1).
const recordHeader = 5

// recordConn hands out what it reads so that no Read goes past the end of a TLS
// record. A tls.Conn that gets the beginning of one record with the end of
// another doubles the buffer that it keeps as long as it lives: 36 kB instead
// of 18 once a client has sent two full records, and 1 kB if it sends small
// ones. The bytes are those of the peer, whatever they are.
type recordConn struct {
	net.Conn
	ahead      [512]byte // read from the connection and not handed out: from unread to filled
	unread     int
	filled     int
	header     [recordHeader]byte // as much of the record's header as was handed out
	headerSeen int
	left       int // of the record's body, to be handed out
}

// Read implements net.Conn. Small records come several at a time, as they would
// without; the body of a large one is read to where it is wanted.
func (c *recordConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.Conn.Read(p)
	}
	want := recordHeader - c.headerSeen
	if c.left > 0 {
		want = c.left
	}
	p = p[:min(want, len(p))]
	n, err := c.take(p)
	c.follow(p[:n])
	return n, err
}

// take reads into p, by way of ahead unless p is large.
func (c *recordConn) take(p []byte) (int, error) {
	if c.unread == c.filled {
		if len(p) >= len(c.ahead) {
			return c.Conn.Read(p)
		}
		n, err := c.Conn.Read(c.ahead[:])
		if c.unread, c.filled = 0, n; n == 0 {
			return 0, err
		} // an error that came with bytes comes again without
	}
	n := copy(p, c.ahead[c.unread:c.filled])
	c.unread += n
	return n, nil
}

// follow notes what was handed out: part of a header or part of a body, since
// Read asks for no more.
func (c *recordConn) follow(p []byte) {
	if c.left > 0 {
		c.left -= len(p)
		return
	}
	c.headerSeen += copy(c.header[c.headerSeen:], p)
	if c.headerSeen == recordHeader {
		c.headerSeen, c.left = 0, int(binary.BigEndian.Uint16(c.header[3:]))
	}
}
