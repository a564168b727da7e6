//go:build linux

package tutorials

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
	"github.com/fairway-mesh/fairway/internal/local/localtest"
	"github.com/fairway-mesh/fairway/test/faults"
)

// spoil has the node's network do something to what proxies and the control
// plane send each other, %s being a verdict that is reached after matches of
// nftables.
func spoil(t *testing.T, m *local.Mesh, matchAndVerdict string) {
	t.Helper()
	_, port, err := net.SplitHostPort(local.XDSAddress())
	if err != nil {
		t.Fatal(err)
	}
	rules := "table inet bad_link\ndelete table inet bad_link\n"
	if matchAndVerdict != "" {
		rules += fmt.Sprintf("table inet bad_link {\n chain in { type filter hook input priority -10; tcp dport %s %s\n }\n chain out { type filter hook output priority -10; tcp sport %s %s\n }\n}\n", port, matchAndVerdict, port, matchAndVerdict)
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	var said strings.Builder
	cmd.Stderr = &said
	if err := m.StartOnNode(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("nft: %v: %s", err, said.String())
	}
}

// canary sends requests to the subsets of a generation, which no proxy has heard
// of before: new clusters, to be warm before a route leads to them.
const canary = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: flaskapp, namespace: istio-app}
spec: {host: flaskapp, subsets: [{name: old-%[1]d, labels: {version: v1}}, {name: new-%[1]d, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: flaskapp, namespace: istio-app}
spec: {hosts: [flaskapp], http: [{route: [{destination: {host: flaskapp, subset: old-%[1]d}, weight: 50}, {destination: {host: flaskapp, subset: new-%[1]d}, weight: 50}]}]}
`

// TestBadLink changes clusters and routes while the link between proxies and the
// control plane loses packets, is slow, or is half open: no request fails, and
// what is new arrives. Then a Pod starts on a link that loses packets.
func TestBadLink(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not in PATH (Debian: apt-get install nftables)")
	}
	m := localtest.Mesh(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	applyApp(ctx, t, m)
	pod, err := m.Pod("istio-app", "app=sleep")
	if err != nil {
		t.Fatal(err)
	}
	client, err := m.HTTP(ctx, pod)
	if err != nil {
		t.Fatal(err)
	}
	var asked, failed atomic.Int64
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-loading.Done():
				return
			case <-tick.C:
			}
			r, err := client.Get("http://flaskapp:7777/env/version")
			asked.Add(1)
			if err != nil {
				failed.Add(1)
				t.Logf("%v", err)
				continue
			}
			body, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				failed.Add(1)
				t.Logf("%s: %s", r.Status, body)
			}
		}
	}()
	defer func() { stop(); <-done }()

	generation := 0
	change := func() {
		t.Helper()
		generation++
		if err := m.Apply(ctx, fmt.Appendf(nil, canary, generation)); err != nil {
			t.Fatal(err)
		}
	}
	arrived := func() bool {
		text, err := m.Exec(ctx, pod, "fairway", "sample", "get", "http://127.0.0.1:15000/clusters?format=text")
		return err == nil && strings.Contains(text, fmt.Sprintf("|new-%d|", generation)) && !strings.Contains(text, fmt.Sprintf("|new-%d|", generation-1))
	}
	links := []badLink{{"30 % of packets are lost, each way", "numgen random mod 10 < 3 drop", 6, time.Second}}
	if faults.Long() {
		links = []badLink{
			{"30 % of packets are lost, each way", "numgen random mod 10 < 3 drop", 60, time.Second},
			{"half of all packets are lost, each way", "numgen random mod 10 < 5 drop", 60, time.Second},
			{"40 kB a second", "limit rate over 40 kbytes/second burst 8 kbytes drop", 60, time.Second},
			{"half open, shorter than the control plane takes it for dead", "drop", 3, 5 * time.Second},
			{"half open, longer", "drop", 12, 5 * time.Second},
		}
	}
	for _, c := range links {
		before, lost, began := asked.Load(), failed.Load(), time.Now()
		spoil(t, m, c.rule)
		for range c.changes {
			change()
			time.Sleep(c.pause)
		}
		spoil(t, m, "")
		took := time.Since(began)
		until(ctx, t, "what is new has arrived", arrived)
		t.Logf("%s, for %s: %d of %d requests failed; right %s after its end", c.name, took.Round(time.Second), failed.Load()-lost, asked.Load()-before, (time.Since(began) - took).Round(100*time.Millisecond))
		if failed.Load() != lost {
			t.Errorf("%s: %d of %d requests failed", c.name, failed.Load()-lost, asked.Load()-before)
		}
	}
	if faults.Long() {
		if log, err := os.ReadFile(filepath.Join(m.Dir(), "serve.log")); err != nil || !strings.Contains(string(log), "a proxy does not answer any more") {
			t.Errorf("the control plane does not say that proxies were given up: %v", err)
		}
	}
	firstConnect(ctx, t, m)
}

// badLink is what is done to a link while some changes are made.
type badLink struct {
	name, rule string // of nftables
	changes    int
	pause      time.Duration // between changes
}

// firstConnect starts a Pod while packets are lost: it is ready when its proxy
// has all, and from then on no request fails.
func firstConnect(ctx context.Context, t *testing.T, m *local.Mesh) {
	t.Helper()
	known, err := m.Pods("istio-app", "app=sleep")
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, m, "numgen random mod 10 < 3 drop")
	began := time.Now()
	if err := m.Scale(ctx, "Deployment", "istio-app", "sleep", len(known)+1); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(ctx, "istio-app"); err != nil {
		t.Fatal(err)
	}
	t.Logf("with 30 %% of packets lost, a Pod is ready after %s", time.Since(began).Round(100*time.Millisecond))
	now, err := m.Pods("istio-app", "app=sleep")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range now {
		if slices.ContainsFunc(known, func(k local.PodSummary) bool { return k.Name == p.Name }) {
			continue
		}
		client, err := m.HTTP(ctx, p.Namespace+"/"+p.Name)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			r, err := client.Get("http://flaskapp:7777/env/version")
			if err != nil {
				t.Error(err)
				continue
			}
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				t.Errorf("the new Pod is answered %s", r.Status)
			}
		}
		return
	}
	t.Error("no Pod has come")
}
