package local

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
)

// binary is the fairway binary, built once for all tests of this package.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fairway-local-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "fairway")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/fairway-mesh/fairway/cmd/fairway").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building fairway: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// newMesh starts a mesh without a control plane, unless change asks for one.
func newMesh(t *testing.T, change func(*Config)) *Mesh {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	envoy, err := envoyfetch.Find(envoyfetch.Version)
	if err != nil {
		t.Skip(err)
	}
	c := Config{Fairway: binary, Envoy: envoy, NoControlPlane: true, Log: slog.New(slog.NewTextHandler(logWriter{t}, nil))}
	if change != nil {
		change(&c)
	}
	m, err := Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if exists(m.Dir()) {
			t.Error("the mesh's directory is still there")
		}
	})
	return m
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func apply(t *testing.T, m *Mesh, manifests string) {
	t.Helper()
	if err := m.Apply(t.Context(), []byte(manifests)); err != nil {
		t.Fatal(err)
	}
}

func ready(t *testing.T, m *Mesh, namespaces ...string) {
	t.Helper()
	if err := m.WaitReady(within(t, 30*time.Second), namespaces...); err != nil {
		t.Fatal(err)
	}
}

// app is a Deployment of the sample flaskapp and its Service, without a proxy.
func app(version string, replicas int) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: flaskapp}
spec:
  selector: {app: flaskapp}
  ports: [{name: http, port: 80, targetPort: web}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flaskapp}
spec:
  replicas: %d
  selector: {matchLabels: {app: flaskapp}}
  template:
    metadata: {labels: {app: flaskapp, version: %q}}
    spec:
      containers:
      - name: app
        image: ghcr.io/fairway-mesh/fairway:latest
        args: [sample, flaskapp, --port, $(PORT)]
        env: [{name: PORT, value: "8000"}, {name: version, value: %q}, {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
        ports: [{name: web, containerPort: 8000}]
        readinessProbe: {httpGet: {path: /healthz, port: web}, periodSeconds: 1}
`, replicas, version, version)
}

const sleeper = `
apiVersion: v1
kind: Pod
metadata: {name: sleep, labels: {app: sleep}}
spec:
  containers: [{name: app, image: ghcr.io/fairway-mesh/fairway:latest, args: [sample, sleep]}]
`

func ask(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body)), err
}

func TestPlainHTTPBetweenPods(t *testing.T) {
	m := newMesh(t, nil)
	apply(t, m, app("v1", 2)+"---"+sleeper)
	ready(t, m, "default")
	client, err := m.HTTP(t.Context(), "default/sleep")
	if err != nil {
		t.Fatal(err)
	}
	client.Transport.(*http.Transport).DisableKeepAlives = true
	seen := map[string]int{}
	for range 40 {
		got, err := ask(t, client, "http://flaskapp/env/IP")
		if err != nil {
			t.Fatal(err)
		}
		seen[got]++
	}
	if len(seen) != 2 {
		t.Errorf("answers came from %v, want both pods", seen)
	}
	// The same as a program inside the pod sees it, through its resolver.
	got, err := m.Exec(t.Context(), "default/sleep", "python3", "-c", "import urllib.request;print(urllib.request.urlopen('http://flaskapp.default/env/version').read().decode())")
	if err != nil && !strings.Contains(err.Error(), "no such program") {
		t.Fatal(err)
	}
	if err == nil && strings.TrimSpace(got) != "v1" {
		t.Errorf("from inside: %q", got)
	}
}
