package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/envoyfetch/envoytest"
)

// TestBareEnvoy does what docs/bare-envoy.md tells to do, with its files and its command, on
// free ports in place of its own.
func TestBareEnvoy(t *testing.T) {
	envoy := envoytest.Path(t)
	text, err := os.ReadFile("../../docs/bare-envoy.md")
	if err != nil {
		t.Fatal(err)
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello from "+r.URL.Path) }))
	defer backend.Close()
	ports := []string{"9080", portOf(t, backend.Listener.Addr().String())}
	for _, p := range []string{"8080", "15010", "15014"} {
		ports = append(ports, p, portOf(t, free(t)))
	}
	page := strings.NewReplacer(ports...).Replace(string(text))

	dir := t.TempDir()
	files := regexp.MustCompile("(?ms)^```yaml\n# (\\S+)\n(.*?)^```").FindAllStringSubmatch(page, -1)
	if len(files) != 3 {
		t.Fatalf("the page has %d files, want three", len(files))
	}
	for _, f := range files {
		path := filepath.Join(dir, f[1])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve := regexp.MustCompile("(?m)^fairway (serve .*)$").FindStringSubmatch(page)
	if serve == nil {
		t.Fatal("the page does not say how to run the control plane")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	begin(t, dir, program, strings.Fields(serve[1])...)
	begin(t, dir, envoy, "-c", "bootstrap.yaml", "--use-dynamic-base-id", "--log-level", "error")

	url := regexp.MustCompile(`curl -i (\S+)`).FindStringSubmatch(page)[1]
	var got string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		answer, err := http.Get(url)
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if got = string(body); got == "hello from /" {
			return
		}
	}
	t.Fatalf("the last answer was %q", got)
}

// begin runs a program, as Fairway if it is the tests' own, until the test ends.
func begin(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), beProgram+"=1")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
