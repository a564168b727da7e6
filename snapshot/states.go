package snapshot

import (
	"iter"
	"runtime"
	"slices"

	"github.com/fairway-mesh/fairway/internal/parallel"
)

const (
	// statesAtOnce is how many hosts are computed before they are taken over; others
	// are let in between.
	statesAtOnce = 64
	// statesApart is how many are worth a goroutine of their own.
	statesApart = 8
)

// states are what the hosts contribute to the layer now, in their order, computed on all
// processors: much of a change is mostly the clusters of many hosts, and everybody waits
// for the end of a pass.
func (l *hostLayer) states(hosts []string) iter.Seq2[string, *hostState] {
	return func(yield func(string, *hostState) bool) {
		for some := range slices.Chunk(hosts, statesAtOnce) {
			if l.breathe != nil && len(hosts) >= statesAtOnce {
				l.breathe()
			}
			for i, next := range l.statesOf(some) {
				if !yield(some[i], next) {
					return
				}
			}
		}
	}
}

func (l *hostLayer) statesOf(hosts []string) []*hostState {
	out := make([]*hostState, len(hosts))
	size := max(statesApart, (len(hosts)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	parallel.Each((len(hosts)+size-1)/size, func(part int) {
		own := *l // one goroutine may use a View
		if part > 0 {
			own.view = l.view.World.View(l.view.Scope)
		}
		for i := part * size; i < min((part+1)*size, len(hosts)); i++ {
			out[i] = own.host(hosts[i])
		}
	})
	return out
}
