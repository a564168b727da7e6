package discovery

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A proxy that comes back lists all that it holds, a few hundred bytes for each
// service of the mesh, and hundreds come back at once when a replica goes away.
// So only some are read at a time; of the others there is no more in memory
// than a window of their connection.
const (
	maxJoins = 64
	// joinTime is how long one may keep its place: a slow proxy holds up
	// nobody for longer.
	joinTime = time.Second

	// streamWindow is what a stream may send before it is read, in bytes. A large
	// message has its window widened when its turn has come.
	streamWindow = 64 << 10
)

// join waits for a place among those that are taken in.
func (st *stream) join(ctx context.Context) error {
	// Who has said nothing takes no place.
	patience := time.NewTimer(st.via.server.config.HandshakeTimeout)
	defer patience.Stop()
	select {
	case <-st.meter.arrived:
	case <-ctx.Done():
		return ctx.Err()
	case err := <-st.failed:
		return err
	case <-patience.C:
		return status.Error(codes.DeadlineExceeded, "the first message did not come")
	}
	if err := st.via.server.joins.Enter(ctx, st.payer, st.failed); err != nil {
		return err
	}
	st.joining.Store(true)
	time.AfterFunc(joinTime, st.joined)
	return nil
}

// joined gives the place back, once.
func (st *stream) joined() {
	if st.joining.CompareAndSwap(true, false) {
		st.via.server.joins.Leave()
	}
}

// ready waits until clients can be attached. What the client sends stays in its
// connection meanwhile.
func (st *stream) ready(ctx context.Context) error {
	if st.via.server.config.Ready == nil {
		return nil
	}
	late := time.NewTimer(spread(st.via.server.config.ReadyTimeout))
	defer late.Stop()
	select {
	case <-st.via.server.config.Ready:
		return nil
	case <-late.C:
		return status.Error(codes.Unavailable, "this control plane is starting and waits for the API server; keep what you hold and connect again")
	case <-ctx.Done():
		return ctx.Err()
	case err := <-st.failed:
		return ended(err)
	}
}
