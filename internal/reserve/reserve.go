package reserve

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Kept is how many file descriptors are kept back from proxies: for the API
// server, for webhooks, for health and debugging, and for files. Of a process that
// may open less than twice as many, it is half.
const Kept = 128

// Reserve is the share of proxies in the file descriptors of this process.
type Reserve struct {
	max int // connections of proxies; 0: as many as there are
	log *slog.Logger

	mu      sync.Mutex
	open    int
	full    bool      // which was told
	told    time.Time // when it was last
	refused prometheus.Counter
}

// New reads how many files this process may open, after raising that to what it
// is allowed to raise it to. Log and registerer may be nil.
func New(log *slog.Logger, registerer prometheus.Registerer) *Reserve {
	return of(limit(), log, registerer)
}

func of(files int, log *slog.Logger, registerer prometheus.Registerer) *Reserve {
	r := &Reserve{log: log}
	if log == nil {
		r.log = slog.Default()
	}
	if files > 0 {
		r.max = max(1, files-min(Kept, files/2))
	}
	r.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: "fairway_xds_connections_refused_total",
		Help: "Connections of proxies that were closed at once, since only the reserve of file descriptors was left."})
	if registerer != nil {
		gauge := func(name, help string, value func() float64) prometheus.Collector {
			return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
		}
		registerer.MustRegister(r.refused,
			gauge("fairway_xds_connections", "Connections of proxies that are open.", func() float64 { r.mu.Lock(); defer r.mu.Unlock(); return float64(r.open) }),
			gauge("fairway_xds_connections_limit", "Connections of proxies that may be open; 0: no limit is known.", func() float64 { return float64(r.max) }))
	}
	return r
}

// Listener is the listener with no more open connections than proxies may have
// on all listeners of the reserve. One over that is closed as soon as it is
// accepted: its proxy tries another replica, or this one again.
func (r *Reserve) Listener(l net.Listener) net.Listener { return &listener{Listener: l, reserve: r} }

type listener struct {
	net.Listener
	reserve *Reserve
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.reserve.enter() {
			leave := sync.OnceFunc(l.reserve.leave)
			if tcp, ok := c.(*net.TCPConn); ok {
				return &tcpConn{TCPConn: tcp, leave: leave}, nil
			}
			return &conn{Conn: c, leave: leave}, nil
		}
		_ = c.Close()
	}
}

// tellEvery is how often it is told that the limit is reached, at most.
const tellEvery = time.Minute

func (r *Reserve) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.max == 0 || r.open < r.max {
		r.open++
		return true
	}
	r.refused.Inc()
	if !r.full && (r.told.IsZero() || time.Since(r.told) > tellEvery) {
		r.full, r.told = true, time.Now()
		r.log.Warn("no more proxies are accepted; the remaining file descriptors are kept for the API server, health and debugging",
			"connections", r.open, "remedy", "raise the limit of open files (ulimit -n, LimitNOFILE), or run more replicas")
	}
	return false
}

func (r *Reserve) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	if r.full && r.open <= r.max-max(1, r.max/20) { // not at the first that goes: others wait for its place
		r.full = false
		r.log.Info("proxies are accepted again", "connections", r.open)
	}
}

// conn gives its place back when it is closed.
type conn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// tcpConn is such a connection that still is one of TCP for those who look, as
// gRPC does to read without a buffer of its own for each.
type tcpConn struct {
	*net.TCPConn
	leave func()
}

// Close implements net.Conn.
func (c *tcpConn) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}
