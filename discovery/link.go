package discovery

import (
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// mostPutOffs is how often one wait for the proxy is prolonged by its length since
// the link loses what is sent: to a minute in all, with PhaseTimeout of 5 s.
const mostPutOffs = 11

// putOff prolongs a wait that has ended, unless it was prolonged often enough. What
// a step needs is on its way to the proxy then: to go on without its word would have
// requests meet clusters that are not warm.
func (s *session) putOff(now time.Time) {
	if s.putOffs < mostPutOffs {
		s.putOffs++
		s.deadline = now.Add(s.wait)
	}
}

// overdue says whether the wait under way has ended.
func (s *session) overdue(now time.Time) bool {
	return !s.deadline.IsZero() && !now.Before(s.deadline)
}

// link is what is known of the packets that a connection loses. The kernel tells of those
// that were sent to the proxy. Of those that the proxy sent, its word among them, nobody
// tells here; but a link that has lost several lately loses these as well.
type link struct {
	again uint32    // segments that were sent again, as last asked
	since time.Time // from when lost counts
	lost  uint32    // segments that were sent again since then
}

const (
	lately  = time.Minute
	several = 3
)

// loses says whether the link loses packets: something that was sent is not
// acknowledged after all the time of a wait, or had to be sent again since this was
// last asked, or several had to lately. A proxy that has it all and does not answer
// is something else.
func (l *link) loses(unacknowledged bool, again uint32, now time.Time) bool {
	more := again - l.again
	l.again = again
	if now.Sub(l.since) > lately {
		l.since, l.lost = now, 0
	}
	l.lost += more
	return unacknowledged || more > 0 || l.lost >= several
}

// unheard says whether a proxy that came back has yet to say the first word about something
// that it asks for as soon as it is connected, and going on without it could do harm. It came
// back because its connection had broken, so what it says may be lost again, of which nobody
// tells here; and what it does not ask for may be what it sends requests to. Otherwise it is
// waited for no longer than others: a client that has endpoints or listeners of its own never
// says that word. Only of a state-of-the-world client that has not said which clusters it
// holds nothing is known, and it is always waited for.
func (s *session) unheard() bool {
	switch s.phase {
	case phaseRecalling:
		// An answer removes what the client does not name. One that has come to its listeners
		// has passed over endpoints, since Envoy asks for those first.
		return !s.types[snapshot.Listener].subscribed
	case phaseResuming:
		return s.expects && !s.types[snapshot.Endpoint].subscribed && (s.moves() || s.awaits(snapshot.Endpoint))
	case phaseHearing:
		return !s.heardAll() && s.moves()
	default:
		return false
	}
}

// moves says whether clusters that the proxy holds are to go, or something newer waits.
func (s *session) moves() bool { return len(s.linger) > 0 || s.target != s.latest }

func (st *stream) loses(now time.Time) bool {
	unacknowledged, again, ok := sentAgain(st.conn)
	return ok && st.link.loses(unacknowledged, again, now)
}
