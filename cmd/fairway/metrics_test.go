package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
)

// scraped is a mesh of one client and one service, and things that are wrong.
const scraped = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.10, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: default, labels: {app: web}}
spec: {containers: [{name: web}]}
status: {podIP: 10.244.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: first, namespace: default, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: second, namespace: default, creationTimestamp: "2026-01-02T00:00:00Z"}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
`

// free is an address of this machine that nothing listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// running runs `fairway serve` over the objects until the test ends.
func running(t *testing.T, directory string) (xds, debug string) {
	t.Helper()
	xds, debug = free(t), free(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- serve(ctx, serveFlags{config: directory, caDirectory: t.TempDir(), xds: xds, debug: debug, namespace: "istio-system", certificateLifetime: time.Hour})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return xds, debug
}

// connectEnvoy runs a stock Envoy of a node id on the configuration that it is
// given over xds.
func connectEnvoy(t *testing.T, xds, node string) {
	t.Helper()
	host, port, err := net.SplitHostPort(xds)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := fmt.Sprintf(`
node: {id: %q, cluster: web}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]}
`, node, host, port)
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoytest.Path(t), "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// scrape reads /metrics as Prometheus would.
func scrape(debug string) (map[string]*dto.MetricFamily, error) {
	r, err := http.Get("http://" + debug + "/metrics")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(strings.NewReader(string(body)))
}

// value is that of the series with the label ("name=value"; empty: any), or
// how often a histogram was observed; -1: there is none.
func value(families map[string]*dto.MetricFamily, name, label string) float64 {
	for _, m := range families[name].GetMetric() {
		found := label == ""
		for _, l := range m.GetLabel() {
			found = found || l.GetName()+"="+l.GetValue() == label
		}
		if !found {
			continue
		}
		return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return -1
}

// TestControlPlaneMetrics scrapes a control plane that serves a real Envoy, for
// what Istio's control plane dashboard queries.
func TestControlPlaneMetrics(t *testing.T) {
	if testing.Short() {
		t.Skip("runs an Envoy; not with -short")
	}
	directory := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(directory, "mesh.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(scraped)
	xds, debug := running(t, directory)
	connectEnvoy(t, xds, "sidecar~10.244.0.2~web-0.default~default.svc.cluster.local")
	until := func(name, label string, ok func(v float64) bool) {
		t.Helper()
		v := -2.0
		for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			families, err := scrape(debug)
			if err != nil {
				continue
			}
			if v = value(families, name, label); ok(v) {
				return
			}
		}
		t.Fatalf("%s{%s} is %v after a minute", name, label, v)
	}
	is := func(want float64) func(float64) bool { return func(v float64) bool { return v == want } }
	some := func(v float64) bool { return v > 0 }
	until("pilot_xds", "", is(1))
	until("fairway_xds_proxies", "", is(1))
	for _, typ := range []string{"cds", "eds", "lds", "rds"} {
		until("pilot_xds_pushes", "type="+typ, some)
		until("pilot_xds_push_time", "type="+typ, some)
		until("pilot_xds_config_size_bytes", "type="+typ, some)
		until("pilot_total_xds_rejects", "type="+typ, is(0))
	}
	until("pilot_total_xds_internal_errors", "", is(0))
	until("istio_build", "component=pilot", is(1))
	until("pilot_services", "", is(1))
	until("pilot_virt_services", "", is(2))
	until("pilot_vservice_dup_domain", "", is(1))
	until("pilot_conflict_outbound_listener_tcp_over_current_tcp", "", is(0))
	until("fairway_findings", "code=Conflict", some)
	until("pilot_k8s_reg_events", "type=Service", some)
	until("pilot_k8s_cfg_events", "type=VirtualService", some)
	until("pilot_push_triggers", "", some)
	for _, name := range []string{"galley_validation_passed", "galley_validation_failed", "sidecar_injection_success_total", "sidecar_injection_failure_total"} {
		until(name, "", is(0))
	}
	for _, name := range []string{"go_goroutines", "go_memstats_heap_inuse_bytes", "process_cpu_seconds_total"} {
		until(name, "", some)
	}

	// A change that reaches the proxy.
	before, err := scrape(debug)
	if err != nil {
		t.Fatal(err)
	}
	write(strings.Replace(scraped, "destination: {host: web}", "destination: {host: web}, weight: 100", 1) + `---
apiVersion: v1
kind: Service
metadata: {name: more, namespace: default}
spec: {clusterIP: 10.96.0.11, selector: {app: web}, ports: [{name: http, port: 80}]}
`)
	until("pilot_services", "", is(2))
	for _, name := range []string{"pilot_proxy_convergence_time", "pilot_proxy_queue_time"} {
		was := value(before, name, "")
		until(name, "", func(v float64) bool { return v > was })
	}
}
