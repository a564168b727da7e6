package discovery

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// meter is a connection that counts what its peer has sent of messages which are
// not taken yet: gRPC keeps a message until it is whole, however slowly it
// comes. Beyond an allowance the bytes have to be had from the ledger, in the
// name of the pod that has proven itself; until they are, nothing is read.
type meter struct {
	net.Conn
	ledger *ledger
	reach  func(bound string) // told which bound was reached

	header [9]byte // of an HTTP/2 frame (RFC 9113, section 4.1), as far as it was seen
	seen   int
	left   int  // of the frame's payload
	data   bool // it is a DATA frame
	skip   int  // of the preface

	silent time.Duration // a peer of which nothing has come for so long is lost
	begins time.Time     // of the connection; what follows is counted from it, since the clock that people set may jump
	heard  atomic.Int64  // when something came last, in nanoseconds
	ending atomic.Bool   // the peer has ended the connection
	mute   atomic.Int64  // for how long nothing had come when it was given up; 0: for another reason, or not

	mu      sync.Mutex
	account *account // nil until somebody has proven who they are
	streams int
	held    int // bytes that were read and not taken
	granted int // of those, had from the ledger
	begun   bool
	patient *time.Timer
	closed  chan struct{}
	arrived chan struct{} // closed when the peer has sent something of a message
	once    sync.Once
}

const (
	// allowance is what a connection may hold without asking.
	allowance = 128 << 10
	// grant is what is asked for at a time.
	grant = 256 << 10
	// messageTime is how long a message beyond the allowance may take.
	messageTime = 20 * time.Second

	prefaceSize   = 24 // PRI * HTTP/2.0
	frameData     = 0
	messagePrefix = 5 // of a gRPC message
)

func newMeter(conn net.Conn, l *ledger, silent time.Duration, reach func(string)) *meter {
	m := &meter{Conn: conn, ledger: l, reach: reach, silent: silent, begins: time.Now(), skip: prefaceSize, closed: make(chan struct{}), arrived: make(chan struct{})}
	return m
}

// Read implements net.Conn.
func (m *meter) Read(p []byte) (int, error) {
	if err := m.admit(); err != nil {
		return 0, err
	}
	n, err := m.Conn.Read(p)
	if n > 0 {
		m.heard.Store(int64(time.Since(m.begins)))
	}
	switch {
	case unreachable(err):
		m.mute.CompareAndSwap(0, m.silence())
	case err != nil:
		m.ending.Store(true)
	}
	m.follow(p[:n])
	return n, err
}

// silence is for how many nanoseconds nothing has come.
func (m *meter) silence() int64 { return max(1, int64(time.Since(m.begins))-m.heard.Load()) }

// Close implements net.Conn.
func (m *meter) Close() error {
	m.once.Do(func() {
		if s := m.silence(); !m.ending.Load() && s >= int64(m.silent) {
			m.mute.CompareAndSwap(0, s)
		}
		close(m.closed)
		m.mu.Lock()
		m.settle()
		m.mu.Unlock()
	})
	return m.Conn.Close()
}

// follow counts the payloads of DATA frames.
func (m *meter) follow(p []byte) {
	counted := 0
	for len(p) > 0 {
		var n int
		switch {
		case m.skip > 0:
			n = min(m.skip, len(p))
			m.skip -= n
		case m.left > 0:
			n = min(m.left, len(p))
			m.left -= n
			if m.data {
				counted += n
			}
		default:
			n = copy(m.header[m.seen:], p)
			if m.seen += n; m.seen == len(m.header) {
				m.seen, m.data = 0, m.header[3] == frameData
				m.left = int(binary.BigEndian.Uint32(m.header[:4]) >> 8)
			}
		}
		p = p[n:]
	}
	if counted > 0 {
		m.mu.Lock()
		if m.held += counted; !m.begun {
			m.begun = true
			close(m.arrived)
		}
		m.mu.Unlock()
	}
}

var errClosed = errors.New("the connection was closed")

// admit waits until more may be read.
func (m *meter) admit() error {
	for said := false; ; {
		m.mu.Lock()
		ok := m.enough()
		m.mu.Unlock()
		if ok {
			return nil
		}
		if !said {
			m.reach("bytes of unfinished messages")
			said = true
		}
		select {
		case <-m.closed:
			return errClosed
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// enough says whether more may be read now.
func (m *meter) enough() bool {
	if m.held-m.granted < allowance {
		return true
	}
	if m.account == nil || !m.ledger.hold(m.account, grant) {
		return false
	}
	if m.granted == 0 {
		m.patient = time.AfterFunc(messageTime, func() { m.reach("time of a message"); _ = m.Close() })
	}
	m.granted += grant
	return true
}

// began says that a stream has begun, and who pays for it. A connection is one
// pod's: the first pays for the others.
func (m *meter) began(a *account) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.streams++; m.account == nil {
		m.account = a
	}
}

// took says that a message of n bytes was taken.
func (m *meter) took(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = max(0, m.held-n-messagePrefix)
	if m.held < allowance {
		m.settle()
	}
}

// ended says that a stream has ended: what was kept of it is gone.
func (m *meter) ended() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.streams--; m.streams == 0 {
		m.settle()
		m.held, m.account = 0, nil
	}
}

// settle gives back what the connection has had from the ledger.
func (m *meter) settle() {
	if m.granted == 0 {
		return
	}
	m.patient.Stop()
	m.ledger.release(m.account, m.granted)
	m.granted = 0
}
