package translate

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// TestEnvoyTakesClusters hands a running Envoy all clusters of all stories, and
// some that nobody means, as discovery would: clusters whose secrets come by ADS cannot stand in its
// bootstrap.
func TestEnvoyTakesClusters(t *testing.T) {
	envoy := envoytest.Path(t)
	if _, err := os.Stat(resource.SystemRootsFile); err != nil {
		t.Skipf("this machine is not like Envoy's image: %v", err)
	}
	seen := map[string]bool{}
	answer := &discoveryv3.DiscoveryResponse{VersionInfo: "1"}
	for i, c := range randomClusters(150) {
		c.Name = fmt.Sprintf("random/%d", i)
		seen[c.Name] = true
		answer.Resources = append(answer.Resources, resource.Pack(c))
	}
	for _, file := range stories(t) {
		story := strings.TrimSuffix(filepath.Base(file), ".in.yaml")
		clusters, _, _ := clustersOf(t, readStory(t, file).view(t))
		for _, c := range append(clusters, BasicClusters(mesh.DefaultConfig())...) {
			c.Name = story + "/" + c.Name
			if seen[c.Name] {
				t.Errorf("%s is made twice", c.Name)
			}
			seen[c.Name] = true
			answer.Resources = append(answer.Resources, resource.Pack(c))
		}
	}
	dir := t.TempDir()
	text, err := protojson.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cds.json"), text)
	writeFile(t, filepath.Join(dir, "bootstrap.json"), clusterBootstrap(t, filepath.Join(dir, "cds.json")))
	log := runClusterEnvoy(t, envoy, dir)
	taken := fmt.Sprintf("added/updated %d cluster(s)", len(seen))
	if !strings.Contains(log, taken) {
		t.Errorf("Envoy did not say %q", taken)
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "deprecated") || strings.Contains(line, "rejected") || strings.Contains(line, "unknown field") {
			t.Errorf("Envoy says: %s", line)
		}
	}
}

// randomClusters are clusters under policies that nobody means. Files that
// policies name are not there, so they name none.
func randomClusters(n uint64) (out []*clusterv3.Cluster) {
	for seed := range n {
		r := rand.New(rand.NewPCG(seed, 2))
		p := &networking.TrafficPolicy{}
		randomMessage(r, p.ProtoReflect(), 5)
		noFiles(p.Tls)
		for _, l := range p.PortLevelSettings {
			noFiles(l.Tls)
		}
		c, _ := Cluster(randomInput(r, p, seed%2 == 0), nil)
		out = append(out, c)
	}
	return out
}

func noFiles(t *networking.ClientTLSSettings) {
	if t != nil {
		t.CaCertificates, t.CaCrl, t.ClientCertificate, t.PrivateKey = "", "", "", ""
	}
}

func clusterBootstrap(t testing.TB, cds string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"node": map[string]string{"id": "sidecar~10.0.0.1~a.default~default.svc.cluster.local", "cluster": "a"},
		"admin": map[string]any{"address": map[string]any{"socket_address": map[string]any{
			"address": "127.0.0.1", "port_value": 0}}},
		"dynamic_resources": map[string]any{
			"ads_config": map[string]any{
				"api_type": "DELTA_GRPC", "transport_api_version": "V3",
				"grpc_services": []any{map[string]any{"envoy_grpc": map[string]string{"cluster_name": "xds"}}},
			},
			"cds_config": map[string]any{"resource_api_version": "V3", "path_config_source": map[string]string{"path": cds}},
		},
		"static_resources": map[string]any{"clusters": []any{map[string]string{"name": "xds", "type": "STATIC", "connect_timeout": "1s"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// runClusterEnvoy runs Envoy until it has read its clusters, and returns its log.
func runClusterEnvoy(t testing.TB, envoy, dir string) string {
	t.Helper()
	admin := filepath.Join(dir, "admin")
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer logFile.Close()
	cmd := exec.CommandContext(t.Context(), envoy, "-c", filepath.Join(dir, "bootstrap.json"), "--use-dynamic-base-id", "--concurrency", "1",
		"--admin-address-path", admin, "-l", "warning", "--component-log-level", "upstream:info")
	cmd.Stderr = logFile
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	read := func() string {
		text, _ := os.ReadFile(logFile.Name())
		return string(text)
	}
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Envoy ended: %v\n%s", err, read())
		default:
		}
		if n := clusterUpdates(admin); n > 0 {
			return read()
		}
	}
	t.Fatalf("Envoy read no clusters:\n%s", read())
	return ""
}

// clusterUpdates is how many cluster updates Envoy took or refused; 0 as long
// as it cannot be asked.
func clusterUpdates(admin string) int {
	address, err := os.ReadFile(admin)
	if err != nil || len(address) == 0 {
		return 0
	}
	response, err := http.Get("http://" + string(address) + "/stats?filter=cluster_manager.cds.update_(success|rejected)")
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		_, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		var v int
		if _, err := fmt.Sscan(value, &v); err == nil {
			n += v
		}
	}
	return n
}

func writeFile(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
