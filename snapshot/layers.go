package snapshot

import (
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// mostBases is how many bases there are at most: each holds the mesh once. Scopes
// beyond lie over the base of no particular place.
const mostBases = 8

// listed are the places of a shelf as they are now.
func listed[K comparable, L any](mu *sync.Mutex, s *shelf[K, L]) []*place[K, L] {
	mu.Lock()
	defer mu.Unlock()
	return s.all()
}

// rebuild computes all layers from nothing.
func (e *Engine) rebuild() {
	e.forget(time.Now())
	old := e.bases
	bases := map[mesh.Scope]*hostLayer{}
	for key := range old {
		bases[key] = e.newBase(e.world, key, e.breathe)
	}
	if bases[plainBase] == nil {
		bases[plainBase] = e.newBase(e.world, plainBase, nil)
	}
	e.bases, e.laid = bases, e.world
	for _, p := range listed(&e.mu, e.scopes) {
		if !p.gone {
			e.scopes.replace(p, e.newScope(p.key, p.layer.secrets))
		}
		e.breathe()
	}
	for _, b := range old {
		b.release()
	}
	for _, p := range listed(&e.mu, e.routers) {
		if !p.gone {
			p.layer.update(e.world, nil)
		}
		e.breathe()
	}
}

// advance computes what changed.
func (e *Engine) advance(dirty *mesh.Dirty) {
	for _, b := range e.bases {
		b.moved = false
		b.view = e.world.View(b.view.Scope)
		if len(dirty.Hosts) > 0 {
			b.update(b.view, dirty.Hosts)
		}
	}
	e.laid = e.world
	for i, p := range listed(&e.mu, e.scopes) {
		if i > 0 {
			e.breathe()
		}
		if p.gone {
			continue
		}
		l := p.layer
		_, all := dirty.Namespaces[p.key.Namespace]
		view := e.world.View(p.key)
		switch {
		case all || (l.base == nil) != e.standsAlone(view):
			e.scopes.replace(p, e.newScope(p.key, l.secrets))
		case len(dirty.Hosts) > 0 || l.secrets.concerns(dirty.Secrets):
			l.update(view, dirty.Hosts)
		default:
			l.view = view // of another world than the newest nothing is kept
		}
	}
	for _, p := range listed(&e.mu, e.routers) {
		e.breathe()
		if !p.gone {
			p.layer.update(e.world, dirty)
		}
	}
}

// plainBase is the scope of a sidecar of no particular namespace or place.
var plainBase = mesh.Scope{Role: mesh.RoleSidecar}

// baseOf is the base that a scope lies over, made when there is none: that of
// its place and its families of addresses, so that all namespaces of a zone
// share what depends on the zone.
func (e *Engine) baseOf(scope mesh.Scope) *hostLayer {
	key := mesh.Scope{Role: mesh.RoleSidecar, Locality: scope.Locality, Network: scope.Network, IPv6: scope.IPv6}
	b := e.bases[key]
	if b == nil && len(e.bases) >= mostBases {
		key = mesh.Scope{Role: mesh.RoleSidecar, IPv6: scope.IPv6}
		b = e.bases[key]
	}
	if b == nil {
		b = e.newBase(e.laid, key, nil)
		e.bases[key] = b
	}
	return b
}

// dropBases lets go of the bases over which no scope lies.
func (e *Engine) dropBases() {
	under := map[*hostLayer]struct{}{}
	for _, p := range listed(&e.mu, e.scopes) {
		under[p.layer.base] = struct{}{}
	}
	for key, b := range e.bases {
		if _, needed := under[b]; !needed && key != plainBase {
			delete(e.bases, key)
			b.release()
		}
	}
}

// newBase computes a base. breathe, if any, is called now and then: nobody sees
// the base yet.
func (e *Engine) newBase(w *mesh.World, scope mesh.Scope, breathe func()) *hostLayer {
	l := newHostLayer(e.memo, nil, w.View(scope))
	l.ipv6 = scope.IPv6
	l.reporting = telemetry.ReportingOf(l.view)
	l.breathe = breathe
	l.fill(w)
	l.breathe = nil
	return l
}

// newScope computes the layer of a scope: over a base, unless most of the
// mesh looks different from it. The secrets, if any, are those that it had.
func (e *Engine) newScope(scope mesh.Scope, secrets *namedSecrets) *hostLayer {
	view := e.laid.View(scope)
	var base *hostLayer
	if !e.standsAlone(view) {
		base = e.baseOf(scope)
	}
	l := newHostLayer(e.memo, base, view)
	l.ipv6 = scope.IPv6
	if secrets != nil {
		l.secrets = secrets
	}
	l.reporting = telemetry.ReportingOf(view)
	l.fill(e.laid)
	return l
}

// standsAlone tells whether the listeners of the scope, or what it sees at
// all, follow rules of its own.
func (e *Engine) standsAlone(v *mesh.View) bool {
	return v.Sidecar != nil || telemetry.ReportingOf(v) != e.bases[plainBase].reporting
}

// publish shows every proxy what its layers are now, and says what that changed.
func (e *Engine) publish() *Pass { return e.show().pass() }

// show does so, and tells whom it concerns.
func (e *Engine) show() *concerned {
	e.mu.Lock()
	defer e.mu.Unlock()
	to := newConcerned()
	for _, p := range e.scopes.places {
		before := p.shown
		p.shown, p.unread = p.layer.stack(), e.unread(p.layer.secrets)
		to.shared(p.key, p.users-e.learning.users(p.key), before, p.shown)
	}
	for _, p := range e.routers.places {
		before := p.shown
		p.shown, p.unread = p.layer.stack(), e.unread(p.layer.secrets)
		to.shared(p.key, p.users, before, p.shown)
	}
	e.beginAsking(to.at)
	e.learning.follow(e.scopes.shown)
	for a := range e.proxies {
		e.relearn(a)
	}
	for a := range e.proxies {
		to.show(a, e.stack(a))
	}
	e.wake()
	return to
}

// stack is what a proxy of the scope sees of the layer.
func (l *hostLayer) stack() Stack {
	s := Stack{LayerOutbound: l.revision}
	if l.base != nil {
		s[LayerBase] = l.base.revision
	}
	return s
}

func (r *routerLayer) stack() Stack { return Stack{LayerOutbound: r.revision} }

// stack is what the proxy sees of what was published.
func (e *Engine) stack(a *attached) Stack {
	var s Stack
	if a.proxy.Role == mesh.RoleRouter {
		s = e.routers.shown(a.scope)
	} else {
		if a.learned != nil {
			s = a.learned.stack()
		} else {
			s = e.scopes.shown(a.scope)
		}
		if a.inbound != nil {
			s[LayerInbound] = a.inbound.revision
		}
	}
	s[LayerLife], s[LayerCaller] = e.life.of(a.proxy.Workload, a.asking != asksNotYet), a.caller
	if a.identity != nil {
		s[LayerSecrets] = a.identity.revision.Load()
	}
	return s
}
