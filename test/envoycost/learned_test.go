package envoycost

import (
	"testing"

	"github.com/fairway-mesh/fairway/internal/local/localtest"
)

// mostLearned is how much more heap a sidecar with a learned scope may have in a mesh of many
// services that its workload does not use.
const mostLearned = 1.2

// TestHeapOfLearnedScope measures what services cost a sidecar that does not use them, with
// everything and with a learned scope.
func TestHeapOfLearnedScope(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for half a minute")
	}
	localtest.Need(t)
	const n = 200
	heap := func(setting string, more ...object) float64 {
		m := newMesh(t, append(more, object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"namespace": "istio-system", "name": "istio"}, "data": object{"mesh": setting}})...)
		m.answer(t)
		server, e := m.startEnvoy(t, "server"), m.startEnvoy(t, "client")
		defer server.end()
		defer e.end()
		m.requests(t, 10)
		return float64(e.heap(t)) / 1000
	}
	const learned = "fairway: {learnedScope: '*'}"
	few, many, whole := heap(learned), heap(learned, services(n, 5)...), heap("{}", services(n, 5)...)
	t.Logf("%-42s %8s", "heap of a sidecar …", "kB")
	t.Logf("%-42s %8.0f", "learned scope, no other services", few)
	t.Logf("%-42s %8.0f", "learned scope, 200 services not used", many)
	t.Logf("%-42s %8.0f", "everything, 200 services not used", whole)
	if many > mostLearned*few {
		t.Errorf("services that are not used take a sidecar with a learned scope from %.0f to %.0f kB of heap; the bound is %.1f times", few, many, mostLearned)
	}
	if whole < mostLearned*few {
		t.Errorf("a sidecar that holds everything has %.0f kB of heap: nothing was compared", whole)
	}
}
