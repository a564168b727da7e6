package gatewayapi

import (
	"maps"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Builder makes the next index, and notes which parents of routes have to be
// derived again. One goroutine uses it.
type Builder struct {
	next      *Index
	stale     map[object.Ref]*stale   // Gateways, ListenerSets and Services
	unsettled map[object.Ref]struct{} // Gateways whose listeners, or sets, have changed
	crosses   map[object.Ref]struct{} // routes with backends of other namespaces

	merged map[object.Ref]map[mergedOn]merged // by what declares the listeners
	owners map[*Gateway]owners                // of what is derived now

	staleTLS map[string]struct{}            // Services whose policies have changed, by "namespace/name"
	trusting map[string]map[string]struct{} // policies by the ConfigMaps that they name, both by "namespace/name"
	recount  map[string]struct{}            // policies, by "namespace/name"
	trusts   trusts
}

// NewBuilder makes a builder that changes the index.
func NewBuilder(next *Index) *Builder {
	return &Builder{next: next, stale: map[object.Ref]*stale{}, unsettled: map[object.Ref]struct{}{}, crosses: map[object.Ref]struct{}{}, merged: map[object.Ref]map[mergedOn]merged{}, owners: map[*Gateway]owners{}, staleTLS: map[string]struct{}{}, trusting: map[string]map[string]struct{}{}, recount: map[string]struct{}{}, trusts: newTrusts()}
}

// Mark notes that a Gateway, ListenerSet or Service has to be derived again.
func (b *Builder) Mark(parent object.Ref) { b.staleOf(parent).whole = true }

// MarkGateways does so for the Gateways that are meant, and for their ListenerSets.
func (b *Builder) MarkGateways(meant func(*Gateway) bool) {
	for g := range b.next.Gateways() {
		if meant(g) {
			b.markWithSets(g)
		}
	}
}

func (b *Builder) markWithSets(g *Gateway) {
	b.Mark(g.Ref)
	for _, s := range persist.Prefix(b.next.setsOf, setsOf(g.Ref)) {
		b.Mark(s.Ref)
	}
}

// MarkService marks what a change of a Service with the host changes.
func (b *Builder) MarkService(ref object.Ref, host string) {
	if key := ref.Namespace + "/" + ref.Name; len(b.policiesFor(key)) > 0 {
		b.staleTLS[key] = struct{}{}
	}
	if len(b.next.RoutesOf(ref)) > 0 {
		b.Mark(ref)
	}
	b.MarkGateways(func(g *Gateway) bool { return slices.Contains(g.Services, host) })
}

// MarkNamespaces marks what a change of a namespace's labels changes.
func (b *Builder) MarkNamespaces() {
	b.MarkGateways(func(g *Gateway) bool {
		if g.setsFrom == gatewayv1.NamespacesFromSelector {
			b.unsettled[g.Ref] = struct{}{}
			return true // why a set is not attached may be another reason now
		}
		return slices.ContainsFunc(g.listeners, func(l *listener) bool { return l.from == gatewayv1.NamespacesFromSelector })
	})
}

// Marked is a Gateway, ListenerSet or Service that has to be derived again, with the routes
// of it about which something else may be found now.
type Marked struct {
	Ref    object.Ref
	Routes []*Route
}

// Marked are those that have been marked since it was called last, in order. Namespaces
// are their labels by name.
func (b *Builder) Marked(namespaces map[string]map[string]string) (out []Marked) {
	for ref := range b.unsettled {
		b.settle(ref, namespaces)
	}
	clear(b.unsettled)
	clear(b.owners)
	for _, ref := range slices.SortedFunc(maps.Keys(b.stale), object.CompareRefs) {
		m := Marked{Ref: ref}
		if s := b.stale[ref]; s.whole {
			m.Routes = b.next.RoutesOf(ref)
		} else {
			for route := range s.routes {
				if r := b.next.Route(route); r != nil {
					m.Routes = append(m.Routes, r)
				}
			}
		}
		out = append(out, m)
	}
	clear(b.stale)
	return out
}

// stale is why a parent of routes has to be derived again.
type stale struct {
	whole  bool                    // for more than what changed of its routes
	routes map[object.Ref]struct{} // those that changed, or are its own no more
}

func (b *Builder) staleOf(parent object.Ref) *stale {
	s := b.stale[parent]
	if s == nil {
		s = &stale{routes: map[object.Ref]struct{}{}}
		b.stale[parent] = s
	}
	return s
}

// markOf notes that a route of the parent has changed.
func (b *Builder) markOf(parent, route object.Ref) {
	b.staleOf(parent).routes[route] = struct{}{}
}

// SetClass replaces a GatewayClass; nil takes it away.
func (b *Builder) SetClass(ref object.Ref, o *gatewayv1.GatewayClass) {
	b.next.classes = maps.Clone(b.next.classes)
	if o == nil {
		delete(b.next.classes, ref.Name)
	} else {
		if b.next.classes == nil {
			b.next.classes = map[string]*class{}
		}
		b.next.classes[ref.Name] = &class{ref: ref, generation: o.Generation, controller: string(o.Spec.ControllerName), parameters: o.Spec.ParametersRef != nil}
	}
	b.MarkGateways(func(g *Gateway) bool { return string(g.Spec.GatewayClassName) == ref.Name })
}

// SetGateway replaces a Gateway; nil takes it away.
func (b *Builder) SetGateway(ref object.Ref, o *gatewayv1.Gateway) {
	key := ref.Namespace + "/" + ref.Name
	if o == nil {
		b.next.declared = b.next.declared.Delete(key)
	} else {
		b.next.declared = b.next.declared.Set(key, parseGateway(o))
	}
	b.unsettled[ref] = struct{}{}
	b.Mark(ref)
}

// settle joins a Gateway and its ListenerSets anew, unless both are as they were.
func (b *Builder) settle(ref object.Ref, namespaces map[string]map[string]string) {
	key := ref.Namespace + "/" + ref.Name
	declared, _ := b.next.declared.Get(key)
	old := b.next.Gateway(ref)
	if declared == nil {
		if old != nil {
			b.next.gateways = b.next.gateways.Delete(key)
			b.markWithSets(old)
		}
		return
	}
	sets := b.next.allowed(declared, namespaces)
	if old != nil && old.declared == declared && slices.Equal(old.allowed, sets) {
		return
	}
	next := declared.settle(sets)
	next.declared, next.allowed = declared, sets
	b.next.gateways = b.next.gateways.Set(key, next)
	b.markWithSets(next)
}

// SetGrant replaces a ReferenceGrant; nil takes it away.
func (b *Builder) SetGrant(ref object.Ref, o *gatewayv1.ReferenceGrant) {
	l := slices.DeleteFunc(slices.Clone(b.next.grants[ref.Namespace]), func(g *referenceGrant) bool { return g.ref == ref })
	if o != nil {
		l = append(l, &referenceGrant{ref, &o.Spec})
	}
	b.next.grants = maps.Clone(b.next.grants)
	if b.next.grants == nil {
		b.next.grants = map[string][]*referenceGrant{}
	}
	if b.next.grants[ref.Namespace] = l; len(l) == 0 {
		delete(b.next.grants, ref.Namespace)
	}
	for r := range b.crosses {
		for _, p := range b.next.Route(r).Parents() {
			b.Mark(p)
		}
	}
	b.MarkGateways(func(*Gateway) bool { return true })
}

// SetRoute replaces a route; nil takes it away. It is false when that is the one
// that was there.
func (b *Builder) SetRoute(ref object.Ref, next *Route) bool {
	old := b.next.Route(ref)
	if old == next {
		return false
	}
	is := func(r *Route) bool { return r.Ref == ref }
	for _, p := range old.Parents() {
		b.next.routesOf = persist.Listed(b.next.routesOf, p.String(), is, nil, olderRoute)
		b.markOf(p, ref)
	}
	for _, service := range old.services() {
		b.next.routesTo = persist.Listed(b.next.routesTo, service, is, nil, olderRoute)
	}
	delete(b.crosses, ref)
	if next == nil {
		b.next.routes = b.next.routes.Delete(ref.String())
	} else {
		b.next.routes = b.next.routes.Set(ref.String(), next)
		if next.crosses() {
			b.crosses[ref] = struct{}{}
		}
	}
	for _, p := range next.Parents() {
		b.next.routesOf = persist.Listed(b.next.routesOf, p.String(), is, &next, olderRoute)
		b.markOf(p, ref)
	}
	for _, service := range next.services() {
		b.next.routesTo = persist.Listed(b.next.routesTo, service, is, &next, olderRoute)
	}
	return true
}
