package envoycost

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// copies is of how many equal things the growth is measured.
const copies = 100

// TestHeap measures what one more of each kind of resource takes of Envoy's
// heap, by the growth over many.
func TestHeap(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for a minute")
	}
	localtest.Need(t)
	t.Logf("%-42s %8s", "heap of one more …", "kB")
	base := newMesh(t).startEnvoy(t, "client").heap(t)
	grown := func(what string, parts int, o ...object) float64 {
		e := newMesh(t, o...).startEnvoy(t, "client")
		kB := float64(e.heap(t)-base) / float64(parts) / 1000
		e.end()
		t.Logf("%-42s %8.1f", what, kB)
		return kB
	}
	host := grown("virtual host with one route", copies, hosts(copies))
	grown("route with a match", copies, rules(copies))
	empty := grown("EDS cluster, no endpoints", 2*copies, subsets(copies, object{"app": "nobody"}))
	full := grown("HTTP service of 5 pods", copies, services(copies, 5)...) - host
	t.Logf("%-42s %8.1f", "of it the EDS cluster, 5 endpoints", full)
	if full > maxFull*empty {
		t.Errorf("a cluster of five endpoints takes %.1f times what one without takes; the bound is %.1f", full/empty, float64(maxFull))
	}
}

// TestHeapOfListeners does so for listeners, beside the same without what only
// metrics need.
func TestHeapOfListeners(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for a minute")
	}
	localtest.Need(t)
	m := newMesh(t)
	e := m.startEnvoy(t, "client")
	base, sent := e.heap(t), e.listeners(t)
	e.end()
	t.Logf("%-42s %8s %8s %8s", "heap of one more …", "kB", "without", "ratio")
	for _, l := range []struct {
		what, name string
		bound      float64
	}{
		{"TCP listener", serviceAddress + "_9000", maxTCP},
		{"HTTP port's listener", "0.0.0.0_80", maxHTTP},
		{"inbound listener", "virtualInbound", maxInbound},
		{"outbound listener without a service", "virtualOutbound", maxOutbound},
	} {
		if sent[l.name] == nil {
			t.Fatalf("no listener %s", l.name)
		}
		var kB [2]float64
		for i, lean := range []bool{false, true} {
			e := m.startEnvoy(t, "client", copiesOf(t, sent[l.name], lean)...)
			kB[i] = float64(e.heap(t)-base) / copies / 1000
			e.end()
		}
		t.Logf("%-42s %8.1f %8.1f %8.1f", l.what, kB[0], kB[1], kB[0]/kB[1])
		if kB[0] > l.bound*kB[1] {
			t.Errorf("%s: metrics make it %.1f times as large; the bound is %.1f", l.what, kB[0]/kB[1], l.bound)
		}
	}
}

// copiesOf are copies of a listener under other names and at other addresses,
// where nothing is bound; lean: without what only metrics need.
func copiesOf(t *testing.T, l map[string]any, lean bool) []any {
	t.Helper()
	var out []any
	for i := range copies {
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		var c map[string]any
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		c["name"] = fmt.Sprintf("copy-%d", i)
		c["bind_to_port"] = false
		delete(c, "additional_addresses")
		delete(c, "@type")
		c["address"] = map[string]any{"socket_address": map[string]any{"address": fmt.Sprintf("10.97.0.%d", i+1), "port_value": 1}}
		if lean {
			withoutMetrics(c)
		}
		out = append(out, c)
	}
	return out
}

// withoutMetrics takes out the loggers and the filters that find out labels.
func withoutMetrics(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "access_log")
		for _, key := range []string{"filters", "http_filters"} {
			if filters, ok := v[key].([]any); ok {
				v[key] = slices.DeleteFunc(filters, func(f any) bool {
					name, _ := f.(map[string]any)["name"].(string)
					return name == telemetry.CallerName || name == "envoy.filters.network.set_filter_state" || name == "envoy.filters.http.set_filter_state"
				})
			}
		}
		for _, sub := range v {
			withoutMetrics(sub)
		}
	case []any:
		for _, sub := range v {
			withoutMetrics(sub)
		}
	}
}
