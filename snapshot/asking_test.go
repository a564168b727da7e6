package snapshot

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestSidecarsNarrowWhenTheirListenersAsk: a sidecar that was there before the first namespace
// learned holds all hosts until the connections of its listeners have drained, is told then,
// and learns when it comes back; a new one and one that was told learn at once, and nobody
// does when the listeners do not ask.
func TestSidecarsNarrowWhenTheirListenersAsk(t *testing.T) {
	out := make(chan *mesh.World, 1)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	store := mesh.NewStore(log, func(w *mesh.World, _ *mesh.Dirty) { out <- w })
	go func() { _ = store.Run(t.Context()) }()
	e := NewEngine(log, nil, nil)
	configure := func(text string) {
		t.Helper()
		store.Submit([]mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte(text)}})
		store.Synced()
		e.Update(<-out, &mesh.Dirty{All: true})
	}
	enter := func(of Client) *View {
		t.Helper()
		of.Role, of.Namespace, of.Pod, of.IP = RoleSidecar, "shop", "web-1", "10.0.1.1"
		of.First, of.UserAgent, of.Version, of.VHDS, of.Delta = Runtime, "envoy", Version{Major: learningMajor, Minor: learningMinor}, true, true
		v, err := e.Attach(t.Context(), &of)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	runtime := func(v *View) string { return v.Current().Get(Runtime, RuntimeName).Version }
	quiet, learning := "{}", "fairway: {learnedScope: shop, listenerDrain: 1m}"

	configure(quiet)
	before := enter(Client{})
	unmarked := runtime(before)
	configure(learning)
	began := time.Now()
	if before.Why() != nil || before.Learns() {
		t.Fatal("a sidecar narrows while connections may be left that do not ask")
	}
	if v := enter(Client{}); !v.Learns() || runtime(v) == unmarked {
		t.Error("a new sidecar does not learn, or is not told so")
	}
	if v := enter(Client{Returns: true, Runtime: unmarked}); v.Learns() {
		t.Error("a sidecar that comes back in the meantime learns")
	}
	e.goOnAsking(began.Add(time.Minute))
	if runtime(before) != unmarked {
		t.Error("a sidecar is said to ask before it can have drained")
	}
	drained := began.Add(time.Minute + taking + time.Second)
	e.goOnAsking(drained)
	marked := runtime(before)
	if marked == unmarked || before.Why() != nil {
		t.Fatal("a sidecar that has drained is not told so, or has no time to take it")
	}
	e.goOnAsking(drained.Add(tellTime))
	if before.Why() == nil {
		t.Fatal("a sidecar that has drained, and knows, does not begin to learn")
	}
	if v := enter(Client{Returns: true, Runtime: marked}); !v.Learns() {
		t.Error("a sidecar that has drained does not learn when it comes back")
	}
	configure(quiet)
	if v := enter(Client{Returns: true, Runtime: marked}); v.Learns() || runtime(v) != unmarked {
		t.Error("a sidecar learns, or is said to ask, in a mesh in which nobody does")
	}
}

// TestMarksLast: what sidecars were told by this release is understood by the next one: they
// would hold all hosts for a while after an upgrade otherwise.
func TestMarksLast(t *testing.T) {
	l := newLife()
	for _, version := range []string{"4818896b4660e422", "0c1855af68c50495"} {
		if !l.marks(version) {
			t.Errorf("version %q of the runtime layer is not understood; those of now are %q and %q", version,
				l.serving[true].Get(Runtime, RuntimeName).Version, l.ending[true].Get(Runtime, RuntimeName).Version)
		}
	}
	if l.marks("") {
		t.Error("a sidecar without the layer is said to ask")
	}
}
