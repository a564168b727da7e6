package translate

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
)

// TestEnvoyAcceptsInbound lets a real Envoy check what all stories make.
func TestEnvoyAcceptsInbound(t *testing.T) {
	envoy := envoytest.Path(t)
	var listeners, clusters []json.RawMessage
	for _, s := range inboundStories(t) {
		story := strings.TrimSuffix(filepath.Base(s.file), ".txtar")
		for _, l := range s.out.Listeners {
			l.Name = story
			l.Address.GetSocketAddress().PortSpecifier = inboundSocket(ownSourceIPv4, uint32(20000+len(listeners))).PortSpecifier // each its own
			listeners = append(listeners, inboundJSON(t, l))
		}
		for _, c := range s.out.Clusters {
			c.Name = story + "/" + c.Name
			clusters = append(clusters, inboundJSON(t, c))
		}
	}
	clusters = append(clusters, json.RawMessage(`{"name":"xds","type":"STATIC","connect_timeout":"1s"}`))
	for _, name := range []string{"outbound|80||authz.default.svc.cluster.local", "outbound|90||authz.default.svc.cluster.local", "outbound|80||keys.default.svc.cluster.local",
		"jwks|443||remote.example"} {
		clusters = append(clusters, json.RawMessage(`{"name":"`+name+`","type":"STATIC","connect_timeout":"1s"}`))
	}
	bootstrap, err := json.Marshal(map[string]any{
		"node": map[string]string{"id": "sidecar~10.0.0.1~a.default~default.svc.cluster.local", "cluster": "a"},
		"dynamic_resources": map[string]any{"ads_config": map[string]any{
			"api_type": "DELTA_GRPC", "transport_api_version": "V3",
			"grpc_services": []any{map[string]any{"envoy_grpc": map[string]string{"cluster_name": "xds"}}},
		}},
		"static_resources": map[string]any{"listeners": listeners, "clusters": clusters},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "-c", file, "-l", "warning").CombinedOutput()
	if err != nil {
		t.Fatalf("%d listeners: %v\n%s", len(listeners), err, out)
	}
	for line := range strings.Lines(string(out)) {
		// 1.38 has only stat_prefix, which newer ones call deprecated.
		if strings.Contains(line, "eprecated") && !strings.Contains(line, "access_loggers.stats.v3.Config.stat_prefix") {
			t.Errorf("Envoy finds something deprecated: %s", line)
		}
	}
}
