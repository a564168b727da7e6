package informers

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/faults"
)

// ill is a source that reads through a link that can be spoilt.
type ill struct {
	*testing.T
	api    *api
	link   *faults.Proxy
	seen   *recorder
	source *Kubernetes
	said   lines
	space  string
}

func newIll(t *testing.T, space string) *ill {
	t.Helper()
	s := apiServer(t)
	p, err := faults.Start(s.REST)
	must(t, err)
	t.Cleanup(p.Close)
	i := &ill{T: t, api: newAPI(t, s.REST), link: p, space: space}
	i.api.namespace(space)
	i.apply("before")
	i.seen, i.source = followKube(t, KubeConfig{REST: p.REST(), Log: slog.New(slog.NewTextHandler(&i.said, nil))})
	i.seen.awaitSync()
	return i
}

func (i *ill) ref(name string) object.Ref {
	return object.Ref{Kind: object.KindService, Namespace: i.space, Name: name}
}

func (i *ill) apply(name string) {
	i.Helper()
	i.api.apply(i.ref(name), "v1", examples[object.KindService].body)
}

// await waits for what a fault leads to, which takes longer than what a good
// link does.
func (i *ill) await(what string, is func() bool) {
	i.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			i.Fatalf("not within two minutes: %s\nviews: %+v\nlog:\n%s", what, i.source.Views(), i.said.String())
		}
	}
}

func (i *ill) knows(name string) func() bool {
	return func() bool { return i.seen.has(i.ref(name)) != nil }
}

func (i *ill) view(kind string) View {
	for _, v := range i.source.Views() {
		if v.Kind == kind {
			return v
		}
	}
	i.Fatalf("no view of %s", kind)
	return View{}
}

func (i *ill) stale(kind string) func() bool { return func() bool { return i.view(kind).Stale } }

func (i *ill) fresh() bool {
	for _, v := range i.source.Views() {
		if v.Stale {
			return false
		}
	}
	return true
}

// TestStaleLink hangs and breaks the link in every way. Each time it is seen that
// the view is old, what was read stays, and what changed meanwhile is read when
// the link is back.
func TestStaleLink(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ state, back faults.State }{
		"hangs": {faults.Hangs, faults.Passes}, "cut": {faults.Cut, faults.Passes}, "hangs and is reset": {faults.Hangs, faults.Resets},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIll(t, "link-"+strings.ReplaceAll(name, " ", "-"))
			i.link.Link(c.state)
			i.apply("meanwhile")
			i.await("a stale view of Services", i.stale("Service"))
			if !i.knows("before")() {
				t.Error("what was read is gone")
			}
			if i.view("Service").Problem == "" {
				t.Error("nothing says why")
			}
			i.link.Link(c.back)
			i.await("what changed meanwhile", i.knows("meanwhile"))
			i.await("fresh views", i.fresh)
			if n := strings.Count(i.said.String(), "\n"); n > 80 {
				t.Errorf("%d lines:\n%s", n, i.said.String())
			}
		})
	}
}

// TestStaleAnswers has the API server refuse in every way, of all kinds or of one.
func TestStaleAnswers(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faults.Fault{
		"429": {Status: 429, RetryAfter: 3600}, "403": {Status: 403}, "401": {Status: 401}, "404": {Status: 404}, "410": {Status: 410}, "500": {Status: 500}, "hang": {Hang: true},
		"one": {Resource: "services", Status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIll(t, "answers-"+name)
			i.link.Set(f, faults.Fault{Verb: faults.Watch, EndAfter: time.Second})
			i.apply("meanwhile")
			i.await("a stale view of Services", i.stale("Service"))
			if f.Resource != "" && i.view("Pod").Stale {
				t.Error("another kind is stale as well")
			}
			if !i.knows("before")() {
				t.Error("what was read is gone")
			}
			i.link.Set()
			i.await("what changed meanwhile", i.knows("meanwhile"))
			i.await("fresh views", i.fresh)
		})
	}
}

