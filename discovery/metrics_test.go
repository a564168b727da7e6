package discovery

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestCountersBeginWithNothing: what Prometheus is to see the first increase of is there
// from the start.
func TestCountersBeginWithNothing(t *testing.T) {
	registry := prometheus.NewRegistry()
	newMetrics(registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetCounter().GetValue() != 0 {
				t.Errorf("%s is %v", f.GetName(), m.GetCounter().GetValue())
			}
			series[f.GetName()]++
		}
	}
	for name, want := range map[string]int{
		"fairway_xds_overdue_total":          len(phases) - 1, // an idle proxy owes nothing
		"fairway_xds_questions_total":        2,
		"fairway_xds_connections_lost_total": 2,
	} {
		if series[name] != want {
			t.Errorf("%s has %d series, not %d", name, series[name], want)
		}
	}
}
