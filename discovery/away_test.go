package discovery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/test/wire"
)

// TestAway sends proxies away, some of which come back at once, and takes them in
// again.
func TestAway(t *testing.T) {
	h := serve(t, small(t), func(c *Config) { c.Log = slog.New(slog.DiscardHandler) }, Transport{})
	const n = 8
	var clients sync.WaitGroup
	ended := make(chan error, n)
	for range n {
		c := wire.New(wire.Options{NodeID: nodeID, Delta: true})
		clients.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			ended <- c.Run(ctx, h.addr)
		})
		eventually(t, "a proxy that has everything", func() bool { return holds(c, h.stack, false) })
	}
	h.server.Away(time.Second)
	h.server.Away(time.Second) // is said again while it lasts
	clients.Wait()
	for range n {
		if err := <-ended; status.Code(err) != codes.Unavailable {
			t.Errorf("a stream ended with %v", err)
		}
	}
	if err := attempt(t, h.addr, wire.Options{NodeID: nodeID, Delta: true}); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream that comes back: %v", err)
	}
	h.server.Back()
	h.server.Back()
	c, _ := connect(t, h.addr, wire.Options{Delta: true})
	eventually(t, "a proxy that is taken in again", func() bool { return holds(c, h.stack, false) })
}

// TestBackWhileAway: whoever has not left yet stays.
func TestBackWhileAway(t *testing.T) {
	h := serve(t, small(t), nil, Transport{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := wire.New(wire.Options{NodeID: nodeID, Delta: true})
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, h.addr) }()
	eventually(t, "everything", func() bool { return holds(c, h.stack, false) })
	h.server.Away(time.Hour)
	h.server.Back()
	select {
	case err := <-ended:
		t.Errorf("ended with %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
		t.Error(err)
	}
}
