package operate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/internal/debug"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)

func changed(after time.Duration, kind, name, version string, e debug.Effect) debug.Happened {
	return debug.Happened{Time: noon.Add(after), Objects: []debug.ChangedObject{{Kind: kind, Namespace: "shop", Name: name, Generation: 4, Version: version, By: "kubectl-edit"}}, Effect: &e}
}

// TestMergeHistory: what replicas did alike is told once, with the proxies of all.
func TestMergeHistory(t *testing.T) {
	vhost := debug.ChangedResource{Change: "changed", Type: "vhds", Name: "8080/web"}
	other := debug.ChangedResource{Change: "added", Type: "cds", Name: "web"}
	found := debug.Finding{Object: "VirtualService shop/web", Field: "spec.http[0]", Code: "reference", Message: "leads nowhere"}
	a := []debug.Happened{
		changed(0, "VirtualService", "web", "7", debug.Effect{Proxies: 2, Workloads: []string{"shop/a"}, Changed: 1, Resources: []debug.ChangedResource{vhost}, Bytes: 10, AcceptedSeconds: 0.5}),
		changed(time.Hour, "VirtualService", "web", "8", debug.Effect{Proxies: 1, Namespaces: []string{"shop", "x"}, Changed: 70, Resources: []debug.ChangedResource{vhost}}),
		{Time: noon.Add(2 * time.Hour), Came: []debug.Finding{found}},
	}
	b := []debug.Happened{
		changed(time.Millisecond, "VirtualService", "web", "7", debug.Effect{Proxies: 1, Workloads: []string{"shop/b"}, Changed: 1, Added: 1, Resources: []debug.ChangedResource{vhost, other}, Bytes: 5, AcceptedSeconds: 0.1, Waiting: 1}),
		changed(time.Hour, "VirtualService", "web", "8", debug.Effect{Proxies: 1, Workloads: []string{"y/b"}, Changed: 60}),
		changed(2*time.Hour, "VirtualService", "web", "9", debug.Effect{}),
		{Time: noon.Add(2*time.Hour + time.Second), Came: []debug.Finding{found}},
	}
	got := mergeHistory([]answer[[]debug.Happened]{{"one", a}, {"two", b}})
	if len(got) != 4 {
		t.Fatalf("%d entries: %+v", len(got), got)
	}
	e := got[0].Effect
	if got[0].Replica != "one, two" || e.Proxies != 3 || e.Bytes != 15 || e.Waiting != 1 || e.AcceptedSeconds != 0.5 || e.Changed != 1 || e.Added != 1 || fmt.Sprint(e.Workloads) != "[shop/a shop/b]" || e.AtLeast {
		t.Errorf("%+v %+v", got[0], e)
	}
	if e := got[1].Effect; fmt.Sprint(e.Namespaces) != "[shop x y]" || e.Workloads != nil || e.Changed != 70 || !e.AtLeast {
		t.Errorf("%+v", e)
	}
	if got[2].Replica != "one, two" || len(got[2].Came) != 1 && got[3].Replica != "one, two" {
		t.Errorf("%+v, %+v", got[2], got[3])
	}
}

