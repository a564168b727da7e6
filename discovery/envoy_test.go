package discovery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/freeport"
)

// envoyBinary finds a stock Envoy, or skips the test.
func envoyBinary(t testing.TB, version string) string {
	t.Helper()
	path, err := envoyfetch.Find(version)
	if err != nil {
		t.Skip(err)
	}
	return path
}

// envoy is one running Envoy.
type envoy struct {
	t     testing.TB
	admin string
	log   string
}

// startEnvoy runs Envoy with ADS at xds; it ends with the test.
func startEnvoy(t testing.TB, xds string, delta bool) *envoy {
	t.Helper()
	return startEnvoyOf(t, envoyfetch.Version, xds, delta)
}

// startEnvoyOf is startEnvoy for a certain release.
func startEnvoyOf(t testing.TB, version, xds string, delta bool) *envoy {
	t.Helper()
	binary := envoyBinary(t, version)
	host, port, err := net.SplitHostPort(xds)
	if err != nil {
		t.Fatal(err)
	}
	api := map[bool]string{true: "DELTA_GRPC", false: "GRPC"}[delta]
	source := map[string]any{"ads": map[string]any{}, "resource_api_version": "V3"}
	portNumber, _ := strconv.Atoi(port)
	bootstrap, err := json.Marshal(map[string]any{
		"node":  map[string]any{"id": nodeID, "cluster": "test"},
		"admin": map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}}},
		"dynamic_resources": map[string]any{
			"ads_config": map[string]any{"api_type": api, "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{"cluster_name": "xds"}}}},
			"cds_config": source, "lds_config": source,
		},
		"static_resources": map[string]any{"clusters": []any{map[string]any{
			"name": "xds", "type": "STATIC", "connect_timeout": "1s",
			"load_assignment": map[string]any{"cluster_name": "xds", "endpoints": []any{map[string]any{"lb_endpoints": []any{map[string]any{
				"endpoint": map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": host, "port_value": portNumber}}}}}}}},
			"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{}}}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e := &envoy{t: t, log: filepath.Join(dir, "log")}
	adminFile := filepath.Join(dir, "admin")
	cmd := exec.Command(binary, "--config-yaml", string(bootstrap), "--admin-address-path", adminFile, "--use-dynamic-base-id",
		"--concurrency", "1", "--log-path", e.log, "-l", "warning", "--component-log-level", "upstream:info,config:info")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(e.log)
			t.Logf("Envoy's log:\n%s", log[max(0, len(log)-8000):])
		}
	})
	eventually(t, "Envoy tells its admin address", func() bool {
		b, err := os.ReadFile(adminFile)
		e.admin = strings.TrimSpace(string(b))
		return err == nil && e.admin != ""
	})
	return e
}

// get reads a page of the admin interface.
func (e *envoy) get(path string) string {
	resp, err := http.Get("http://" + e.admin + path)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// sum adds up the statistics whose names match.
func (e *envoy) sum(pattern string) int {
	total := 0
	for _, m := range regexp.MustCompile(`(?m)^(\S+): (\d+)$`).FindAllStringSubmatch(e.get("/stats"), -1) {
		if ok, _ := regexp.MatchString(pattern, m[1]); ok {
			n, _ := strconv.Atoi(m[2])
			total += n
		}
	}
	return total
}

// backend answers its name.
func backend(t testing.TB, name string) uint32 {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return uint32(s.Listener.Addr().(*net.TCPAddr).Port)
}

// ask makes one request through a listener.
func ask(client *http.Client, port uint32, host string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s %s", resp.Status, body, resp.Header.Get("x-envoy-response-flags"))
	}
	return string(body), nil
}

// load asks without pause until stop is called, which returns what it saw.
func load(port uint32, host string, workers int) (stop func() (requests int64, errors []string)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var count atomic.Int64
	var mu sync.Mutex
	var failed []string
	for range workers {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				count.Add(1)
				if _, err := ask(client, port, host); err != nil {
					mu.Lock()
					failed = append(failed, err.Error())
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []string) {
		cancel()
		wg.Wait()
		return count.Load(), failed
	}
}

// TestEnvoyFlips moves a route to a new cluster, removes the old one, and
// again, under load. Not a request may fail, nothing may be refused.
func TestEnvoyFlips(t *testing.T) {
	for _, version := range []string{envoyfetch.Version, envoyfetch.Oldest} {
		t.Run(version, func(t *testing.T) { testFlips(t, version) })
	}
}

func testFlips(t *testing.T, version string) {
	variants(t, func(t *testing.T, delta bool) {
		port := freeport.TCP(t)
		backends := []uint32{backend(t, "v0"), backend(t, "v1")}
		stack := func(n int) snapshot.Stack {
			cluster := fmt.Sprintf("svc-%d", n)
			return snapshot.Stack{snapshot.NewRevision(
				rdsListener(t, "inbound", port, "80"), frame(t, "80"), virtualHost(t, "80", "*", ""),
				edsCluster(t, cluster, ""), endpoints(t, cluster, backends[n%2]), virtualHost(t, "80", "svc", cluster),
				edsCluster(t, "steady", strconv.Itoa(n)), endpoints(t, "steady", backends[0]), virtualHost(t, "80", "steady", "steady"),
			)}
		}
		h := serve(t, stack(0), nil, Transport{})
		e := startEnvoyOf(t, version, h.addr, delta)
		eventually(t, "the first answer", func() bool {
			got, err := ask(http.DefaultClient, port, "svc")
			return err == nil && got == "v0"
		})
		stopSvc, stopSteady := load(port, "svc", 4), load(port, "steady", 2)
		for n := 1; n <= 50; n++ {
			h.publish(stack(n))
			eventually(t, fmt.Sprint("the answer of step ", n), func() bool {
				got, _ := ask(http.DefaultClient, port, "svc")
				return got == fmt.Sprint("v", n%2)
			})
			time.Sleep(time.Duration(n%5) * 10 * time.Millisecond)
		}
		for _, stop := range []func() (int64, []string){stopSvc, stopSteady} {
			requests, failed := stop()
			t.Logf("%d requests, %d failed", requests, len(failed))
			if len(failed) > 0 {
				t.Errorf("failed requests, the first: %s", failed[0])
			}
		}
		if n := e.sum(`update_rejected$|update_failure$`); n != 0 || len(h.rejections()) > 0 {
			t.Errorf("Envoy refused %d updates: %v", n, h.rejections())
		}
		eventually(t, "old clusters are gone", func() bool {
			return strings.Count(e.get("/clusters"), "::default_priority::max_connections") == 3 // xds, steady, svc-50
		})
	})
}
