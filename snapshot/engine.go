package snapshot

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// Engine computes the layers that connected proxies see, keeps them up to
// date with the world, and publishes them to the proxies' views. Only layers
// that some proxy looks at are computed.
//
// Layers are computed under one lock and published under another, which is
// never held for long: a proxy that connects while a pass goes on gets what was
// published of its layer before it, and all others ask for no layer.
type Engine struct {
	log  *slog.Logger
	memo *Memo
	want func([]object.Ref) // asks for Secrets

	work    sync.Mutex // guards the layers; taken before mu, never after it
	bases   map[mesh.Scope]*hostLayer
	laid    *mesh.World             // the world of the bases
	tooMany []object.Finding        // Secrets that are not asked for
	asked   map[object.Ref]struct{} // Secrets that are asked for
	early   []object.Ref            // those that the first world named, for a while
	began   time.Time               // when there was a world

	mu       sync.Mutex  // guards what follows, of shelves the places; held for moments
	world    *mesh.World // changes under both locks
	scopes   *shelf[mesh.Scope, *hostLayer]
	routers  *shelf[mesh.Scope, *routerLayer]
	inbounds *shelf[mesh.Inbound, *inboundLayer]
	callers  *shelf[telemetry.Caller, *Revision]
	secrets  *secretLayers
	proxies  map[*attached]struct{}
	learning *learning
	asks     bool // the listeners that are published ask for hosts; see asking
	departed departed
	life     life
	untold   bool // something was found since the last report
	faults   atomic.Pointer[faults]
	ready    chan struct{} // closed when there is a world
	passed   chan struct{} // closed when something else is published
}

// For how many layers there is room that no proxy looks at, and how long they
// are kept: an Envoy tries every ten seconds at least to connect again.
const (
	idleScopes   = 256
	idleInbounds = 4096
	idleCallers  = 4096
	idleTime     = 30 * time.Second
)

// NewEngine makes an engine. certificates may be nil: then no proxy gets one.
// want is told, whenever that may have changed, which Secrets the listeners and
// clusters of connected proxies name, those that were named first in front; it must not call back. It may be nil.
func NewEngine(log *slog.Logger, certificates *Certificates, want func([]object.Ref)) *Engine {
	memo := NewMemo()
	if want == nil {
		want = func([]object.Ref) {}
	}
	return &Engine{
		log: log, memo: memo, want: want, scopes: newShelf[mesh.Scope](idleScopes, (*hostLayer).release), routers: newShelf[mesh.Scope](idleScopes, (*routerLayer).release),
		inbounds: newShelf[mesh.Inbound](idleInbounds, func(*inboundLayer) {}), callers: newShelf[telemetry.Caller](idleCallers, func(*Revision) {}),
		bases: map[mesh.Scope]*hostLayer{}, secrets: newSecretLayers(log, certificates), proxies: map[*attached]struct{}{}, learning: newLearning(), departed: newDeparted(), life: newLife(), ready: make(chan struct{}), passed: make(chan struct{}),
	}
}

// Run lets go of layers that no proxy has looked at for a while, and tries again
// to get certificates that could not be had, until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	tick := time.NewTicker(idleTime / 6)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			e.certify()
			e.goOnAsking(now)
			e.forgetUnused(now)
			if n%3 == 0 {
				e.work.Lock()
				e.forget(now.Add(-idleTime))
				if len(e.early) > 0 && now.Sub(e.began) > earlyTime {
					e.early = nil
					e.wantSecrets()
				}
				e.work.Unlock()
			}
		}
	}
}

// Built is how many resources, of how many bytes, are kept for what the layers
// are made of. It is bounded by the mesh and by what its proxies look at.
func (e *Engine) Built() (entries, bytes int) { return e.memo.Size() }

// Shed lets go of all that can be built again and that no connected proxy looks
// at.
func (e *Engine) Shed() {
	e.work.Lock()
	defer e.work.Unlock()
	e.forget(time.Now())
}

// forget lets go of layers that no proxy has looked at since, and of what only
// they were made of.
func (e *Engine) forget(since time.Time) {
	e.mu.Lock()
	e.scopes.forget(since)
	e.routers.forget(since)
	e.inbounds.forget(since)
	e.callers.forget(since)
	e.departed.forget(since)
	e.learning.forget(time.Now())
	e.mu.Unlock()
	e.dropBases()
	e.memo.sweep()
	e.memo.intern.Prune()
	e.report()
}

// settle ends what computed layers: it lets go of those for which there is no
// room, and publishes what was found.
func (e *Engine) settle() {
	e.mu.Lock()
	e.scopes.forget(time.Time{})
	e.routers.forget(time.Time{})
	e.inbounds.forget(time.Time{})
	e.callers.forget(time.Time{})
	e.mu.Unlock()
	e.memo.sweep()
	e.report()
}

// breathe lets those in who wait for a layer of their own: a pass may take long.
func (e *Engine) breathe() {
	e.work.Unlock()
	e.work.Lock()
}

// Update brings all layers to the world, of which dirty says what changed, and
// publishes and returns what came of it. Calls must not overlap.
func (e *Engine) Update(w *mesh.World, dirty *mesh.Dirty) *Pass {
	e.work.Lock()
	defer e.work.Unlock()
	e.mu.Lock()
	first := e.world == nil
	e.departed.note(e.world, w, dirty)
	e.world = w
	e.mu.Unlock()
	if first {
		e.early, e.began = NamedSecrets(w), time.Now()
	}
	if dirty.All || first {
		e.rebuild()
	} else {
		e.advance(dirty)
	}
	e.locate(dirty)
	e.accept(dirty)
	if e.holdRouters() || dirty.Gateways || dirty.Roots || dirty.All || e.holdSecrets() {
		e.wantSecrets()
	}
	p := e.publish()
	e.settle()
	if first {
		close(e.ready)
	}
	return p
}

// wantSecrets asks for the Secrets that are named now.
func (e *Engine) wantSecrets() {
	var refs []object.Ref
	refs, e.tooMany = e.wantedSecrets()
	e.want(refs)
}
