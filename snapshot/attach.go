package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// attached is one connected proxy with what it looks at. What may change of it
// does so under both locks of the engine.
type attached struct {
	client   *Client
	proxy    *mesh.Proxy
	scope    mesh.Scope
	view     *View
	inbound  *inboundLayer // nil for a router
	identity *secretLayer
	learned  *learnedLayer // nil: it holds all that its scope sees
	asking   asking        // may be asksNotYet for good, unless it is a sidecar
	since    time.Time     // when it came to that
	caller   *Revision     // of which workload its metrics say that it is; never changes
	moved    bool          // it has come to another scope since something was published to it
}

// Ready is closed when there is a world, so that Attach does not wait for it.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// Attach gives a connected proxy its view. It waits for the first world and for
// the Secrets that the proxy needs, and fails when the context ends before, or
// when the proxy is not who it says. It keeps the client, which must not change
// any more. It does not wait for the end of a pass.
func (e *Engine) Attach(ctx context.Context, c *Client) (*View, error) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the first complete state of the mesh: %w", ctx.Err())
	}
	if err := c.prove(); err != nil {
		return nil, err
	}
	for {
		e.mu.Lock()
		w := e.world
		e.mu.Unlock()
		if err := e.vouch(w, c); err != nil { // before anything is built for it
			return nil, err
		}
		p := proxyOf(w, c)
		a := &attached{client: c, proxy: p, scope: w.ScopeOf(p)}
		e.provide(a.scope, p.Workload)
		if err := e.await(ctx, a.scope); err != nil {
			e.mu.Lock()
			e.leave(a)
			e.mu.Unlock()
			return nil, err
		}
		a.identity = e.secrets.enter(w, p.Workload)
		done, err := e.admit(a)
		if err != nil || !done {
			e.secrets.leave(a.identity)
		}
		if done {
			e.tell()
			return a.view, err
		}
		// A pass has moved it to another scope meanwhile.
	}
}

// tell publishes what was found of a proxy that came in, unless a pass goes on, which
// does so at its end.
func (e *Engine) tell() {
	e.mu.Lock()
	untold := e.untold
	e.mu.Unlock()
	if untold && e.work.TryLock() {
		defer e.work.Unlock()
		e.report()
	}
}

// vouch holds a proxy to what the world knows of its Pod.
func (e *Engine) vouch(w *mesh.World, c *Client) error {
	if id := c.Identity; e.departed.has(id.PodUID) && !id.of(w.Workload(c.Namespace, c.Pod)) {
		return id.revoked()
	}
	return c.match(w)
}

// admit takes in a proxy, whose layer and certificate have been entered, unless
// the newest world gives it others.
func (e *Engine) admit(a *attached) (done bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.vouch(e.world, a.client); err != nil {
		e.leave(a)
		return true, err
	}
	p := proxyOf(e.world, a.client)
	if e.world.ScopeOf(p) != a.scope || e.secrets.source != nil && keyOfWorkload(e.world, p.Workload) != keyOfWorkload(e.world, a.proxy.Workload) {
		e.leave(a)
		return false, nil
	}
	a.proxy = p
	if p.Role == mesh.RoleSidecar {
		a.inbound = e.enterInbound(e.world.InboundOf(p.Workload))
	}
	a.caller = e.enterCaller(a.client)
	e.proxies[a] = struct{}{}
	a.asking, a.since = e.askingOf(a.client), time.Now()
	e.learn(a)
	a.view = NewView(e.stack(a), func() { e.detach(a) })
	if a.learned != nil {
		a.view.ask = func(names []string, listed bool) []string { return e.ask(a, names, listed) }
	}
	return true, nil
}

func (e *Engine) detach(a *attached) {
	e.mu.Lock()
	delete(e.proxies, a)
	e.unlearn(a)
	e.leave(a)
	e.callers.leave(callerOf(a.client))
	identity := a.identity
	e.mu.Unlock()
	e.secrets.leave(identity)
	if e.work.TryLock() { // else whoever works does it
		defer e.work.Unlock()
		e.settle()
	}
}

// proxyOf is what is known of the proxy: its Pod where there is one, else what
// its node says.
func proxyOf(w *mesh.World, c *Client) *mesh.Proxy {
	p := &mesh.Proxy{Role: mesh.RoleSidecar, Unprivileged: c.Unprivileged}
	if c.Role == RoleRouter {
		p.Role = mesh.RoleRouter
	}
	if x := w.Workload(c.Namespace, c.Pod); x != nil {
		p.Workload = x
		if x.Locality == (registry.Locality{}) && c.Locality != (Locality{}) {
			located := *x
			located.Locality = registry.Locality(c.Locality)
			p.Workload = &located
		}
		return p
	}
	p.Workload = &registry.Workload{
		Ref: object.Ref{Kind: object.KindPod, Namespace: c.Namespace, Name: c.Pod}, Namespace: c.Namespace, Name: c.Pod, Owner: c.Pod,
		Labels: c.Labels, ServiceAccount: cmp.Or(c.Identity.ServiceAccount, c.ServiceAccount, "default"), Node: c.NodeName, Locality: registry.Locality(c.Locality), Ready: true,
	}
	if a, err := netip.ParseAddr(c.IP); err == nil {
		p.Workload.Addresses = []netip.Addr{a.Unmap()}
	}
	return p
}

