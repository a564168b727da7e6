package operate

import (
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestStateOfAwaited: an object is there when every replica has it and nobody lacks it.
func TestStateOfAwaited(t *testing.T) {
	route := awaited{object.Ref{Kind: object.KindVirtualService, Namespace: "shop", Name: "web"}, 3, "u"}
	sidecar := awaited{object.Ref{Kind: object.KindSidecar, Namespace: "shop", Name: "web"}, 3, "u"}
	many := make([]string, 12)
	for i := range many {
		many[i] = "p"
	}
	for name, c := range map[string]struct {
		of   awaited
		a, b debug.Progress
		want bool
		text string
	}{
		"all":              {route, debug.Progress{Generation: 3, Proxies: 2}, debug.Progress{Generation: 4, Proxies: 1}, true, "by all that it concerns, 3 proxies at 2 replicas"},
		"old at one":       {route, debug.Progress{Generation: 3, Proxies: 2}, debug.Progress{Generation: 2, Proxies: 1}, false, "not yet in force at b"},
		"not read at one":  {route, debug.Progress{Generation: 3, Proxies: 2}, debug.Progress{}, false, "not yet in force at b"},
		"made again":       {route, debug.Progress{Generation: 3, UID: "u", Proxies: 2}, debug.Progress{Generation: 9, UID: "before", Proxies: 1}, false, "not yet in force at b"},
		"one lacks it":     {route, debug.Progress{Generation: 3, Proxies: 2, Lacking: 1, Missing: []string{"x.shop"}}, debug.Progress{Generation: 3}, false, "by 1 proxy: x.shop at a"},
		"many lack it":     {route, debug.Progress{Generation: 3, Proxies: 20, Lacking: 20, Missing: many}, debug.Progress{Generation: 3}, false, "and 10 more"},
		"nobody":           {route, debug.Progress{Generation: 3}, debug.Progress{Generation: 3}, true, "concerns no proxy"},
		"shapes others":    {sidecar, debug.Progress{Generation: 3}, debug.Progress{Generation: 3}, true, "no proxy lacks anything"},
		"invalid":          {route, debug.Progress{Generation: 3, Findings: []debug.Finding{{Code: string(object.CodeInvalid), Message: "nonsense"}}}, debug.Progress{Generation: 3}, false, "nonsense"},
		"refused":          {route, debug.Progress{Generation: 3, Findings: []debug.Finding{{Code: string(object.CodeRejected), Message: "no"}}}, debug.Progress{Generation: 3}, false, "no"},
		"something unused": {route, debug.Progress{Generation: 3, Findings: []debug.Finding{{Code: string(object.CodeUnreferenced), Message: "x"}}}, debug.Progress{Generation: 3}, true, ""},
	} {
		got := stateOf(c.of, 0, map[string][]debug.Progress{"a": {c.a}, "b": {c.b}})
		if got.there != c.want || !strings.Contains(got.text, c.text) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestKindsThatAreAwaited(t *testing.T) {
	for _, c := range []struct {
		group, kind string
		want        object.Kind
	}{
		{"networking.istio.io", "Gateway", object.KindGateway},
		{"gateway.networking.k8s.io", "Gateway", object.KindKubeGateway},
		{"networking.k8s.io", "Ingress", object.KindIngress},
		{"networking.k8s.io", "NetworkPolicy", ""},
		{"apps", "Deployment", ""},
		{"", "Service", ""},
		{"example.com", "VirtualService", ""},
	} {
		kind, ok := kindOfRule(schema.GroupVersionKind{Group: c.group, Version: "v1", Kind: c.kind})
		if ok != (c.want != "") || ok && kind != c.want {
			t.Errorf("%s %s: %v %v", c.group, c.kind, kind, ok)
		}
	}
}

// TestQueries: many objects are asked about in questions that servers take, each once and in
// their order.
func TestQueries(t *testing.T) {
	var of []awaited
	want := ""
	for i := range debug.MaxAwaited {
		a := awaited{ref: object.Ref{Kind: object.KindVirtualService, Namespace: strings.Repeat("n", 63), Name: strings.Repeat("x", 250) + strconv.Itoa(i)}}
		of = append(of, a)
		want += "object=" + debug.RefText(a.ref) + "\n"
	}
	got := ""
	for _, q := range queries(of) {
		if len(q) > maxQuery {
			t.Errorf("a question of %d bytes", len(q))
		}
		got += strings.ReplaceAll(strings.TrimPrefix(q, "/debug/progressz?"), "&", "\n") + "\n"
	}
	if got != want {
		t.Errorf("asked\n%s\nwant\n%s", got, want)
	}
}
