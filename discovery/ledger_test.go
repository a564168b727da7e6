package discovery

import (
	"fmt"
	"testing"
)

// TestLedger opens more streams than a pod may have, and holds more bytes.
func TestLedger(t *testing.T) {
	l := newLedger()
	var opened []*account
	for range 2 * maxPodStreams {
		if a := l.open(podKey{"ns", "p"}); a != nil {
			opened = append(opened, a)
		}
	}
	if len(opened) != maxPodStreams || l.open(podKey{"ns", "q"}) == nil {
		t.Errorf("%d streams of one pod", len(opened))
	}
	if !l.hold(opened[0], maxPodHeld) || l.hold(opened[0], 1) {
		t.Error("a pod may not hold what it may, or more")
	}
	for i := range 100 {
		_ = l.hold(&account{key: podKey{"other", fmt.Sprint(i)}}, maxPodHeld)
	}
	if l.held > maxHeld {
		t.Errorf("%d bytes are held in all", l.held)
	}
	if !l.crowded("ns", 4) || l.crowded("other", 4) {
		t.Error("which namespace is crowded")
	}
	for _, a := range opened {
		l.close(a)
	}
	if len(l.accounts) != 1 || l.namespaces["ns"] != 1 {
		t.Errorf("%d accounts are left", len(l.accounts))
	}
}
