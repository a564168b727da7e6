//go:build linux

package local_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

func TestMain(m *testing.M) { os.Exit(localtest.Main(m)) }

// newMesh starts a mesh without a control plane, unless change asks for one.
func newMesh(t *testing.T, change func(*local.Config)) *local.Mesh {
	t.Helper()
	return localtest.Mesh(t, func(c *local.Config) {
		c.NoControlPlane = true
		if change != nil {
			change(c)
		}
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func apply(t *testing.T, m *local.Mesh, manifests string) {
	t.Helper()
	if err := m.Apply(t.Context(), []byte(manifests)); err != nil {
		t.Fatal(err)
	}
}

func ready(t *testing.T, m *local.Mesh, namespaces ...string) {
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
        lifecycle: {preStop: {sleep: {seconds: 1}}} # until nobody sends anything any more
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
