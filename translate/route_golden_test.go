package translate

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
)

var updateRoutes = flag.Bool("update-routes", false, "write what is made into the golden stories of routes")

// A story of routes is a txtar file: a sentence, then in.yaml, and what comes
// of it in routes.yaml, chains.txt and findings.txt. A line "client: NAMESPACE
// LABELS" in the sentence says who looks; without one it is namespace default.
type routeStory struct {
	file, namespace, labels string
	archive                 *txtar.Archive
}

func routeStories(t testing.TB) []routeStory {
	t.Helper()
	files, err := filepath.Glob("testdata/route-stories/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	var out []routeStory
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := routeStory{file: f, namespace: "default", archive: a}
		for line := range strings.Lines(string(a.Comment)) {
			if rest, ok := strings.CutPrefix(line, "client: "); ok {
				s.namespace, s.labels, _ = strings.Cut(strings.TrimSpace(rest), " ")
			}
		}
		out = append(out, s)
	}
	return out
}

func (s routeStory) part(name string) string {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func (s routeStory) made(t testing.TB) (hosts []*routev3.VirtualHost, parts []txtar.File) {
	t.Helper()
	hosts, chains, findings := ruledHosts(t, routeWorld(t, s.part("in.yaml"), s.namespace, s.labels))
	out := []txtar.File{{Name: "in.yaml", Data: []byte(s.part("in.yaml"))}}
	if len(hosts) > 0 {
		out = append(out, txtar.File{Name: "routes.yaml", Data: routesYAML(t, hosts)})
	}
	if len(chains) > 0 {
		out = append(out, txtar.File{Name: "chains.txt", Data: []byte(strings.Join(chains, "\n") + "\n")})
	}
	if len(findings) > 0 {
		out = append(out, txtar.File{Name: "findings.txt", Data: []byte(strings.Join(findings, "\n") + "\n")})
	}
	return hosts, out
}

// routesYAML writes each virtual host's routes, without what all routes have:
// the built-in retries and no timeout.
func routesYAML(t testing.TB, hosts []*routev3.VirtualHost) []byte {
	t.Helper()
	all := map[string]any{}
	builtIn := encoded(t, &routev3.RouteAction{RetryPolicy: retryPolicy(nil, false, mesh.DefaultConfig())})["retryPolicy"]
	for _, vh := range hosts {
		routes, _ := encoded(t, vh)["routes"].([]any)
		for _, r := range routes {
			action, ok := r.(map[string]any)["route"].(map[string]any)
			if !ok {
				continue
			}
			if p := vh.RetryPolicy; p != nil && action["retryPolicy"] == nil { // what Envoy makes of it
				action["retryPolicy"] = encoded(t, p)
			}
			if cmp.Equal(action["retryPolicy"], builtIn) {
				action["retryPolicy"] = "the default"
			}
			if action["timeout"] == "0s" && action["maxGrpcTimeout"] == "0s" {
				delete(action, "timeout")
				delete(action, "maxGrpcTimeout")
			}
		}
		all[vh.Name] = routes
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func encoded(t testing.TB, m proto.Message) map[string]any {
	t.Helper()
	text, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRouteStories(t *testing.T) {
	for _, s := range routeStories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(s.file), ".txtar"), func(t *testing.T) {
			_, parts := s.made(t)
			got := &txtar.Archive{Comment: s.archive.Comment, Files: parts}
			if *updateRoutes {
				if err := os.WriteFile(s.file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(s.archive)), string(txtar.Format(got))); diff != "" {
				t.Errorf("go test ./translate -run TestRouteStories -update-routes writes it anew\n%s", diff)
			}
		})
	}
}

// TestEnvoyTakesRoutes lets a stock Envoy check all routes of all stories.
func TestEnvoyTakesRoutes(t *testing.T) {
	envoy := envoytest.Path(t)
	for _, s := range routeStories(t) {
		hosts, _ := s.made(t)
		if out, err := validateRoutes(t, envoy, hosts); err != nil {
			t.Errorf("%s: %v\n%s", s.file, err, out)
		}
	}
}

// validateRoutes runs Envoy's own check of a listener that has the virtual
// hosts in its routes.
func validateRoutes(t testing.TB, envoy string, hosts []*routev3.VirtualHost) ([]byte, error) {
	t.Helper()
	frame := RouteFrame("80")
	for _, vh := range hosts {
		frame.VirtualHosts = append(frame.VirtualHosts, &routev3.VirtualHost{Name: vh.Name, Domains: []string{vh.Name}, Routes: vh.Routes, RetryPolicy: vh.RetryPolicy})
	}
	chain := HTTPConnectionManager(HCMInput{Direction: resource.Outbound, StatPrefix: "test", Routes: frame, Config: mesh.DefaultConfig()})
	bootstrap, err := json.Marshal(map[string]any{"static_resources": map[string]any{"listeners": []any{map[string]any{
		"name": "test", "address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}},
		"filter_chains": []any{map[string]any{"filters": []any{encoded(t, chain)}}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), envoy, "--mode", "validate", "-l", "error", "-c", file).CombinedOutput()
}
