package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

// TestLogsReachACollector: what envoyOtelAls sends, a real OpenTelemetry collector takes for
// log records with body and attributes as the provider says, of the proxy on either side.
func TestLogsReachACollector(t *testing.T) {
	t.Parallel()
	envoy := localtest.Need(t)
	program := collector(t)
	w := newWorld(t, envoy, "delta")
	out := startCollector(t, w, program)

	var s step
	for _, f := range []string{"testdata/worlds/sleep.yaml", "testdata/collector/world.yaml"} {
		objects, err := readObjects(f)
		if err != nil {
			t.Fatal(err)
		}
		s.objects = append(s.objects, objects...)
	}
	s.Requests = []request{{URL: "http://server/lighthouse", Headers: map[string]string{"x-asked": "by-the-test"}, Want: want{By: "server"}}}
	if !w.run(t, 0, s) {
		return
	}
	var text string
	found := func() bool {
		all, err := os.ReadFile(out)
		text = string(all)
		return err == nil && len(records(text, "Body: Str(GET /lighthouse 200 turquoise)", "color: Str(magenta)", "asked: Str(by-the-test)")) >= 2
	}
	if !eventually(60*time.Second, found) {
		t.Errorf("the collector has no two such records; it says\n%s", text[max(0, len(text)-6000):])
	}
	if !strings.Contains(text, "log_name: Str(tower)") {
		t.Errorf("the collector has heard nothing of logName; it says\n%s", text[max(0, len(text)-6000):])
	}
	w.checkRefusals(t, nil)
}

// records are the log records of what the collector has printed that hold all the texts.
func records(text string, holding ...string) (out []string) {
	for _, r := range strings.Split(text, "LogRecord #")[1:] {
		all := true
		for _, h := range holding {
			all = all && strings.Contains(r, h)
		}
		if all {
			out = append(out, r)
		}
	}
	return out
}

// collector builds test/tools/otelcol, which takes a minute the first time.
func collector(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "fairway", "otelcol")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "otelcol")
	command := func(arguments ...string) ([]byte, error) {
		cmd := exec.Command("go", arguments...)
		cmd.Dir, cmd.Env = "../tools/otelcol", append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
		return cmd.CombinedOutput()
	}
	if text, err := command("mod", "download"); err != nil {
		t.Skipf("the modules of the collector cannot be had: %v: %s", err, text)
	}
	if text, err := command("build", "-buildvcs=false", "-o", program, "."); err != nil {
		t.Fatalf("building the collector: %v\n%s", err, text)
	}
	return program
}

// startCollector runs the collector at the router's address, port 4317, and returns the file
// to which it prints.
func startCollector(t *testing.T, w *world, program string) string {
	t.Helper()
	config := filepath.Join(w.dir, "collector.yaml")
	if err := os.WriteFile(config, []byte(`
receivers: {otlp: {protocols: {grpc: {endpoint: "`+routerAddress.String()+`:4317"}}}}
exporters: {debug: {verbosity: detailed}}
service: {telemetry: {metrics: {level: none}}, pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(w.dir, "collector.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config", "file:"+config)
	cmd.Stdout, cmd.Stderr = out, out
	if err := w.router.Namespace.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
	})
	return out.Name()
}
