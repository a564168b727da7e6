package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate"
)

// Engine computes the layers that connected proxies see, keeps them up to
// date with the world, and publishes them to the proxies' views. Only layers
// that some proxy looks at are computed.
type Engine struct {
	log  *slog.Logger
	memo *Memo
	want func([]mesh.Ref) // asks for Secrets

	mu       sync.Mutex // guards what follows; held for a whole pass
	world    *mesh.World
	base     *hostLayer // what a sidecar of no particular namespace sees
	scopes   *shelf[mesh.Scope, *hostLayer]
	routers  *shelf[mesh.Scope, *routerLayer]
	inbounds *shelf[mesh.Inbound, *inboundLayer]
	secrets  *secretLayers
	proxies  map[*attached]struct{}
	departed departed
	tooMany  []mesh.Finding // Secrets that are not asked for
	life     life
	ready    chan struct{} // closed when there is a world
}

// For how many layers there is room that no proxy looks at, and how long they
// are kept: an Envoy tries every ten seconds at least to connect again.
const (
	idleScopes   = 256
	idleInbounds = 4096
	idleTime     = 30 * time.Second
)

// attached is one connected proxy with what it looks at.
type attached struct {
	client   *Client
	proxy    *mesh.Proxy
	scope    mesh.Scope
	view     *View
	inbound  *inboundLayer // nil for a router
	identity *secretLayer
}

// NewEngine makes an engine. certificates may be nil: then no proxy gets one.
// want is told, whenever that may have changed, which Secrets the listeners and
// clusters of connected proxies name, those that were named first in front; it must not call back. It may be nil.
func NewEngine(log *slog.Logger, certificates *Certificates, want func([]mesh.Ref)) *Engine {
	memo := NewMemo()
	if want == nil {
		want = func([]mesh.Ref) {}
	}
	return &Engine{
		log: log, memo: memo, want: want, scopes: newShelf[mesh.Scope](idleScopes, (*hostLayer).release), routers: newShelf[mesh.Scope](idleScopes, (*routerLayer).release),
		inbounds: newShelf[mesh.Inbound](idleInbounds, func(*inboundLayer) {}), secrets: newSecretLayers(log, certificates), proxies: map[*attached]struct{}{}, departed: newDeparted(), life: newLife(), ready: make(chan struct{}),
	}
}

// Run lets go of layers that no proxy has looked at for a while, until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	tick := time.NewTicker(idleTime / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			e.mu.Lock()
			e.forget(now.Add(-idleTime))
			e.mu.Unlock()
		}
	}
}

// Shed lets go of all that can be built again and that no connected proxy looks
// at.
func (e *Engine) Shed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(time.Now())
}

// forget lets go of layers that no proxy has looked at since, and of what only
// they were made of.
func (e *Engine) forget(since time.Time) {
	e.scopes.forget(since)
	e.routers.forget(since)
	e.inbounds.forget(since)
	e.memo.sweep()
	e.memo.intern.Prune()
}

// Update brings all layers to the world, of which dirty says what changed, and
// publishes what came of it. Calls must not overlap.
func (e *Engine) Update(w *mesh.World, dirty *mesh.Dirty) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.world == nil
	e.departed.note(e.world, w, dirty)
	e.world = w
	if dirty.All || first {
		e.rebuild()
	} else {
		e.advance(dirty)
	}
	e.locate(dirty)
	e.accept(dirty)
	if len(e.routers.places) > 0 || dirty.Gateways || dirty.All || e.holdSecrets() {
		e.wantSecrets()
	}
	e.publish()
	e.memo.sweep()
	if first {
		close(e.ready)
	}
}

// wantSecrets asks for the Secrets that are named now.
func (e *Engine) wantSecrets() {
	var refs []mesh.Ref
	refs, e.tooMany = e.wantedSecrets()
	e.want(refs)
}

// rebuild computes all layers from nothing.
func (e *Engine) rebuild() {
	e.forget(time.Now())
	if e.base != nil {
		e.base.release()
	}
	e.base = e.newBase()
	for scope, l := range e.scopes.all() {
		e.scopes.replace(scope, e.newScope(scope, l.secrets))
	}
	for _, r := range e.routers.all() {
		r.update(e.world, nil)
	}
}

// advance computes what changed.
func (e *Engine) advance(dirty *mesh.Dirty) {
	e.base.moved = false
	e.base.view = e.world.View(e.base.view.Scope)
	if len(dirty.Hosts) > 0 {
		e.base.update(e.base.view, dirty.Hosts)
	}
	for scope, l := range e.scopes.all() {
		_, all := dirty.Namespaces[scope.Namespace]
		view := e.world.View(scope)
		switch {
		case all || (l.base == nil) != e.standsAlone(view):
			e.scopes.replace(scope, e.newScope(scope, l.secrets))
		case len(dirty.Hosts) > 0 || l.secrets.concerns(dirty.Secrets):
			l.update(view, dirty.Hosts)
		default:
			l.view = view // of another world than the newest nothing is kept
		}
	}
	for _, r := range e.routers.all() {
		r.update(e.world, dirty)
	}
}

func (e *Engine) newBase() *hostLayer {
	l := newHostLayer(e.memo, nil, e.world.View(mesh.Scope{Role: mesh.RoleSidecar}))
	l.reporting = translate.ReportingOf(l.view)
	l.fill(e.world)
	return l
}

// newScope computes the layer of a scope: over the base, unless most of the
// mesh looks different from it. The secrets, if any, are those that it had.
func (e *Engine) newScope(scope mesh.Scope, secrets *namedSecrets) *hostLayer {
	view := e.world.View(scope)
	base := e.base
	if e.standsAlone(view) {
		base = nil
	}
	l := newHostLayer(e.memo, base, view)
	l.ipv6 = scope.IPv6
	if secrets != nil {
		l.secrets = secrets
	}
	l.reporting = translate.ReportingOf(view)
	l.fill(e.world)
	return l
}

