package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestHandOver walks through looks at a replica and the others.
func TestHandOver(t *testing.T) {
	const old, young = 2 * time.Minute, time.Second
	type moment struct {
		age    time.Duration
		others bool
		want   step
	}
	for what, looks := range map[string][]moment{
		"one answer is not enough":          {{old, true, nothing}, {old, false, nothing}, {old, true, nothing}},
		"no other is fresh":                 {{old, false, nothing}, {old, false, nothing}, {old, false, nothing}},
		"proxies leave after the Service":   {{old, true, nothing}, {old, true, leave}, {old, true, nothing}, {old, true, sendAway}, {old, true, nothing}},
		"the others become ill":             {{old, true, nothing}, {old, true, leave}, {old, true, nothing}, {old, false, sendAway}, {old, false, stay}, {old, false, nothing}},
		"fresh for a moment is not enough":  {{old, true, nothing}, {old, true, leave}, {young, true, nothing}, {old, true, sendAway}, {young, true, nothing}, {young, true, nothing}, {young, true, nothing}, {old, true, nothing}},
		"fresh for good":                    {{old, true, nothing}, {old, true, leave}, {young, true, nothing}, {young, true, sendAway}, {young, true, nothing}, {young, true, nothing}, {young, true, nothing}, {young, true, nothing}, {young, true, stay}, {young, true, nothing}},
		"not so old that anything is to do": {{45 * time.Second, true, nothing}, {45 * time.Second, true, nothing}, {45 * time.Second, true, nothing}},
	} {
		var s swing
		now := time.Now()
		for i, l := range looks {
			var seen look
			if l.others {
				seen = compared([]informers.View{{Kind: "Pod", Confirmed: now.Add(-l.age)}, {Kind: "Node", Confirmed: now}}, map[string]bool{"Pod": true, "Node": true}, now)
			}
			if got := s.next(now, seen); got != l.want {
				t.Errorf("%s: look %d: %d, want %d", what, i, got, l.want)
			}
			now = now.Add(handOverEvery)
		}
	}
}

// TestOthersAreCompared compares views with those of others, which say themselves how they
// are, as the debug port has them.
func TestOthersAreCompared(t *testing.T) {
	now := time.Now()
	ages := func(old ...string) (out []informers.View) {
		for _, kind := range []string{"Node", "Pod", "Secret", "Telemetry"} {
			v := informers.View{Kind: kind, Named: kind == "Secret", Confirmed: now}
			if slices.Contains(old, kind) {
				v.Confirmed, v.Stale, v.Problem = now.Add(-2*time.Minute), true, "refused"
			}
			out = append(out, v)
		}
		return out
	}
	away := errors.New("proxies are sent elsewhere")
	type other struct {
		stale      []string
		more, less string // a kind that only one of the two follows
		ready      error
	}
	for _, x := range []struct {
		name   string
		ours   []string
		others []other
		want   look
	}{
		{"nobody", []string{"Pod"}, nil, look{}},
		{"a fresh one", []string{"Pod"}, []other{{}}, look{good: true, ahead: true, better: true}},
		{"a fresh one that takes no proxies", []string{"Pod"}, []other{{ready: away}}, look{}},
		{"both are refused a kind", []string{"Telemetry"}, []other{{stale: []string{"Telemetry"}}}, look{good: true}},
		{"both are refused a kind, and we lose all", []string{"Node", "Pod", "Telemetry"}, []other{{stale: []string{"Telemetry"}}}, look{good: true, ahead: true, better: true}},
		{"each has lost another kind", []string{"Pod"}, []other{{stale: []string{"Node"}}}, look{}},
		{"the other has lost more", []string{"Pod"}, []other{{stale: []string{"Node", "Pod"}}}, look{}},
		{"all have lost all", []string{"Node", "Pod", "Telemetry"}, []other{{stale: []string{"Node", "Pod", "Telemetry"}}}, look{good: true}},
		{"a Secret is refused here", []string{"Secret"}, []other{{}}, look{good: true}},
		{"a Secret is refused there", []string{"Pod"}, []other{{stale: []string{"Secret"}}}, look{good: true, ahead: true, better: true}},
		{"the other follows a kind that is not followed here", []string{"Pod"}, []other{{more: "Ingress", stale: []string{"Ingress"}}}, look{good: true, ahead: true, better: true}},
		{"the other does not follow what is stale here", []string{"Telemetry"}, []other{{less: "Telemetry"}}, look{good: true}},
		{"one of three is better", []string{"Pod"}, []other{{stale: []string{"Pod"}}, {ready: away}, {}}, look{good: true, ahead: true, better: true}},
	} {
		var addresses []string
		for _, o := range x.others {
			s := &source{views: func() []informers.View {
				views := slices.DeleteFunc(ages(o.stale...), func(v informers.View) bool { return v.Kind == o.less })
				if o.more != "" {
					views = append(views, informers.View{Kind: o.more, Confirmed: now, Stale: slices.Contains(o.stale, o.more)})
				}
				return views
			}}
			server := httptest.NewServer(debug.Handler(debug.Config{Metrics: prometheus.NewRegistry(), Views: s.shownViews, Ready: func() error { return o.ready }}))
			t.Cleanup(server.Close)
			addresses = append(addresses, strings.TrimPrefix(server.URL, "http://"))
		}
		if got := newPeers(func() []string { return addresses }).compare(t.Context(), ages(x.ours...)); got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, got, x.want)
		}
	}
}

