package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/grpclog"
	"k8s.io/klog/v2"
)

// quietLibraries has what libraries log go the way of all that is logged, so
// many lines in a while and no more: what they say repeats what is told of kinds,
// proxies and ports, and at each attempt.
func quietLibraries(log *slog.Logger) {
	log = slog.New(&sparing{Handler: log.Handler(), shared: &allowance{}})
	klog.SetSlogLogger(log.With("library", "kubernetes"))
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(discard{}, discard{}, discard{}))
}

// discard takes what gRPC says: that a handshake failed or a stream ended, which
// any stranger can bring about; the server counts that and says it itself.
type discard struct{}

// Write implements io.Writer.
func (discard) Write(b []byte) (int, error) { return len(b), nil }

const (
	// librariesAtOnce lines of libraries are logged, and one more each
	// librariesEvery.
	librariesAtOnce = 20
	librariesEvery  = 10 * time.Second
)

// sparing is a handler that leaves out what is too much.
type sparing struct {
	slog.Handler
	shared *allowance
}

type allowance struct {
	mu    sync.Mutex
	spent int
	since time.Time
}

func (a *allowance) take(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if back := int(now.Sub(a.since) / librariesEvery); back > 0 {
		a.spent, a.since = max(0, a.spent-back), now
	}
	if a.spent >= librariesAtOnce {
		return false
	}
	a.spent++
	return true
}

// Handle implements slog.Handler.
func (s *sparing) Handle(ctx context.Context, r slog.Record) error {
	if !s.shared.take(r.Time) {
		return nil
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (s *sparing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &sparing{s.Handler.WithAttrs(attrs), s.shared}
}

// WithGroup implements slog.Handler.
func (s *sparing) WithGroup(name string) slog.Handler {
	return &sparing{s.Handler.WithGroup(name), s.shared}
}
