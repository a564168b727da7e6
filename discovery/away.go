package discovery

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var errAway = status.Error(codes.Unavailable, "another replica of this control plane knows the cluster better now; connect anew")

// awayLinger is how long the connection of a stream that was sent away stays
// open, so that its proxy reads why.
const awayLinger = time.Second

// Away sends proxies to other replicas until Back: streams that are open end
// within the time, evenly spread, and new ones at once. Their connections are
// closed, since what balances them balances connections. It may be called again.
func (s *Server) Away(within time.Duration) {
	s.mu.Lock()
	if s.away != nil {
		s.mu.Unlock()
		return
	}
	back := make(chan struct{})
	s.away = back
	s.mu.Unlock()
	for _, st := range s.open() {
		go func() {
			late := time.NewTimer(rand.N(max(1, within)))
			defer late.Stop()
			select {
			case <-back:
			case <-late.C:
				st.sendAway()
			}
		}()
	}
}

// Back takes proxies in again.
func (s *Server) Back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		close(s.away)
		s.away = nil
	}
}

func (s *Server) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away != nil
}

// sendAway ends the stream, and soon after its connection.
func (st *stream) sendAway() {
	st.fail(errAway)
	if st.conn != nil {
		time.AfterFunc(awayLinger, func() { _ = st.conn.Close() })
	}
}
