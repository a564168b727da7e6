package random_test

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/check"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/random"
)

// served are the findings of a control plane with the objects, while all proxies
// that they imply are connected: by the store and by the streams' own way in.
func served(t testing.TB, objects map[object.Ref]any) map[object.Finding]bool {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	e := snapshot.NewEngine(log, certificates(), nil)
	var world *mesh.World
	passed := make(chan struct{}, 1)
	store := mesh.NewStore(log, func(w *mesh.World, d *mesh.Dirty) {
		e.Update(w, d)
		world = w
		passed <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = store.Run(ctx) }()
	var changes []mesh.Change
	for ref, o := range objects {
		changes = append(changes, mesh.Change{Ref: ref, Object: o})
	}
	store.Submit(changes)
	store.Synced()
	<-passed
	cancel()
	<-done
	for _, p := range world.ImpliedProxies() {
		x := p.Workload
		c := snapshot.Client{Role: snapshot.RoleSidecar, Namespace: x.Namespace, Pod: x.Name, IP: x.Address(), Labels: x.Labels, NodeID: x.Namespace + "/" + x.Name}
		if p.Role == mesh.RoleRouter {
			c.Role = snapshot.RoleRouter
		}
		v, err := e.Attach(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
	}
	out := map[object.Finding]bool{}
	for _, f := range e.Findings() {
		out[f] = true
	}
	return out
}

// sameFindings holds check to say what the control plane would: all that it says, and
// beyond it only what an object says by itself or which of its names lead nowhere.
func sameFindings(t *testing.T, objects map[object.Ref]any) {
	t.Helper()
	want := served(t, objects)
	var given []informers.Object
	for _, ref := range slices.SortedFunc(maps.Keys(objects), func(a, b object.Ref) int { return cmpText(a.String(), b.String()) }) {
		given = append(given, informers.Object{Change: mesh.Change{Ref: ref, Object: objects[ref]}})
	}
	results, others := check.Set(nil, given)
	got := map[object.Finding]bool{}
	for _, f := range others {
		got[f] = true
	}
	var changes []mesh.Change
	for i, r := range results {
		changes = append(changes, given[i].Change)
		for _, f := range append(r.Invalid, r.Warnings...) {
			got[f] = true
		}
	}
	world := mesh.Build(changes)
	beyond := map[object.Finding]bool{}
	for _, o := range given {
		r := check.Object(t.Context(), o.Change, world)
		for _, f := range append(r.Invalid, r.Warnings...) {
			beyond[f] = true
		}
	}
	for f := range want {
		if !got[f] {
			t.Errorf("the control plane says, and check does not: %s", f)
		}
	}
	for f := range got {
		if !want[f] && !beyond[f] {
			t.Errorf("check says, and the control plane does not: %s", f)
		}
	}
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TestCheckSaysWhatIsServed compares `fairway check` with the control plane for the
// objects of every conformance case.
func TestCheckSaysWhatIsServed(t *testing.T) {
	for _, folder := range caseFolders(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) { sameFindings(t, readCase(t, folder).objects) })
	}
}

// TestCheckSaysWhatIsServedOfAny does so for random objects of all kinds.
func TestCheckSaysWhatIsServedOfAny(t *testing.T) {
	kinds := slices.Concat(random.Kinds, random.KubernetesKinds, random.GatewayKinds)
	for seed := range uint64(seeds(30)) {
		source := &random.Source{Choices: random.NewChoices(seed, nil), Words: random.DefaultWords()}
		objects := read(t, calm)
		for range 40 {
			c := source.Change(kinds[source.N(len(kinds))])
			objects[c.Ref] = c.Object
		}
		if sameFindings(t, objects); t.Failed() {
			t.Fatalf("seed %d: %v", seed, names(objects))
		}
	}
}
