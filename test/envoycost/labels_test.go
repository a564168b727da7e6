package envoycost

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/internal/local/localtest"
	"github.com/fairway-mesh/fairway/internal/local/network"
)

var update = flag.Bool("update", false, "write testdata/labels.txt")

// TestLabels holds every label of every series that Envoys at both ends of
// requests and connections count, also of those that fail: dashboards and alerts
// of people depend on each, and how a label is found out may not show.
func TestLabels(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a mesh")
	}
	localtest.Need(t)
	m := newMesh(t, append(serviceOf("empty", "10.96.0.12"), entrance()...)...)
	m.answer(t)
	m.greet(t)
	client, server, gateway := m.startEnvoy(t, "client"), m.startEnvoy(t, "server"), m.startEnvoy(t, "gateway")
	m.requests(t, 2)
	const plain, grpc = "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	for _, w := range []struct {
		from *network.Namespace
		to   string
		say  string
	}{
		{client.wire.Namespace, serviceAddress + ":80", fmt.Sprintf(grpc, "server.shop")},
		{client.wire.Namespace, "10.96.0.11:80", fmt.Sprintf(plain, "five.shop")},
		{client.wire.Namespace, "10.96.0.12:80", fmt.Sprintf(plain, "empty.shop")},
		{client.wire.Namespace, "10.244.0.1:80", fmt.Sprintf(plain, "unknown.example.com")},
		{client.wire.Namespace, serviceAddress + ":80", "GET / HTTP/1.1\r\nbroken\r\n\r\n"},
		{client.wire.Namespace, serviceAddress + ":9000", "hello\n"},
		{client.wire.Namespace, "10.96.0.11:9000", "hello\n"},
		{client.wire.Namespace, "10.96.0.12:9000", "hello\n"},
		{client.wire.Namespace, "10.244.0.1:15014", "hello\n"},
		{m.router.Namespace, "10.244.1.2:8080", fmt.Sprintf(plain, "server.shop")},
		{m.router.Namespace, "10.244.1.2:8080", "GET / HTTP/1.1\r\nbroken\r\n\r\n"},
		{m.router.Namespace, "10.244.1.2:9000", "hello\n"},
		{m.router.Namespace, "10.244.1.2:9999", "hello\n"},
		{m.router.Namespace, "10.244.1.3:8080", fmt.Sprintf(plain, "anything.example.com")},
		{m.router.Namespace, "10.244.1.3:8080", "GET / HTTP/1.1\r\nbroken\r\n\r\n"},
		{m.router.Namespace, "10.244.1.3:9000", "hello\n"},
	} {
		converse(t, w.from, w.to, w.say)
	}
	for _, port := range []string{"8080", "9000"} { // without the certificate that the server wants
		conn, err := m.router.Namespace.Dial(t.Context(), "tcp", "10.244.1.2:"+port)
		if err != nil {
			t.Fatal(err)
		}
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"istio"}}) //nolint:gosec // of a test's own server
		_ = secure.HandshakeContext(t.Context())
		_, _ = secure.Write([]byte("hello\n"))
		_, _ = io.Copy(io.Discard, secure)
		conn.Close()
	}
	all := func() string {
		return "at the client\n" + series(t, client) + "at the server\n" + series(t, server) + "at the gateway\n" + series(t, gateway)
	}
	if *update {
		time.Sleep(3 * time.Second)
		if err := os.WriteFile("testdata/labels.txt", []byte(all()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/labels.txt")
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the labels are as before", func() error {
		if got := all(); got != string(want) {
			return fmt.Errorf("see the difference of testdata/labels.txt after -update; got\n%s", got)
		}
		return nil
	})
}

// greet answers lines where the server's other application is expected.
func (m *mesh) greet(t *testing.T) {
	t.Helper()
	l, err := m.server.Listen("tcp", ":9000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.ReadFull(conn, make([]byte, 6))
				_, _ = io.WriteString(conn, "hello\n")
				conn.Close()
			}()
		}
	}()
}

// converse says something and listens until the other side hangs up.
func converse(t *testing.T, from *network.Namespace, to, say string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(conn, say)
	_, _ = io.Copy(io.Discard, conn)
}

// series are the names and labels of what is counted, with no values.
func series(t *testing.T, e *envoy) string {
	t.Helper()
	text, err := get(e.wire.Namespace, "http://"+netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bootstrap.PrometheusPort).String()+bootstrap.PrometheusPath)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		labels, _, _ := strings.Cut(line, "} ")
		if name, _, _ := strings.Cut(labels, "{"); strings.HasPrefix(line, "envoy_istio_") && (strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_count")) {
			out = append(out, labels+"}\n")
		}
	}
	slices.Sort(out)
	return strings.Join(out, "")
}
