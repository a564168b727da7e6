package discovery

import (
	"slices"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// TestLacking: who has not accepted an object is named from the moment at which it is
// published, before the stream wakes, and when something of the object goes.
func TestLacking(t *testing.T) {
	h := meshOf(t, 2)
	view := snapshot.NewView(h, nil)
	st := &stream{session: settled(t, h), view: view, client: &snapshot.Client{Pod: "app", Namespace: "default"}}
	s := New(Config{})
	s.streams[st] = struct{}{}
	ref, other := serviceRef("svc-0001"), serviceRef("svc-0000")
	expect := func(what string, want ...object.Ref) {
		t.Helper()
		got := s.Lacking([]object.Ref{ref, other, {}, ref}, 5)
		for _, r := range []object.Ref{ref, other, {}} {
			l := got[r]
			if lacks := slices.Contains(want, r); lacks != (l.Proxies == 1) || lacks && !slices.Equal(l.Names, []string{"app.default"}) {
				t.Errorf("%s: of %v lacking %+v", what, r, l)
			}
		}
	}
	expect("settled")
	next := with(h, []*snapshot.Resource{edsCluster(t, "svc-0001", "changed")})
	view.Publish(next)
	expect("published, and the stream sleeps", ref, object.Ref{})
	now := time.Now()
	st.session.publish(next, now)
	st.session.step(now)
	expect("on its way", ref, object.Ref{})

	// A proxy that is just connecting lacks all.
	fresh := newScript(t, h, false)
	s.streams[&stream{session: fresh.s, view: snapshot.NewView(h, nil), client: &snapshot.Client{Pod: "new", Namespace: "default"}}] = struct{}{}
	if l := s.Lacking([]object.Ref{other}, 5)[other]; l.Proxies != 1 || l.Names[0] != "new.default" {
		t.Errorf("connecting: %+v", l)
	}
	// Nobody is told more names than asked for.
	if l := s.Lacking([]object.Ref{ref}, 1)[ref]; l.Proxies != 2 || len(l.Names) != 1 {
		t.Errorf("%+v", l)
	}

	// What an object no longer says is lacking until it is gone.
	gone := snapshot.NewView(h, nil)
	s = New(Config{})
	s.streams[&stream{session: settled(t, h), view: gone, client: &snapshot.Client{Pod: "app", Namespace: "default"}}] = struct{}{}
	gone.Publish(meshOf(t, 1))
	expect("something goes", ref, object.Ref{})
}