// TestSecretsHandNothingOver: a Secret that the API server refuses does not even have the
// others be asked.
func TestSecretsHandNothingOver(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	if age := oldestOf([]informers.View{{Kind: "Secret", Named: true, Confirmed: old}, {Kind: "Pod", Confirmed: time.Now()}}); age > time.Minute {
		t.Errorf("%s old", age)
	}
}

// TestOthersLeadNowhere asks what is no replica: it cannot have us ask anybody else, nor
// read what never ends, nor is it better.
func TestOthersLeadNowhere(t *testing.T) {
	var led atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		led.Add(1)
		w.Header().Set(debug.FreshHeader, "Pod")
		_, _ = io.WriteString(w, "ok\n")
	}))
	t.Cleanup(elsewhere.Close)
	ours := []informers.View{{Kind: "Pod", Confirmed: time.Now().Add(-time.Hour)}}
	for name, x := range map[string]struct {
		answer http.HandlerFunc
		want   look
	}{
		"a redirect":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, look{}},
		"ok, and no kinds": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }, look{}},
		"something else": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(debug.FreshHeader, "Pod")
			_, _ = io.WriteString(w, "<html>")
		}, look{}},
		"headers of 100 KB": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(debug.FreshHeader, "Pod,"+strings.Repeat("x", 100<<10))
			_, _ = io.WriteString(w, "ok\n")
		}, look{}},
		"a replica": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(debug.FreshHeader, "Pod")
			_, _ = io.WriteString(w, "ok\n")
		}, look{good: true, ahead: true, better: true}},
	} {
		server := httptest.NewServer(x.answer)
		t.Cleanup(server.Close)
		addresses := []string{strings.TrimPrefix(server.URL, "http://")}
		if got := newPeers(func() []string { return addresses }).compare(t.Context(), ours); got != x.want {
			t.Errorf("%s: %+v, want %+v", name, got, x.want)
		}
	}
	if led.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// strangers want to be among the replicas: by a ServiceEntry of the same host in another
// namespace, by a WorkloadEntry that the Service selects, and by a Pod of another namespace.
const strangers = `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: shop}
spec: {hosts: [fairway.istio-system.svc.cluster.local], addresses: [169.254.169.253], ports: [{name: http-monitoring, number: 15014, targetPort: 80, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 169.254.169.254}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: istio-system, labels: {app: fairway}}
spec: {address: 169.254.169.252, labels: {app: fairway}, ports: {http-monitoring: 80}}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {app: fairway}}
spec: {nodeName: node-1, containers: [{name: a, image: a, ports: [{name: http-monitoring, containerPort: 80}]}]}
status: {phase: Running, podIP: 10.10.9.9, podIPs: [{ip: 10.10.9.9}], conditions: [{type: Ready, status: "True"}]}
`

// TestReplicasAreFound names the debug ports of a Service: of its Pods but for our own, and its
// own, by which replicas are found that came when the API server was lost.
func TestReplicasAreFound(t *testing.T) {
	directory := t.TempDir()
	text := strings.Replace(replicaPods, "spec: {", "spec: {clusterIP: 10.96.0.7, ", 1)
	for i, ip := range []string{"10.10.4.1", "10.10.4.2"} {
		text += "---\n" + fmt.Sprintf(replicaPod, fmt.Sprint("fairway-", i), "15014", ip, ip)
	}
	text += strangers
	if err := os.WriteFile(filepath.Join(directory, "replicas.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	store := mesh.NewStore(slog.New(slog.DiscardHandler), func(*mesh.World, *mesh.Dirty) {})
	source := informers.NewDirectory(informers.DirConfig{Path: directory, Report: func(string, []object.Finding) {}})
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() { _ = store.Run(ctx) })
	parts.Go(func() { _ = source.Run(ctx, store.Submit, store.Synced) })
	for end := time.Now().Add(soon); store.World() == nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	want := []string{"10.96.0.7:15014", "10.96.0.7:15014", "10.96.0.7:15014", "10.96.0.7:15014", "10.10.4.2:15014"}
	if got := otherReplicas(store.World(), "istio-system", "fairway-0"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLibrariesLogSparingly has a library log without end.
func TestLibrariesLogSparingly(t *testing.T) {
	var said bytes.Buffer
	quietLibraries(slog.New(slog.NewTextHandler(&said, nil)))
	for range 1000 {
		klog.Warning("a watch has ended")
	}
	klog.Flush()
	n := strings.Count(said.String(), "\n")
	if n == 0 || n > librariesAtOnce {
		t.Errorf("%d lines", n)
	}
	if !strings.Contains(said.String(), "msg=\"a watch has ended\" library=kubernetes") {
		t.Errorf("not as all that is logged:\n%s", said.String())
	}
}
