package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
)

// loadMesh leads a port of gateways to a Pod on loopback.
const loadMesh = `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "fairway: {localEndpoints: default}"}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: default}
spec: {selector: {app: echo}, ports: [{name: http, port: 80, targetPort: BACKEND}]}
---
apiVersion: v1
kind: Pod
metadata: {name: echo-0, namespace: default, labels: {app: echo}}
spec: {nodeName: node-1, containers: [{name: a, image: a}]}
status: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec: {selector: {app: edge}, servers: [{port: {number: FRONT, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: default}
spec: {hosts: ["*"], gateways: [edge], http: [{route: [{destination: {host: echo, port: {number: 80}}}]}]}
`

const loadBootstrap = `node:
  id: router~127.0.0.1~edge-%d.default~default.svc.cluster.local
  cluster: edge.default
  metadata: {NAMESPACE: default, LABELS: {app: edge}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: fairway}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: fairway
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: fairway, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]}
`

// load is requests through stock Envoys, which share a port, while something else
// is tested.
type load struct {
	url    string
	end    func()
	mu     sync.Mutex
	sent   int
	failed int
	bad    []string // what became of the first ten of these
}

// newLoad starts Envoys that connect to an address, and sends requests through them
// from when all of them serve.
func newLoad(t *testing.T, config *rest.Config, xds string, envoys int) *load {
	t.Helper()
	envoy := envoytest.Path(t)
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "echo") })}
	go func() { _ = server.Serve(backend) }()
	t.Cleanup(func() { _ = server.Close() })
	front := portOf(t, lasting(t))
	create(t, config, strings.NewReplacer("BACKEND", portOf(t, backend.Addr().String()), "FRONT", front).Replace(loadMesh))
	l := &load{url: "http://127.0.0.1:" + front + "/"}
	for i := range envoys {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "bootstrap.yaml"), fmt.Appendf(nil, loadBootstrap, i, portOf(t, xds)), 0o600); err != nil {
			t.Fatal(err)
		}
		begin(t, dir, envoy, "-c", "bootstrap.yaml", "--use-dynamic-base-id", "--log-level", "error", "--concurrency", "1")
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func() error {
		answer, err := client.Get(l.url)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", answer.Status, body)
		}
		return nil
	}
	for good, deadline := 0, time.Now().Add(time.Minute); good < 20*envoys; {
		if err := ask(); err == nil {
			good++
			continue
		} else if good = 0; time.Now().After(deadline) {
			t.Fatalf("Envoys do not serve: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	over, done := make(chan struct{}), make(chan struct{})
	l.end = sync.OnceFunc(func() { close(over); <-done })
	t.Cleanup(l.end)
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
			err := ask()
			l.mu.Lock()
			l.count(err)
			l.mu.Unlock()
		}
	}()
	return l
}

// count takes down what became of a request; the caller holds mu.
func (l *load) count(err error) {
	l.sent++
	if err == nil {
		return
	}
	if l.failed++; len(l.bad) < 10 {
		l.bad = append(l.bad, err.Error())
	}
}

// allGood ends the load, and fails the test when a request did.
func (l *load) allGood(t *testing.T) {
	t.Helper()
	l.end()
	t.Logf("%d requests through stock Envoys, %d failed", l.sent, l.failed)
	if l.sent == 0 || l.failed > 0 {
		t.Errorf("of %d requests %d failed, the first of them: %q", l.sent, l.failed, l.bad)
	}
}

// TestLoadCountsFailures: of many requests that failed each counts, and ten say why.
func TestLoadCountsFailures(t *testing.T) {
	var l load
	for i := range 100 {
		var err error
		if i%2 == 0 {
			err = io.ErrUnexpectedEOF
		}
		l.count(err)
	}
	if l.sent != 100 || l.failed != 50 || len(l.bad) != 10 {
		t.Errorf("%d requests, %d failed, %d say why", l.sent, l.failed, len(l.bad))
	}
}
