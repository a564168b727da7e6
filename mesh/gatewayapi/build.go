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
	next    *Index
	stale   map[object.Ref]struct{} // Gateways and Services
	crosses map[object.Ref]struct{} // routes with backends of other namespaces

	staleTLS map[string]struct{}            // Services whose policies have changed, by "namespace/name"
	trusting map[string]map[string]struct{} // policies by the ConfigMaps that they name, both by "namespace/name"
}

// NewBuilder makes a builder that changes the index.
func NewBuilder(next *Index) *Builder {
	return &Builder{next: next, stale: map[object.Ref]struct{}{}, crosses: map[object.Ref]struct{}{}, staleTLS: map[string]struct{}{}, trusting: map[string]map[string]struct{}{}}
}

// Mark notes that a Gateway or Service has to be derived again.
func (b *Builder) Mark(parent object.Ref) { b.stale[parent] = struct{}{} }

// MarkGateways does so for the Gateways that are meant.
func (b *Builder) MarkGateways(meant func(*Gateway) bool) {
	for g := range b.next.Gateways() {
		if meant(g) {
			b.Mark(g.Ref)
		}
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
		return slices.ContainsFunc(g.listeners, func(l *listener) bool { return l.from == gatewayv1.NamespacesFromSelector })
	})
}

// Marked are the Gateways and Services that have been marked since it was called
// last, in order.
func (b *Builder) Marked() []object.Ref {
	out := slices.SortedFunc(maps.Keys(b.stale), object.CompareRefs)
	clear(b.stale)
	return out
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
		b.next.gateways = b.next.gateways.Delete(key)
	} else {
		b.next.gateways = b.next.gateways.Set(key, parseGateway(o))
	}
	b.Mark(ref)
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
		b.Mark(p)
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
		b.Mark(p)
	}
	for _, service := range next.services() {
		b.next.routesTo = persist.Listed(b.next.routesTo, service, is, &next, olderRoute)
	}
	return true
}
