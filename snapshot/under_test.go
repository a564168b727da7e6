package snapshot

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestSumOfOverlays changes a base and an overlay at random: the sum that the
// overlay brings along is that of the resources that the stack shows.
func TestSumOfOverlays(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var base, overlay *Revision
	kept := 0
	change := func(rev *Revision) *Revision {
		for range r.IntN(4) {
			name := fmt.Sprintf("80/h%02d", r.IntN(30))
			switch r.IntN(4) {
			case 0:
				rev = rev.With(nil, Key{VirtualHost, name})
			default:
				rev = rev.With([]*Resource{host(t, name, r.IntN(3))})
			}
		}
		return rev
	}
	for step := range 2000 {
		base = change(base)
		before := overlay
		overlay = change(overlay)
		if r.IntN(3) == 0 {
			overlay = overlay.With([]*Resource{hide(VirtualHost, fmt.Sprintf("80/h%02d", r.IntN(30)))})
		}
		bare := Stack{LayerOutbound: overlay, LayerBase: base}
		overlay = overlay.over(base, before)
		stack := Stack{LayerOutbound: overlay, LayerBase: base}
		if overlay != nil && overlay.under != nil && overlay.under.base == base {
			kept++
		}
		var want uint64
		for shown := range stack.All(VirtualHost) {
			want += shown.hash()
		}
		if got := stack.Sum(VirtualHost); got != want {
			t.Fatalf("step %d: the sum is %x, that of what is shown %x", step, got, want)
		}
		if got := bare.Sum(VirtualHost); got != want {
			t.Fatalf("step %d: without what the overlay brings along the sum is %x, that of what is shown %x", step, got, want)
		}
	}
	if kept < 1900 {
		t.Errorf("the overlay brought its sum along in %d of 2000 steps", kept)
	}
}