// enter takes the place of a scope for one more proxy, if there is one.
func (e *Engine) enter(scope mesh.Scope) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if scope.Role == mesh.RoleRouter {
		return e.routers.enter(scope) != nil
	}
	return e.scopes.enter(scope) != nil
}

// provide makes the layer of a scope exist for one more proxy, of is its
// workload.
func (e *Engine) provide(scope mesh.Scope, of *registry.Workload) {
	if e.enter(scope) {
		return
	}
	e.work.Lock()
	defer e.work.Unlock()
	if e.lay(scope, of) {
		e.settle()
	}
}

// lay does so for who works, and says whether there was none.
func (e *Engine) lay(scope mesh.Scope, of *registry.Workload) bool {
	if e.enter(scope) {
		return false
	}
	if scope.Role == mesh.RoleRouter {
		r := newRouterLayer(e.memo, scope, of, e.laid)
		e.mu.Lock()
		place := e.routers.add(scope, r, r.stack())
		place.unread = len(r.secrets.wanted) > 0
		e.mu.Unlock()
		e.wantSecrets()
		e.tellRead(&place.unread, r.secrets)
		return true
	}
	l := e.newScope(scope, nil)
	e.mu.Lock()
	place := e.scopes.add(scope, l, l.stack())
	place.unread = len(l.secrets.wanted) > 0
	e.mu.Unlock()
	if len(l.secrets.wanted) > 0 {
		e.wantSecrets()
		e.tellRead(&place.unread, l.secrets)
	}
	return true
}

// leave takes the proxy from the layers that it looked at, but for its identity.
func (e *Engine) leave(a *attached) {
	if a.proxy.Role == mesh.RoleRouter {
		e.routers.leave(a.scope)
	} else {
		e.scopes.leave(a.scope)
		if a.inbound != nil {
			e.inbounds.leave(a.inbound.accepts)
		}
	}
}

// connected are the proxies that are connected now.
func (e *Engine) connected() []*attached {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*attached, 0, len(e.proxies))
	for a := range e.proxies {
		out = append(out, a)
	}
	return out
}

// locate moves proxies to other layers whose Pod changed or began to end, or whose
// scope changed.
func (e *Engine) locate(dirty *mesh.Dirty) {
	if !dirty.All && !dirty.Scopes && len(dirty.Workloads) == 0 && len(dirty.Ending) == 0 {
		return
	}
	for _, a := range e.connected() {
		_, changed := dirty.Workloads[a.proxy.Workload.Ref]
		_, ends := dirty.Ending[a.proxy.Workload.Ref]
		proxy := a.proxy
		if changed || ends || dirty.All || dirty.Scopes {
			pod := e.world.Workload(a.client.Namespace, a.client.Pod)
			if a.lost(pod) {
				a.view.End(a.client.Identity.revoked())
			}
			if pod != nil { // a deleted Pod drains as it was
				proxy = proxyOf(e.world, a.client)
			}
		}
		if scope := e.world.ScopeOf(proxy); changed || scope != a.scope {
			e.move(a, &attached{client: a.client, proxy: proxy, scope: scope})
		} else if ends {
			e.mu.Lock()
			a.proxy = proxy
			e.mu.Unlock()
		}
	}
}

// move has a proxy look at other layers, unless it left meanwhile.
func (e *Engine) move(a, to *attached) {
	if e.lay(to.scope, to.proxy.Workload) {
		defer e.breathe()
	}
	to.identity = e.secrets.enter(e.world, to.proxy.Workload)
	e.secrets.leave(e.exchange(a, to))
}

// exchange does so once the layer and the certificate have been entered. It
// returns the identity that has lost a user.
func (e *Engine) exchange(a, to *attached) *secretLayer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, there := e.proxies[a]; !there {
		e.leave(to)
		return to.identity
	}
	if to.proxy.Role == mesh.RoleSidecar {
		to.inbound = e.enterInbound(e.world.InboundOf(to.proxy.Workload))
	}
	old := *a
	a.moved = a.moved || a.scope != to.scope
	a.proxy, a.scope, a.inbound, a.identity = to.proxy, to.scope, to.inbound, to.identity
	e.leave(&old)
	return old.identity
}

// certify tries again to get the certificates of proxies that have none.
func (e *Engine) certify() {
	if e.secrets.source == nil {
		return
	}
	for _, a := range e.connected() {
		e.mu.Lock()
		w, of, has := e.world, a.proxy.Workload, a.identity != nil
		e.mu.Unlock()
		if has {
			continue
		}
		identity := e.secrets.enter(w, of)
		if identity == nil {
			continue
		}
		e.mu.Lock()
		if _, there := e.proxies[a]; there && a.identity == nil && a.proxy.Workload == of {
			a.identity = identity
			a.view.Publish(e.stack(a))
			identity = nil
		}
		e.mu.Unlock()
		e.secrets.leave(identity)
	}
}
