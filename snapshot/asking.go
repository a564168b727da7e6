package snapshot

import (
	"time"

	"github.com/fairway-mesh/fairway/mesh"
)

// A sidecar that holds only what its workload uses depends on that each of its listeners
// asks for what is missing. They begin to ask when the first namespace of the mesh learns,
// and Envoy goes on with the connections of the listeners before until these have drained:
// requests on them would get 404. So a sidecar that was there before goes on to hold all
// hosts for that time. It is told when the time is over, by a value of its runtime layer
// (see life), and says so when it comes back, to this control plane or to another one.

// asking is how far a sidecar is.
type asking uint8

const (
	asksNotYet asking = iota // connections of listeners that do not ask may be left
	asksTold                 // there are none any more; it is being told
	asksAll                  // it may hold what its workload uses
)

// taking is how long, at most, an Envoy takes to have listeners in force that it was sent.
// tellTime is how long one has for the value of its runtime layer.
const (
	taking   = 20 * time.Second
	tellTime = 5 * time.Second
)

// remembers tells whether a sidecar says, when it comes back, what it was told: its bootstrap
// has the layer and asks for it first, as those of Fairway do. Another holds all hosts when it
// has lost its stream, until it is new again.
func (c *Client) remembers() bool { return c.First == Runtime }

// askingOf is how far a proxy is that comes in. The caller holds e.mu.
func (e *Engine) askingOf(c *Client) asking {
	if e.asks && c.Role == RoleSidecar && (!c.Returns || e.life.marks(c.Runtime)) {
		return asksAll
	}
	return asksNotYet
}

// beginAsking takes note that the listeners which are published now ask for hosts, or have
// ceased to. The caller holds e.mu.
func (e *Engine) beginAsking(now time.Time) {
	asks := e.world.Config.Learns("")
	if asks == e.asks {
		return
	}
	e.asks = asks
	for a := range e.proxies {
		a.asking, a.since = asksNotYet, now
	}
}

// goOnAsking takes sidecars one step further whose time has come, not many at once since
// they connect anew.
func (e *Engine) goOnAsking(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.asks {
		return
	}
	drained := e.world.Config.ListenerDrain + taking
	left := max(50, len(e.proxies)/20)
	for a := range e.proxies {
		if left == 0 {
			return
		}
		switch waited := now.Sub(a.since); {
		case a.proxy.Role != mesh.RoleSidecar || !a.client.remembers():
		case a.asking == asksNotYet && waited >= drained:
			a.asking, a.since = asksTold, now
			a.view.Publish(e.stack(a))
			left--
		case a.asking == asksTold && waited >= tellTime:
			a.asking = asksAll
			e.relearn(a)
			left--
		}
	}
}
