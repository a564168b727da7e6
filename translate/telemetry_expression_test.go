package translate

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	meshconfig "istio.io/api/mesh/v1alpha1"
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh"
)

var goodExpressions = []string{
	"response.code >= 400", "response.code >= 400 || connection.mtls && !('x' in request.headers)", "request.headers['a'].startsWith('b')",
	"has(request.host)", "has(upstream.address)", "size(request.path) > 3", "request.path.size() > 3", "request.path.matches('^/a.*$')", "matches(request.path, 'a')",
	"request.path == 'a\\'b' || request.path == \"c\" || request.path == r'\\d'", "[1, 2, 3].size() == 3", "{'a': 1}['a'] == 1", "-1 < int('2') && 1.5e3 > 0.1 && 0x1F == 31 && 1u == uint(1)",
	"response.code in [200, 201]", "connection.mtls ? 'a' : 'b'", "metadata.filter_metadata['a']['b'] == 'c'", "re.extract(request.path, '(a)', '\\\\1')", "re.capture(request.path, '(a)')",
	"true", "null == null", "request.duration > duration('1s')", "request.time > timestamp('2024-01-01T00:00:00Z')", "double(1) == 1.0", "((((1))))==1",
	"(a ? b : c) == d", "filter_state['x'] == 'y'", "!!true", "- -1 == 1", "type(1) == int", "'a' + 'b' == 'ab'", "response.code < 400 && true ? true : false",
}

var badExpressions = []string{
	"", "(", ")", "'", "a(", "a b", "a ==", "== a", "a.", "a..b", ".", "a[", "a[]", "f(1)", "string(1)", "a.exists(x, x == 1)", "startsWith('a')", "a.startsWith()",
	"a.startsWith('a', 'b')", "has(a)", "has(a.b(1))", "a ? b", "a : b", "a ? b ? c : d", "1 2", "'a", "\"a'", "a & b", "a = b", "while", "a.in", "in", "{1}", "{1: }", "[1,,2]", "size()",
	"@a", "a#b", "'\\q'", "re.nope('a')", "a.matches('b',)", "!-1 ==",
}

func TestCheckExpression(t *testing.T) {
	for _, s := range goodExpressions {
		if err := checkExpression(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range badExpressions {
		if checkExpression(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestTagExpression(t *testing.T) {
	for in, want := range map[string]string{"request.host": "request.host", "string(destination.port)": "destination.port", " string(a[1]) ": "a[1]", "string(a) == string(b)": "", "1 % 2": "", "(": ""} {
		got, err := tagExpression(in)
		if err == nil && got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
}

// TestEnvoyTakesExpressions holds the check against a real Envoy, which has to
// take every expression that passes, as a filter of logs and as a label.
func TestEnvoyTakesExpressions(t *testing.T) {
	envoy := envoytest.Path(t)
	config := mesh.DefaultConfig()
	config.DefaultProviders = &meshconfig.MeshConfig_DefaultProviders{Metrics: []string{"prometheus"}}
	var chains []*listenerv3.FilterChain
	routes := &routev3.RouteConfiguration{Name: "80"}
	for _, s := range goodExpressions {
		spec := &telemetry.Telemetry{
			AccessLogging: []*telemetry.AccessLogging{{Filter: &telemetry.AccessLogging_Filter{Expression: s}}},
			Metrics:       []*telemetry.Metrics{{Overrides: []*telemetry.MetricsOverrides{{TagOverrides: map[string]*telemetry.MetricsOverrides_TagOverride{"x": {Value: s}}}}}},
		}
		chains = append(chains, &listenerv3.FilterChain{
			Name: s, FilterChainMatch: &listenerv3.FilterChainMatch{ServerNames: []string{string(rune('a'+len(chains)%26)) + string(rune('a'+len(chains)/26)) + ".example"}},
			Filters: HTTPFilters(HCMInput{Direction: DirectionOutbound, Routes: routes, Reporting: Reporting{Telemetries: mesh.ListOf(&mesh.Telemetry{Spec: spec})}, Config: config}),
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

func FuzzCheckExpression(f *testing.F) {
	for _, s := range goodExpressions {
		f.Add(s)
	}
	for _, s := range badExpressions {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkExpression(s) != nil {
			return
		}
		if err := checkExpression("(" + s + ")"); err != nil && len(s) < maxExpression-2 && err.Error() != "nested more than 50 deep" {
			t.Errorf("%q is an expression and is none in parentheses: %v", s, err)
		}
	})
}
