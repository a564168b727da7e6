package envoycost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
	"github.com/fairway-mesh/fairway/internal/local/network"
)

// Where everything is: each mesh has networks of its own.
var (
	routerAddress  = netip.MustParseAddr("10.244.0.1")
	clientAddress  = netip.MustParseAddr("10.244.1.1")
	serverAddress  = netip.MustParseAddr("10.244.1.2")
	gatewayAddress = netip.MustParseAddr("10.244.1.3")
)

// The ports of the one service, which stand for one listener each.
const (
	serviceAddress = "10.96.0.10"
	httpPort       = 80
	tcpPort        = 9000
)

type object = map[string]any

// mesh is a control plane with the networks of a client, a server and a gateway.
type mesh struct {
	dir                     string
	router                  *network.Router
	client, server, gateway *network.Wire
}

// newMesh starts `fairway serve` on the objects and those of the base world.
func newMesh(t *testing.T, more ...object) *mesh {
	t.Helper()
	m := &mesh{dir: t.TempDir()}
	var err error
	if m.router, err = network.NewRouter(routerAddress); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.router.Close)
	for at, wire := range map[netip.Addr]**network.Wire{clientAddress: &m.client, serverAddress: &m.server, gatewayAddress: &m.gateway} {
		if *wire, err = m.router.Connect(at); err != nil {
			t.Fatal(err)
		}
		t.Cleanup((*wire).Close)
	}
	m.serve(t, append(baseWorld(), more...))
	return m
}

func (m *mesh) serve(t *testing.T, objects []object) {
	t.Helper()
	config := filepath.Join(m.dir, "config")
	if err := os.Mkdir(config, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, o := range objects {
		text, err := json.Marshal(o)
		if err == nil {
			err = os.WriteFile(filepath.Join(config, fmt.Sprintf("%04d.yaml", i)), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(m.dir, "serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	debug := netip.AddrPortFrom(routerAddress, 15014).String()
	cmd := exec.Command(localtest.Fairway(t), "serve", "--config", config, "--ca-directory", filepath.Join(m.dir, "ca"),
		"--xds-address", m.xds(), "--secure-xds-address", "", "--webhook-address", "", "--debug-address", debug)
	cmd.Stdout, cmd.Stderr = log, log
	if err := m.router.Namespace.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
	})
	within(t, "the control plane is ready", func() error {
		_, err := get(m.router.Namespace, "http://"+debug+"/readyz")
		return err
	})
}

func (m *mesh) xds() string { return netip.AddrPortFrom(routerAddress, 15010).String() }

// within tries until a generous deadline.
func within(t *testing.T, what string, ok func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	t.Fatalf("not so in 30 seconds: %s: %v", what, err)
}

// get reads a page inside a namespace.
func get(n *network.Namespace, url string) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// answer serves HTTP where the server's application is expected.
func (m *mesh) answer(t *testing.T) {
	t.Helper()
	l, err := m.server.Listen("tcp", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
}

// requests sends n requests, one after the other on one connection.
func (m *mesh) requests(t *testing.T, n int) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return m.client.Dial(ctx, network, netip.AddrPortFrom(netip.MustParseAddr(serviceAddress), httpPort).String())
	}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range n {
		r, err := client.Get("http://server.shop/")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Fatal(r.Status)
		}
	}
}
