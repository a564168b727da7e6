package attack_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
)

const honestAnswer = "honest"

// serveBackend is what honest requests shall reach, at an address that is no loopback:
// to such no gateway is led.
func serveBackend(t *testing.T) (address, port string) {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || !n.IP.IsGlobalUnicast() {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(n.IP.String(), "0"))
		if err != nil {
			continue
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, honestAnswer) }))
		s.Listener.Close()
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
		_, port, _ = net.SplitHostPort(l.Addr().String())
		return n.IP.String(), port
	}
	return "10.32.0.1", "8080" // nobody is there; askGateway says so
}

// requests are honest ones at the shared gateway.
type requests struct {
	stop   chan struct{}
	done   sync.WaitGroup
	made   int
	failed int
	first  error // of those that failed
	none   string
}

// askGateway runs an Envoy as the shared gateway and asks it, until report.
func askGateway(t *testing.T, p *plane, port string) *requests {
	t.Helper()
	r := &requests{stop: make(chan struct{})}
	if a, b := serveBackendless(); a {
		r.none = b
		return r
	}
	program := envoytest.Path(t)
	startEnvoy(t, program, p)
	client := http.Client{Timeout: 5 * time.Second}
	ask := func() error {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/", http.NoBody)
		if err != nil {
			return err
		}
		q.Host = host
		a, err := client.Do(q)
		if err != nil {
			return err
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err == nil && (a.StatusCode != http.StatusOK || string(text) != honestAnswer) {
			err = fmt.Errorf("status %d: %q", a.StatusCode, text)
		}
		return err
	}
	eventually(t, "the gateway serves", ask)
	r.done.Go(func() {
		for {
			select {
			case <-r.stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			r.made++
			if err := ask(); err != nil {
				if r.failed++; r.first == nil {
					r.first = err
				}
			}
		}
	})
	return r
}

// serveBackendless tells whether the machine has no address but loopback.
func serveBackendless() (bool, string) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return true, err.Error()
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return false, ""
		}
	}
	return true, "the machine has no address but loopback"
}

func (r *requests) report(t *testing.T) {
	t.Helper()
	if r.none != "" {
		t.Logf("no honest requests were made: %s", r.none)
		return
	}
	close(r.stop)
	r.done.Wait()
	t.Logf("honest requests: %d, %d failed", r.made, r.failed)
	if r.failed > 0 || r.made == 0 {
		t.Errorf("%d of %d honest requests failed, the first: %v", r.failed, r.made, r.first)
	}
}

func startEnvoy(t *testing.T, program string, p *plane) {
	t.Helper()
	xdsHost, xdsPort, err := net.SplitHostPort(p.xds)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(xdsPort)
	if err != nil {
		t.Fatal(err)
	}
	type m = map[string]any
	source := m{"ads": m{}, "resource_api_version": "V3"}
	address := func(host string, port int) m { return m{"socket_address": m{"address": host, "port_value": port}} }
	config, err := json.Marshal(m{
		"node":  m{"id": "router~10.31.0.1~ingress.istio-system~istio-system.svc.cluster.local", "cluster": "ingress", "metadata": m{"NAMESPACE": "istio-system", "LABELS": m{"istio": "ingress"}}},
		"admin": m{"address": address("127.0.0.1", 0)},
		"dynamic_resources": m{
			"ads_config": m{"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true, "grpc_services": []any{m{"envoy_grpc": m{"cluster_name": "xds"}}}},
			"cds_config": source, "lds_config": source,
		},
		"static_resources": m{"clusters": []any{m{"name": "xds", "type": "STATIC", "connect_timeout": "1s",
			"load_assignment": m{"cluster_name": "xds", "endpoints": []any{m{"lb_endpoints": []any{m{"endpoint": m{"address": address(xdsHost, number)}}}}}},
			"typed_extension_protocol_options": m{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": m{
				"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": m{"http2_protocol_options": m{}}}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	cmd := exec.Command(program, "--config-yaml", string(config), "--use-dynamic-base-id", "--concurrency", "1", "--log-path", log, "-l", "warning")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(log); t.Failed() && err == nil {
			t.Logf("the end of Envoy's log:\n%s", text[max(0, len(text)-3000):])
		}
	})
}
