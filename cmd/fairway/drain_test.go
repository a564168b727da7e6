package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// drained is a gateway that answers by itself, on a port.
const drained = `apiVersion: v1
kind: Pod
metadata: {name: gate-0, namespace: edge, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy}]}
status: {podIP: 10.244.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: edge}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: %s, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello, namespace: edge}
spec: {hosts: ["*"], gateways: [front], http: [{directResponse: {status: 200, body: {string: hello}}}]}
`

// TestDrainingProxyEndsConnections begins the end of a gateway's Pod while a
// client keeps a connection: from then on answers close it, and new connections
// are served as before.
func TestDrainingProxyEndsConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("runs an Envoy; not with -short")
	}
	address := free(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	objects, directory := fmt.Sprintf(drained, port), t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(directory, "mesh.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(objects)
	xds, _ := running(t, directory)
	connectEnvoy(t, xds, "router~10.244.0.2~gate-0.edge~edge.svc.cluster.local")
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	ask := func() (closes bool, err error) {
		r, err := client.Get("http://" + address + "/")
		if err != nil {
			return false, err
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK || string(body) != "hello" {
			return false, fmt.Errorf("got %d %q: %w", r.StatusCode, body, err)
		}
		return r.Close, nil
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after a minute still not: %s", what)
			}
		}
	}
	until("the gateway answers", func() bool { _, err := ask(); return err == nil })
	for range 3 {
		if closes, err := ask(); closes || err != nil {
			t.Fatalf("before the drain: the answer closes its connection %v, %v", closes, err)
		}
	}
	write(strings.Replace(objects, "{name: gate-0,", `{name: gate-0, deletionTimestamp: "2026-01-01T00:00:00Z",`, 1))
	until("answers close their connections", func() bool {
		closes, err := ask()
		if err != nil {
			t.Fatalf("while the drain begins: %v", err)
		}
		return closes
	})
	for range 3 {
		if closes, err := ask(); !closes || err != nil {
			t.Errorf("during the drain: the answer to a new connection closes it %v, %v", closes, err)
		}
	}
}
