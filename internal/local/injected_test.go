//go:build linux

package local_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
)

// TestInjectedPods runs the whole of it: injection by the namespace's label, the
// init container's capture, stock Envoys, the control plane, and the gateway.
func TestInjectedPods(t *testing.T) {
	m := newMesh(t, func(c *local.Config) { c.NoControlPlane, c.Gateway = false, true })
	ctx := within(t, 60*time.Second)
	if err := m.Label(ctx, local.Key{Kind: "Namespace", Name: "default"}, map[string]string{"istio-injection": "enabled"}); err != nil {
		t.Fatal(err)
	}
	apply(t, m, app("v1", 2)+"---"+sleeper)
	ready(t, m, "default", "istio-system")
	pods, err := m.Pods("default", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if p.Ready != 2 || p.Of != 2 {
			t.Errorf("pod %s is %d/%d ready, want 2/2", p.Name, p.Ready, p.Of)
		}
	}
	client, err := m.HTTP(ctx, "default/sleep")
	if err != nil {
		t.Fatal(err)
	}
	var resp *http.Response
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err = client.Get("http://flaskapp/env/version"); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		// That the pods are ready reaches the proxies a moment after it is seen here.
		if resp.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline) {
			break
		}
	}
	if resp.StatusCode != 200 || resp.Header.Get("server") != "envoy" {
		t.Errorf("through the proxies: %s, server %q, want 200 from envoy", resp.Status, resp.Header.Get("server"))
	}
	apply(t, m, `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: ["*"]
  gateways: [web]
  http: [{route: [{destination: {host: flaskapp}}]}]
`)
	url, err := m.NodePortURL(ctx, "istio-system", "istio-ingressgateway", 8080)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got, err = ask(t, http.DefaultClient, url+"/env/version"); err == nil && got == "v1" {
			break
		}
	}
	if err != nil || strings.TrimSpace(got) != "v1" {
		t.Errorf("through the gateway at %s: %q, %v", url, got, err)
	}
}