// TestRepeatedAlike: what replicas did several times within a minute is told as often as each
// did it, although their clocks differ by more than lies between.
func TestRepeatedAlike(t *testing.T) {
	gone := func(after time.Duration) debug.Happened {
		h := changed(after, "VirtualService", "web", "", debug.Effect{Proxies: 1, Workloads: []string{"shop/a"}})
		h.Objects[0].Deleted, h.Objects[0].Generation, h.Objects[0].By = true, 0, ""
		return h
	}
	for _, c := range []struct {
		what string
		all  []answer[[]debug.Happened]
		want string
	}{
		{"skewed", []answer[[]debug.Happened]{{"r1", []debug.Happened{gone(0), gone(2 * time.Second)}}, {"r2", []debug.Happened{gone(5 * time.Second), gone(7 * time.Second)}}},
			"0s r1, r2; 2s r1, r2; "},
		{"skewed the other way", []answer[[]debug.Happened]{{"r1", []debug.Happened{gone(5 * time.Second), gone(7 * time.Second)}}, {"r2", []debug.Happened{gone(0), gone(2 * time.Second)}}},
			"0s r1, r2; 2s r1, r2; "},
		{"one started between", []answer[[]debug.Happened]{{"r1", []debug.Happened{gone(0), gone(2 * time.Second)}}, {"r2", []debug.Happened{gone(3 * time.Second)}}},
			"0s r1; 2s r1, r2; "},
		{"far apart", []answer[[]debug.Happened]{{"r1", []debug.Happened{gone(0), gone(time.Hour)}}, {"r2", []debug.Happened{gone(time.Second)}}},
			"0s r1, r2; 1h0m0s r1; "},
		{"three", []answer[[]debug.Happened]{{"r1", []debug.Happened{gone(0), gone(2 * time.Second)}}, {"r2", []debug.Happened{gone(5 * time.Second), gone(7 * time.Second)}}, {"r3", []debug.Happened{gone(time.Second), gone(3 * time.Second)}}},
			"0s r1, r2, r3; 2s r1, r2, r3; "},
	} {
		got := ""
		for _, h := range mergeHistory(c.all) {
			got += fmt.Sprintf("%s %s; ", h.Time.Sub(noon), h.Replica)
			if n := strings.Count(h.Replica, "r"); h.Effect.Proxies != n {
				t.Errorf("%s: %d proxies of %d replicas", c.what, h.Effect.Proxies, n)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// TestTogetherWhereNobodyWas: a replica without proxies that something concerned says nothing
// of namespaces, which is not that all are concerned.
func TestTogetherWhereNobodyWas(t *testing.T) {
	many := &debug.Effect{Proxies: 100, Namespaces: []string{"other"}}
	for _, both := range []*debug.Effect{together(&debug.Effect{}, many), together(many, &debug.Effect{})} {
		h := debug.Happened{Effect: both}
		if concernsWorkload(h, "shop/web") || !concernsWorkload(h, "other/web") {
			t.Errorf("%+v", both)
		}
	}
	if h := (debug.Happened{Effect: together(many, &debug.Effect{Proxies: 20_000})}); !concernsWorkload(h, "shop/web") {
		t.Error("one of many namespaces is not told of")
	}
}

// TestHistoryOfMistakes: who names a kind or a workload that there is not hears of it.
func TestHistoryOfMistakes(t *testing.T) {
	past := []debug.Happened{
		changed(0, "VirtualService", "web", "7", debug.Effect{Proxies: 2, Workloads: []string{"shop/web"}}),
		{Time: noon, Came: []debug.Finding{{Object: "EnvoyFilter shop/web", Message: "is not read"}}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/debug/syncz" {
			_ = json.NewEncoder(w).Encode([]debug.Proxy{{ID: "web-1.shop", Workload: "web"}})
			return
		}
		_ = json.NewEncoder(w).Encode(past)
	}))
	defer server.Close()
	for _, c := range []struct{ arg, said, err string }{
		{"virtualservcie/web", "", "did you mean virtualservice?"},
		{"foo/web", "", `"foo" is no kind`},
		{"envoyfilter/web", "EnvoyFilter shop/web", ""},
		{"host/web", "Nothing that is remembered.", ""},
		{"vs/other", "Nothing that is remembered.", ""},
		{"btlspolicies/other", "", "is no kind"},
		{"deploy/web", "VirtualService shop/web", ""},
		{"deploy/wbe", "note: no proxy of workload shop/wbe is connected", ""},
	} {
		out, err := run(t, "history", c.arg, "-n", "shop", "--debug-address", server.URL)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || !strings.Contains(out, c.said) {
			t.Errorf("%s: %v: %s", c.arg, err, out)
		}
		if noted := strings.Contains(out, "note:"); noted != (c.arg == "deploy/wbe") {
			t.Errorf("%s: %s", c.arg, out)
		}
	}
}

// TestProxiesAreCountedOnce: one that moves to another replica is at both for a moment.
func TestProxiesAreCountedOnce(t *testing.T) {
	list := []debug.Proxy{
		{ID: "web-1.shop", Workload: "web", Replica: "one"}, {ID: "web-1.shop", Workload: "web", Replica: "two"},
		{ID: "web-2.shop", Workload: "web", Replica: "one"}, {ID: "web-2.shop", Workload: "web", Replica: "two"},
		{ID: "web-1.other", Workload: "web"}, {ID: "api-1.shop", Workload: "api"},
	}
	if got := proxiesOf(list, "shop/web"); fmt.Sprint(got) != "[web-1.shop web-2.shop]" {
		t.Errorf("%v", got)
	}
}

// TestHistoryConcerns: an object is named as kubectl names it, and a workload is concerned as
// far as that is remembered.
func TestHistoryConcerns(t *testing.T) {
	p := plane{namespace: "shop"}
	web := changed(0, "VirtualService", "web", "7", debug.Effect{Proxies: 2, Workloads: []string{"shop/a"}})
	gate := changed(0, "gateway.networking.k8s.io/Gateway", "web", "7", debug.Effect{Proxies: 200, Namespaces: []string{"shop"}})
	all := changed(0, "Gateway", "web", "7", debug.Effect{Proxies: 20000})
	none := changed(0, "DestinationRule", "other", "7", debug.Effect{})
	found := debug.Happened{Came: []debug.Finding{{Object: "DestinationRule shop/web"}}}
	for arg, want := range map[string][]bool{
		"vs/web":                                {true, false, false, false, false},
		"VirtualServices/web":                   {true, false, false, false, false},
		"gateway/web":                           {false, true, true, false, false},
		"gtw/web":                               {false, true, false, false, false},
		"gw.networking.istio.io/web":            {false, false, true, false, false},
		"gateways.networking.istio.io/web":      {false, false, true, false, false},
		"gateway.gateway.networking.k8s.io/web": {false, true, false, false, false},
		"destinationrule/web":                   {false, false, false, false, true},
		"deploy/a":                              {true, true, true, false, false},
		"deployment.apps/b":                     {false, true, true, false, false},
	} {
		about, err := p.subjectOf(t.Context(), arg)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range []debug.Happened{web, gate, all, none, found} {
			if about.concerns(h) != want[i] {
				t.Errorf("%s: %d: %v", arg, i, !want[i])
			}
		}
	}
	if _, err := p.subjectOf(t.Context(), "web"); err == nil {
		t.Error("a name without a kind")
	}
	for i, h := range []debug.Happened{web, gate, all, found} {
		if !concernsNamespace(h, "shop") || i != 2 && concernsNamespace(h, "elsewhere") {
			t.Errorf("%d: %+v", i, h)
		}
	}
}

// TestHistoryShown: the table and the whole text.
func TestHistoryShown(t *testing.T) {
	web := changed(0, "VirtualService", "web", "7", debug.Effect{Proxies: 2, Workloads: []string{"shop/a"}, Changed: 1, Bytes: 1500, AcceptedSeconds: 0.0341, Resources: []debug.ChangedResource{{Change: "changed", Type: "vhds", Name: "8080/web"}}})
	late := changed(time.Second, "VirtualService", "web", "8", debug.Effect{Proxies: 5, Waiting: 1, Late: 1, Left: 2})
	late.Objects[0].Deleted, late.MoreObjects = true, 3
	found := debug.Happened{Time: noon, Went: []debug.Finding{{Object: "VirtualService shop/web", Message: "leads nowhere"}}}
	var b strings.Builder
	if err := table(&b, historyRows([]debug.Happened{web, late, found}, false)); err != nil {
		t.Fatal(err)
	}
	want := `TIME                CHANGED                                       BY            RESOURCES  PROXIES  BYTES   ACCEPTED
03-01 12:00:00.000  VirtualService shop/web (generation 4)        kubectl-edit  1 changed  2        1.5 kB  in 34ms
03-01 12:00:01.000  VirtualService shop/web (deleted) and 3 more  kubectl-edit  none       5        0 B     not yet by 1 proxy, 1 proxy too late to be told, 2 proxies left before
03-01 12:00:00.000  VirtualService shop/web                       -             -          -        -       finding went: leads nowhere
`
	if b.String() != want {
		t.Errorf("\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	printHappened(&b, web)
	want = `2026-03-01 12:00:00.000
  VirtualService shop/web (generation 4), written by kubectl-edit
  2 proxies of shop/a, about 1.5 kB; accepted: in 34ms
    changed  virtual host 8080/web
`
	if b.String() != want {
		t.Errorf("\n%s\nwant\n%s", b.String(), want)
	}
}

func TestSinceQuery(t *testing.T) {
	for since, want := range map[string]string{
		"": "", "10m": "?since=10m", "11:30": "?since=" + strings.NewReplacer(":", "%3A", "+", "%2B").Replace(noon.Add(-30*time.Minute).Format(time.RFC3339)),
		"12:30": "?since=" + strings.NewReplacer(":", "%3A", "+", "%2B").Replace(noon.Add(-24*time.Hour+30*time.Minute).Format(time.RFC3339)), "2026-03-01T10:00:00Z": "?since=2026-03-01T10%3A00%3A00Z",
	} {
		if got, err := sinceQuery(since, noon); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", since, got, err, want)
		}
	}
	for _, since := range []string{"yesterday", "-5m", "25:00"} {
		if got, err := sinceQuery(since, noon); err == nil {
			t.Errorf("%q: %q", since, got)
		}
	}
}
