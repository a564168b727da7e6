package snapshot

import (
	"iter"
	"runtime"
	"slices"

	"github.com/fairway-mesh/fairway/internal/parallel"
	"github.com/fairway-mesh/fairway/translate"
	"github.com/fairway-mesh/fairway/translate/resource"
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
	return onAll(l, hosts, (*hostLayer).host)
}

// portsOf are what is built of the claims to the listeners now, in their order.
func (l *hostLayer) portsOf(keys []translate.ListenerKey) []*portState {
	if len(keys) == 0 {
		return nil
	}
	report := translate.NewTCPReport(l.reporting, resource.Outbound, l.view.Config)
	return onAll(l, keys, func(own *hostLayer, key translate.ListenerKey) *portState { return own.port(key, report) })
}

// onAll computes something of a layer for each of a list, on all processors.
func onAll[K, V any](l *hostLayer, list []K, compute func(*hostLayer, K) V) []V {
	out := make([]V, len(list))
	size := max(statesApart, (len(list)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	parallel.Each((len(list)+size-1)/size, func(part int) {
		own := *l // one goroutine may use a View
		if part > 0 {
			own.view = l.view.World.View(l.view.Scope)
		}
		for i := part * size; i < min((part+1)*size, len(list)); i++ {
			out[i] = compute(&own, list[i])
		}
	})
	return out
}
