package reserve

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestShareOfProxies(t *testing.T) {
	for files, want := range map[int]int{0: 0, 2: 1, 64: 32, 128: 64, 256: 128, 1024: 896, 1 << 20: 1<<20 - 128} {
		if got := of(files, nil, nil).max; got != want {
			t.Errorf("of %d files proxies may have %d, want %d", files, got, want)
		}
	}
	if limit() < 1 {
		t.Error("the limit of this process is not known")
	}
}

// text is what is logged, by several goroutines.
type text struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.Write(p)
}

// String is all of it.
func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.String()
}

// TestListener fills the share over two ports, as a control plane has them.
func TestListener(t *testing.T) {
	var said text
	registry := prometheus.NewRegistry()
	r := of(8, slog.New(slog.NewTextHandler(&said, nil)), registry) // 4 of proxies
	accepted := make(chan net.Conn, 16)
	var ports []string
	for range 2 {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := r.Listener(inner)
		t.Cleanup(func() { _ = l.Close() })
		ports = append(ports, l.Addr().String())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
	}
	dial := func(i int) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", ports[i%2])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	var open []net.Conn
	for i := range 4 {
		dial(i)
		c := <-accepted
		if _, ok := c.(syscall.Conn); !ok {
			t.Error("what is accepted hides that it is a connection of TCP")
		}
		open = append(open, c)
	}
	for i := range 10 {
		if _, err := dial(i).Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a connection over the limit: %v", err)
		}
	}
	if n := strings.Count(said.String(), "no more proxies"); n != 1 {
		t.Errorf("said %d times:\n%s", n, said.String())
	}
	if got := value(t, registry, "fairway_xds_connections_refused_total"); got != 10 {
		t.Errorf("counted %v", got)
	}
	_ = open[0].Close()
	_ = open[0].Close() // counts once
	dial(1)
	<-accepted
	if _, err := dial(0).Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a place was given twice: %v", err)
	}
	if !strings.Contains(said.String(), "accepted again") {
		t.Errorf("nothing says that it is over:\n%s", said.String())
	}
	if got := value(t, registry, "fairway_xds_connections_limit"); got != 4 {
		t.Errorf("limit %v", got)
	}
	if got := value(t, registry, "fairway_xds_connections"); got != 4 {
		t.Errorf("open %v", got)
	}
}

// value is what a metric without labels says.
func value(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
