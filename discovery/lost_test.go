package discovery

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// relay passes bytes on to an address until it is held: then both sides hear
// nothing, as of a node that has lost its power.
func relay(t *testing.T, to string) (address string, hold func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var held atomic.Bool
	end := make(chan struct{})
	t.Cleanup(func() { close(end); _ = l.Close() })
	pass := func(to io.Writer, from io.Reader) {
		b := make([]byte, 4096)
		for {
			n, err := from.Read(b)
			if held.Load() {
				<-end
			}
			if err != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			go pass(near, far)
			go pass(far, near)
			go func() { <-end; _ = near.Close(); _ = far.Close() }()
		}
	}()
	return l.Addr().String(), func() { held.Store(true) }
}

type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// countedBy is the value of a counter with a label.
func countedBy(t *testing.T, from prometheus.Gatherer, name, label string) (n float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestSilentProxyIsTold: of three proxies one falls silent, one leaves and one has
// nothing to say. The first leaves a line and is counted.
func TestSilentProxyIsTold(t *testing.T) {
	t.Parallel()
	var said logged
	registry := prometheus.NewRegistry()
	h := serve(t, small(t), func(c *Config) {
		c.Log, c.Registerer = slog.New(slog.NewTextHandler(&said, nil)), registry
		c.KeepaliveTime, c.KeepaliveTimeout = time.Second, 500*time.Millisecond
	}, Transport{})
	address, hold := relay(t, h.addr)
	const silent, leaving, quiet = "sidecar~10.0.0.1~silent.default~x", "sidecar~10.0.0.2~leaving.default~x", "sidecar~10.0.0.3~quiet.default~x"
	a, _ := connect(t, address, wire.Options{NodeID: silent, Delta: true})
	b, leave := connect(t, h.addr, wire.Options{NodeID: leaving, Delta: true})
	c, _ := connect(t, h.addr, wire.Options{NodeID: quiet, Delta: true})
	for _, x := range []*wire.Client{a, b, c} {
		eventually(t, "a proxy that has everything", func() bool { return holds(x, h.stack, false) })
	}
	hold()
	leave()
	eventually(t, "the silent proxy is given up", func() bool {
		return countedBy(t, registry, "fairway_xds_connections_lost_total", lostSilent) > 0 && strings.Contains(said.String(), silent)
	})
	time.Sleep(2 * time.Second) // a quiet one answers a ping or two meanwhile
	if n := countedBy(t, registry, "fairway_xds_connections_lost_total", lostSilent); n != 1 {
		t.Errorf("%v connections were lost", n)
	}
	if text := said.String(); strings.Count(text, "does not answer any more") != 1 || strings.Contains(text, "leaving") || strings.Contains(text, "quiet") {
		t.Errorf("the log says\n%s", text)
	}
	h.publish(with(h.stack, []*snapshot.Resource{edsCluster(t, "news", "")}))
	eventually(t, "the quiet proxy hears what is new", func() bool { return holds(c, h.stack, false) })
}

// TestManyLostProxies: few lines tell of many proxies that are lost together, and
// say of how many they do not tell.
func TestManyLostProxies(t *testing.T) {
	l, now, lines, sum := newLosses(), time.Now(), 0, 0
	for i := range 1000 {
		if ok, unlogged := l.take(now.Add(time.Duration(i) * time.Millisecond)); ok {
			lines++
			sum += unlogged + 1
		}
	}
	if ok, unlogged := l.take(now.Add(time.Minute)); !ok || sum+unlogged != 1000 {
		t.Errorf("%v; lines tell of %d proxies", ok, sum+unlogged)
	}
	if lines > lostAtOnce+1 {
		t.Errorf("%d lines", lines)
	}
}
