package discovery

import "testing"

// TestPhasesLeadToIdle: whatever phase a stream begins in, it comes to rest, and nobody who
// got through a change is gated again.
func TestPhasesLeadToIdle(t *testing.T) {
	for p := range phases {
		seen := map[phase]bool{}
		for at := phase(p); at != phaseIdle; at = phases[at].next { //nolint:gosec // few
			if seen[at] {
				t.Fatalf("%s leads back to itself without rest", at)
			}
			seen[at] = true
			if next := phases[at].next; !at.gates() && next.gates() {
				t.Errorf("%s, which answers routes, leads to %s, which does not", at, next)
			}
			if next := phases[at].next; !at.returning() && next.returning() {
				t.Errorf("%s leads to %s, which is for proxies that come back", at, next)
			}
		}
		if phases[p].done == nil || phases[p].end == nil || phases[p].name == "" {
			t.Errorf("phase %d has no row in the table", p)
		}
	}
	if phases[phaseIdle].next != phaseClusters {
		t.Error("a change does not begin with clusters")
	}
}
