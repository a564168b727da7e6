package informers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// pulseEvery is how often the API server is asked for its version, and
	// pulseDown how often while it does not answer.
	pulseEvery, pulseDown = 5 * time.Second, 500 * time.Millisecond
	// pulsePatience is how long an answer may take, on a connection on which
	// nothing else comes either, before the connection is given up.
	pulsePatience = 5 * time.Second
	// maxPulses is how many of these questions may be unanswered at a time.
	maxPulses = 8
	// awaitLink is how long a request waits for a link that is down before it is
	// tried nevertheless.
	awaitLink = 5 * time.Second
	// returnSpread is over how long requests are spread when the link is back.
	returnSpread = 300 * time.Millisecond
)

// Link is how an API server is reached: one pool of connections for all that
// asks, which are closed when nothing comes on them any more, whatever the
// kernel and HTTP/2 think of them.
type Link struct {
	rest *rest.Config
	http *http.Client
	url  string
	log  *slog.Logger
	zero time.Time // from which moments of connections are counted

	renewed atomic.Uint64 // connections that were given up

	mu    sync.Mutex
	open  map[*linkConn]struct{}
	down  bool
	moved chan struct{} // closed when down is another
}

// NewLink makes a link; nothing is connected to before it is used. Log may be
// nil: slog's default.
func NewLink(config *rest.Config, log *slog.Logger) (*Link, error) {
	if log == nil {
		log = slog.Default()
	}
	l := &Link{log: log, zero: time.Now(), open: map[*linkConn]struct{}{}, moved: make(chan struct{})}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the API server: %w", err)
	}
	through := rest.CopyConfig(config)
	dial := (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	if through.Dial != nil {
		dial = through.Dial
	}
	through.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return l.dial(ctx, dial, network, address)
	}
	transport, err := rest.TransportFor(through)
	if err != nil {
		return nil, fmt.Errorf("reading how the API server is reached: %w", err)
	}
	l.url = base.String()
	l.http = &http.Client{Transport: transport}
	// Whoever is made of this shares the transport, which proves who asks.
	l.rest = &rest.Config{
		Host: l.url, APIPath: config.APIPath, ContentConfig: config.ContentConfig, UserAgent: config.UserAgent, QPS: config.QPS, Burst: config.Burst,
		RateLimiter: config.RateLimiter, WarningHandler: config.WarningHandler, WarningHandlerWithContext: config.WarningHandlerWithContext, Timeout: config.Timeout,
		Transport: transport,
	}
	return l, nil
}

// REST is what to make clients of that use the link.
func (l *Link) REST() *rest.Config { return rest.CopyConfig(l.rest) }

// Renewed counts the connections that were given up since nothing came on them.
func (l *Link) Renewed() uint64 { return l.renewed.Load() }

// Run looks after the connections until the context ends.
func (l *Link) Run(ctx context.Context) {
	places := make(chan struct{}, maxPulses)
	var pulses sync.WaitGroup
	defer pulses.Wait()
	for ctx.Err() == nil {
		select {
		case places <- struct{}{}:
			pulses.Go(func() { defer func() { <-places }(); l.pulse(ctx) })
		default: // all are unanswered
		}
		down, moved := l.state()
		every := pulseEvery
		if down {
			every = pulseDown
			moved = nil
		}
		select {
		case <-ctx.Done():
		case <-moved: // it went down: ask again soon
		case <-time.After(every):
		}
	}
}

// pulse asks the API server something that everybody may; any answer will do.
// Connections that have been silent since are given up.
func (l *Link) pulse(ctx context.Context) {
	began := time.Now()
	patience := 2 * pulsePatience
	if down, _ := l.state(); down {
		patience = maxPulses * pulseDown // then the next has its place
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	late := time.AfterFunc(pulsePatience, func() {
		if ctx.Err() == nil && l.giveUp(began) {
			l.set(true)
		}
	})
	defer late.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+"/version", http.NoBody)
	if err != nil {
		return
	}
	answer, err := l.http.Do(request)
	if err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16))
		answer.Body.Close()
		l.set(false)
		return
	}
	if ctx.Err() != context.Canceled && !l.heardSince(began) {
		l.set(true)
	}
}

// lives notes that the API server has answered something.
func (l *Link) lives() { l.set(false) }

func (l *Link) set(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down == down {
		return
	}
	l.down = down
	close(l.moved)
	l.moved = make(chan struct{})
}

func (l *Link) state() (down bool, moved <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down, l.moved
}

// await waits while the link is known to be down, so that all who wait ask as
// soon as it is back and nobody before; but not for ever, since it may be only
// the question of a pulse that is not answered.
func (l *Link) await(ctx context.Context) error {
	patience := time.NewTimer(awaitLink)
	defer patience.Stop()
	waited := false
	for {
		down, moved := l.state()
		if !down {
			break
		}
		waited = true
		select {
		case <-moved:
		case <-patience.C:
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if waited {
		select {
		case <-time.After(rand.N(returnSpread)):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// heardSince tells whether anything came on a connection since a moment.
func (l *Link) heardSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if c.heard.Load() > int64(t.Sub(l.zero)) {
			return true
		}
	}
	return false
}

// giveUp closes the connections that were there at a moment and on which
// nothing has come since. It tells whether nothing has come on any other.
func (l *Link) giveUp(since time.Time) (silent bool) {
	l.mu.Lock()
	var dead []*linkConn
	silent = true
	for c := range l.open {
		if c.heard.Load() > int64(since.Sub(l.zero)) {
			silent = false
		} else {
			dead = append(dead, c)
		}
	}
	l.mu.Unlock()
	for _, c := range dead {
		l.renewed.Add(1)
		_ = c.Close()
	}
	if len(dead) > 0 {
		l.log.Debug("connections to the API server are silent; closing them", "connections", len(dead))
	}
	return silent
}

func (l *Link) dial(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), network, address string) (net.Conn, error) {
	raw, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &linkConn{Conn: raw, link: l}
	c.heard.Store(int64(time.Since(l.zero)))
	l.mu.Lock()
	l.open[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

// linkConn remembers when something came last.
type linkConn struct {
	net.Conn
	link  *Link
	heard atomic.Int64 // nanoseconds since the link's zero
}

// Read implements net.Conn.
func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(int64(time.Since(c.link.zero)))
	}
	return n, err
}

// Close implements net.Conn.
func (c *linkConn) Close() error {
	c.link.mu.Lock()
	delete(c.link.open, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}
