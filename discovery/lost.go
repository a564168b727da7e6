package discovery

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// Why the connection of a proxy was given up.
const (
	lostSilent = "silent" // nothing came of it, not even an answer to a ping
	lostUnread = "unread" // it did not take what it was sent
)

const (
	// lostAtOnce lines tell of proxies that were given up, and one more each
	// lostEvery: with a node or a link many go together.
	lostAtOnce = 20
	lostEvery  = time.Second
)

// losses counts the connections that were given up, and says so.
type losses struct {
	mu       sync.Mutex
	limit    *rate.Limiter
	unlogged int
}

func newLosses() *losses { return &losses{limit: rate.NewLimiter(rate.Every(lostEvery), lostAtOnce)} }

// take says whether there is to be a line, and how many had none since the last.
func (l *losses) take(now time.Time) (ok bool, unlogged int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.limit.AllowN(now, 1) {
		l.unlogged++
		return false, 0
	}
	unlogged, l.unlogged = l.unlogged, 0
	return true, unlogged
}

// lost says that the proxy of a stream was given up.
func (st *stream) lost(why, text string, silence time.Duration) {
	s := st.via.server
	s.metrics.lost.WithLabelValues(why).Inc()
	ok, unlogged := s.losses.take(time.Now())
	if !ok {
		return
	}
	about := []any{"proxy", st.client.NodeID, "peer", st.client.Peer, "silent", silence.Round(100 * time.Millisecond).String()}
	if unlogged > 0 {
		about = append(about, "unlogged", unlogged)
	}
	s.config.Log.Warn(text, about...)
}

// tellSilence says so when the stream ended since nothing came of its proxy.
func (st *stream) tellSilence() {
	if mute := st.meter.mute.Swap(0); mute > 0 {
		st.lost(lostSilent, "a proxy does not answer any more; its connection is closed, and it may connect anew", time.Duration(mute))
	}
}

// silentFor is how long nothing had come of a peer when its connection was given
// up for that; 0 when it was not. The peer of a live connection that has nothing
// to say answers a ping after each KeepaliveTime.
func (c Config) silentFor() time.Duration { return c.KeepaliveTime + c.KeepaliveTimeout/2 }

// unreachable says whether the system has given up a connection since the peer
// does not acknowledge what was sent.
func unreachable(err error) bool {
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}
