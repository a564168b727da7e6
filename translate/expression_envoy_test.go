package translate

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// TestEnvoyTakesExpressions holds the check of expressions in Telemetry objects against a real Envoy, which has to
// take every expression that passes, as a filter of logs and as a label.
func TestEnvoyTakesExpressions(t *testing.T) {
	envoy := envoytest.Path(t)
	good, err := os.ReadFile("telemetry/testdata/expressions")
	if err != nil {
		t.Fatal(err)
	}
	config := mesh.DefaultConfig()
	config.DefaultProviders = &meshconfig.MeshConfig_DefaultProviders{Metrics: []string{"prometheus"}}
	var chains []*listenerv3.FilterChain
	routes := &routev3.RouteConfiguration{Name: "80"}
	for _, s := range strings.Split(strings.TrimSpace(string(good)), "\n") {
		spec := &telemetryapi.Telemetry{
			AccessLogging: []*telemetryapi.AccessLogging{{Filter: &telemetryapi.AccessLogging_Filter{Expression: s}}},
			Metrics:       []*telemetryapi.Metrics{{Overrides: []*telemetryapi.MetricsOverrides{{TagOverrides: map[string]*telemetryapi.MetricsOverrides_TagOverride{"x": {Value: s}}}}}},
		}
		chains = append(chains, &listenerv3.FilterChain{
			Name: s, FilterChainMatch: &listenerv3.FilterChainMatch{ServerNames: []string{string(rune('a'+len(chains)%26)) + string(rune('a'+len(chains)/26)) + ".example"}},
			Filters: told(telemetry.Caller{}, HTTPFilters(HCMInput{Direction: resource.Outbound, Routes: routes, Reporting: telemetry.Reporting{Telemetries: mesh.ListOf(&mesh.Telemetry{Spec: spec})}, Config: config})),
		})
	}
	l := inboundJSON(t, &listenerv3.Listener{Name: "l", Address: inboundAddress(ownSourceIPv4), FilterChains: chains, ListenerFilters: []*listenerv3.ListenerFilter{tlsInspector()}})
	bootstrap, err := json.Marshal(map[string]any{"static_resources": map[string]any{"listeners": []json.RawMessage{l}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "-c", file, "-l", "critical").CombinedOutput(); err != nil {
		t.Errorf("%v: %.2000s", err, out)
	}
}