// TestWatchesThatLie has watches that are open, or seem to be, and do not tell.
// What changes is found all the same, and the view stays fresh.
func TestWatchesThatLie(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faults.Fault{
		"lose events": {Verb: faults.Watch, LoseEvents: true}, "lose everything": {Verb: faults.Watch, LoseEvents: true, LoseBookmarks: true}, "hang": {Verb: faults.Watch, Hang: true},
		"end at once": {Verb: faults.Watch, EndAfter: time.Millisecond}, "are refused": {Verb: faults.Watch, Status: 429}, "expire": {Verb: faults.Watch, Expired: true},
		"break": {Verb: faults.Watch, CutAfter: 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIll(t, "lie-"+strings.ReplaceAll(name, " ", "-"))
			i.link.Set(f)
			i.apply("new")
			i.api.remove(i.ref("before"), "v1")
			i.await("what is new", i.knows("new"))
			i.await("what is gone", func() bool { return !i.knows("before")() })
			i.await("fresh views", i.fresh)
			if n := strings.Count(i.said.String(), "\n"); n > 80 {
				t.Errorf("%d lines:\n%s", n, i.said.String())
			}
		})
	}
}

// TestListsThatLackHalf reads a list anew of which half is missing.
func TestListsThatLackHalf(t *testing.T) {
	t.Parallel()
	i := newIll(t, "half")
	const n = 20
	for x := range n {
		i.apply(fmt.Sprintf("h%d", x))
	}
	all := func() bool {
		for x := range n {
			if !i.knows(fmt.Sprintf("h%d", x))() {
				return false
			}
		}
		return true
	}
	i.await("all", all)
	i.link.Set(faults.Fault{Half: true, Resource: "services"})
	before := i.link.Requests(faults.Any, "services")
	i.link.Link(faults.Resets)
	for range 3 {
		again := i.link.Requests(faults.Any, "services")
		i.await("more questions", func() bool { return i.link.Requests(faults.Any, "services") > again+4 })
		if !all() {
			t.Fatal("half a list was believed")
		}
	}
	if i.link.Requests(faults.Any, "services") == before {
		t.Fatal("nothing was asked")
	}
	i.link.Set()
	i.api.remove(i.ref("h0"), "v1")
	i.await("what is really gone", func() bool { return !i.knows("h0")() })
	i.await("fresh views", i.fresh)
}

func TestBudgetOfRemarks(t *testing.T) {
	b := budget{burst: 3, every: time.Minute}
	now := time.Now()
	told := 0
	for range 10 {
		if ok, _ := b.take(now); ok {
			told++
		}
	}
	if told != 3 {
		t.Errorf("%d remarks at once", told)
	}
	if ok, untold := b.take(now.Add(time.Minute)); !ok || untold != 7 {
		t.Errorf("a minute later: %v, %d", ok, untold)
	}
	if ok, _ := b.take(now.Add(time.Minute)); ok {
		t.Error("a second one")
	}
}

// TestPageComparison compares what was read with pages of what is there.
func TestPageComparison(t *testing.T) {
	s := newStore(kindOf[kinds()[0].groupKind()], newOutbox(), func(string, []object.Finding) {})
	ref := func(ns, name string) object.Ref {
		return object.Ref{Kind: object.KindService, Namespace: ns, Name: name}
	}
	for name, version := range map[string]uint64{"a": 5, "b": 6, "d": 9} {
		r := ref("x", name)
		s.prints[r], s.versions[digestOf(r)] = 1, version
	}
	for what, c := range map[string]struct {
		p    page
		want []string
	}{
		"all as it is":           {page{version: 9, objects: map[object.Ref]uint64{ref("x", "a"): 5, ref("x", "b"): 6, ref("x", "d"): 9}}, nil},
		"ours are newer":         {page{version: 6, objects: map[object.Ref]uint64{ref("x", "a"): 4, ref("x", "b"): 6}}, nil},
		"one has changed":        {page{version: 12, objects: map[object.Ref]uint64{ref("x", "a"): 5, ref("x", "b"): 12, ref("x", "d"): 9}}, []string{"b"}},
		"one is new":             {page{version: 12, objects: map[object.Ref]uint64{ref("x", "a"): 5, ref("x", "b"): 6, ref("x", "c"): 12, ref("x", "d"): 9}}, []string{"c"}},
		"one is gone":            {page{version: 12, objects: map[object.Ref]uint64{ref("x", "a"): 5, ref("x", "d"): 9}}, []string{"b"}},
		"a page that ends early": {page{version: 12, objects: map[object.Ref]uint64{ref("x", "a"): 5}, to: "x/a"}, nil},
		"a page in the middle":   {page{version: 12, objects: map[object.Ref]uint64{}, from: "x/a", to: "x/c"}, []string{"b"}},
	} {
		var got []string
		for _, d := range s.differs(&c.p) {
			got = append(got, d.ref.Name)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
