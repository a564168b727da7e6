package discovery

import "time"

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

// loses says whether the link with the proxy loses packets: something that was
// sent is not acknowledged after all the time of a wait, or had to be sent again
// since this was last asked. A proxy that has it all and does not answer is
// something else.
func (st *stream) loses() bool {
	unacknowledged, again, ok := sentAgain(st.conn)
	if !ok {
		return false
	}
	more := again != st.again
	st.again = again
	return unacknowledged || more
}