// standsAlone tells whether the listeners of the scope, or what it sees at
// all, follow rules of its own.
func (e *Engine) standsAlone(v *mesh.View) bool {
	return v.Sidecar != nil || v.Scope.IPv6 || translate.ReportingOf(v) != e.base.reporting
}

// Attach gives a connected proxy its view. It waits for the first world, and
// fails when the context ends before, or when the proxy is not who it says. It
// keeps the client, which must not change any more.
func (e *Engine) Attach(ctx context.Context, c *Client) (*View, error) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the first complete state of the mesh: %w", ctx.Err())
	}
	if err := c.prove(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if id := c.Identity; e.departed.has(id.PodUID) && !id.of(e.world.Workload(c.Namespace, c.Pod)) {
		return nil, id.revoked()
	}
	if err := c.match(e.world); err != nil {
		return nil, err
	}
	a := &attached{client: c, proxy: e.proxyOf(c)}
	e.proxies[a] = struct{}{}
	a.view = NewView(Stack{}, func() { e.detach(a) })
	e.enter(a)
	a.view.Publish(e.stack(a))
	return a.view, nil
}

func (e *Engine) detach(a *attached) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.proxies, a)
	e.leave(a)
	e.memo.sweep()
}

// proxyOf is what is known of the proxy: its Pod where there is one, else what
// its node says.
func (e *Engine) proxyOf(c *Client) *mesh.Proxy {
	p := &mesh.Proxy{Role: mesh.RoleSidecar, Unprivileged: c.Unprivileged}
	if c.Role == RoleRouter {
		p.Role = mesh.RoleRouter
	}
	if w := e.world.Workload(c.Namespace, c.Pod); w != nil {
		p.Workload = w
		if w.Locality == (mesh.Locality{}) && c.Locality != (Locality{}) {
			located := *w
			located.Locality = mesh.Locality(c.Locality)
			p.Workload = &located
		}
		return p
	}
	p.Workload = &mesh.Workload{
		Ref: mesh.Ref{Kind: mesh.KindPod, Namespace: c.Namespace, Name: c.Pod}, Namespace: c.Namespace, Name: c.Pod, Owner: c.Pod,
		Labels: c.Labels, ServiceAccount: cmp.Or(c.Identity.ServiceAccount, c.ServiceAccount, "default"), Node: c.NodeName, Locality: mesh.Locality(c.Locality), Ready: true,
	}
	if a, err := netip.ParseAddr(c.IP); err == nil {
		p.Workload.Addresses = []netip.Addr{a.Unmap()}
	}
	return p
}

// enter makes the layers that the proxy looks at exist.
func (e *Engine) enter(a *attached) {
	a.scope = e.world.ScopeOf(a.proxy)
	if a.proxy.Role == mesh.RoleRouter {
		if _, made := e.routers.enter(a.scope, func() *routerLayer { return newRouterLayer(e.memo, a.scope, a.proxy.Workload, e.world) }); made {
			e.wantSecrets()
		}
	} else {
		if l, made := e.scopes.enter(a.scope, func() *hostLayer { return e.newScope(a.scope, nil) }); made && len(l.secrets.wanted) > 0 {
			e.wantSecrets()
		}
		e.enterInbound(a)
	}
	a.identity = e.secrets.enter(e.world, a.proxy.Workload)
}

// leave takes the proxy from the layers that it looked at.
func (e *Engine) leave(a *attached) {
	if a.proxy.Role == mesh.RoleRouter {
		e.routers.leave(a.scope)
	} else {
		e.scopes.leave(a.scope)
		e.inbounds.leave(a.inbound.accepts)
	}
	e.secrets.leave(a.identity)
}

// locate moves proxies to other layers whose Pod changed or began to end, or whose
// scope changed.
func (e *Engine) locate(dirty *mesh.Dirty) {
	if !dirty.All && !dirty.Scopes && len(dirty.Workloads) == 0 && len(dirty.Ending) == 0 {
		return
	}
	for a := range e.proxies {
		_, changed := dirty.Workloads[a.proxy.Workload.Ref]
		_, ends := dirty.Ending[a.proxy.Workload.Ref]
		proxy := a.proxy
		if changed || ends || dirty.All || dirty.Scopes {
			pod := e.world.Workload(a.client.Namespace, a.client.Pod)
			if a.lost(pod) {
				a.view.End(a.client.Identity.revoked())
			}
			if pod != nil { // a deleted Pod drains as it was
				proxy = e.proxyOf(a.client)
			}
		}
		if !changed && e.world.ScopeOf(proxy) == a.scope {
			if ends {
				a.proxy = proxy
			}
			continue
		}
		old := *a
		a.proxy = proxy
		e.enter(a)
		e.leave(&old)
	}
}

// publish shows every proxy what its layers are now.
func (e *Engine) publish() {
	for a := range e.proxies {
		a.view.Publish(e.stack(a))
	}
}

// stack is what the proxy sees now.
func (e *Engine) stack(a *attached) Stack {
	var s Stack
	if a.proxy.Role == mesh.RoleRouter {
		s[LayerOutbound] = e.routers.get(a.scope).revision
	} else {
		l := e.scopes.get(a.scope)
		s[LayerOutbound] = l.revision
		if l.base != nil {
			s[LayerBase] = l.base.revision
		}
		if a.inbound != nil {
			s[LayerInbound] = a.inbound.revision
		}
	}
	if a.identity != nil {
		s[LayerSecrets] = a.identity.revision
	}
	s[LayerLife] = e.life.of(a.proxy.Workload)
	return s
}
