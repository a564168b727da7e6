package attack_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/attack"
)

// highest has everything that is chosen at random be as much as it can.
type highest struct{}

func (highest) Uint64() uint64 { return 1<<64 - 1<<40 }

// BenchmarkWait tells how long an honest change waits that comes right behind what a
// tenant writes or deletes, of each kind as much as it can be and less, until it is in the
// layers of the honest proxies. On a machine that others use too, the time of the
// processors ("cpu-ms-at-most") says more than that of the clock.
func BenchmarkWait(b *testing.B) {
	for _, h := range attack.Tenants {
		b.Run(h.Name, func(b *testing.B) { timeWait(b, h) })
	}
}

func timeWait(b *testing.B, h attack.Hostile) {
	var all [][]mesh.Change
	for i := range uint64(16) {
		var draw rand.Source = highest{} // which the bounds may refuse
		if i > 0 {
			draw = rand.NewPCG(i, 0)
		}
		changes := changesOf(b, h.Of(attack.Tenant{Namespace: "evil-0", Victim: "ns1", Host: host, Port: 8080}, rand.New(draw))) //nolint:gosec // equal seeds attack equally
		gone := make([]mesh.Change, len(changes))
		for i, c := range changes {
			gone[i].Ref = c.Ref
		}
		all = append(all, changes, gone)
	}
	passed := make(chan struct{}, 1)
	e := snapshot.NewEngine(slog.New(slog.DiscardHandler), nil, nil)
	store := mesh.NewStore(slog.New(slog.DiscardHandler), func(w *mesh.World, d *mesh.Dirty) {
		e.Update(w, d)
		if _, honest := d.Hosts["web.ns1.svc.cluster.local"]; honest || d.All {
			passed <- struct{}{}
		}
	})
	go func() { _ = store.Run(b.Context()) }()
	dir := b.TempDir()
	writeMesh(b, dir, "10.32.0.1", "8080", 8080)
	for _, name := range []string{"honest.yaml", "change.yaml"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		store.Submit(changesOf(b, string(text)))
	}
	store.Synced()
	<-passed
	for i := range sidecars {
		name, namespace, ip := podName(i)
		attach(b, e, &snapshot.Client{NodeID: name, Role: snapshot.RoleSidecar, Namespace: namespace, Pod: name, IP: ip})
	}
	attach(b, e, &snapshot.Client{NodeID: "evil", Role: snapshot.RoleSidecar, Namespace: "evil-0", Pod: "evil", IP: "10.33.0.1", Labels: map[string]string{"app": "a0"}})
	attach(b, e, &snapshot.Client{NodeID: "ingress", Role: snapshot.RoleRouter, Namespace: "istio-system", Pod: "ingress", IP: "10.31.0.1"})
	n, longest, dearest := 0, time.Duration(0), time.Duration(0)
	for b.Loop() {
		for _, c := range all {
			store.Submit(c)
			n++
			began, before := time.Now(), processorTime(b)
			store.Submit(changesOf(b, webRule(1, fmt.Sprint("mark-", n))))
			<-passed
			longest, dearest = max(longest, time.Since(began)), max(dearest, processorTime(b)-before)
		}
	}
	b.ReportMetric(float64(longest.Milliseconds()), "ms-at-most")
	b.ReportMetric(float64(dearest.Milliseconds()), "cpu-ms-at-most")
}

// processorTime is what the process has used of its processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func attach(b *testing.B, e *snapshot.Engine, c *snapshot.Client) {
	b.Helper()
	if _, err := e.Attach(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

// changesOf reads objects.
func changesOf(b *testing.B, text string) (out []mesh.Change) {
	b.Helper()
	objects, _, err := informers.Parse([]byte(text))
	if err != nil {
		return nil // it is no YAML, as may be meant
	}
	for _, o := range objects {
		out = append(out, o.Change)
	}
	return out
}
