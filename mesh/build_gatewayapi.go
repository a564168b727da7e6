package mesh

import (
	"maps"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// gatewayAPI is what building keeps of the Gateway API: which parents of
// routes have to be made again, and what was made of them.
type gatewayAPI struct {
	stale   map[object.Ref]struct{}                  // Gateways and Services
	crosses map[object.Ref]struct{}                  // routes with backends of other namespaces
	derived map[object.Ref][]*traffic.VirtualService // by Service: for its clients
}

func newGatewayAPI() gatewayAPI {
	return gatewayAPI{stale: map[object.Ref]struct{}{}, crosses: map[object.Ref]struct{}{}, derived: map[object.Ref][]*traffic.VirtualService{}}
}

func (b *builder) gatewayClass(ref object.Ref, o *gatewayv1.GatewayClass) {
	b.world.api.classes = maps.Clone(b.world.api.classes)
	if o == nil {
		delete(b.world.api.classes, ref.Name)
	} else {
		if b.world.api.classes == nil {
			b.world.api.classes = map[string]*apiClass{}
		}
		b.world.api.classes[ref.Name] = &apiClass{ref: ref, generation: o.Generation, controller: string(o.Spec.ControllerName), parameters: o.Spec.ParametersRef != nil}
	}
	for _, g := range b.world.api.gateways.All() {
		if string(g.spec.GatewayClassName) == ref.Name {
			b.api.stale[g.ref] = struct{}{}
		}
	}
	b.targetsStale = true
	b.dirty.Status = true
}

func (b *builder) kubeGateway(ref object.Ref, o *gatewayv1.Gateway) {
	key := ref.Namespace + "/" + ref.Name
	if o == nil {
		b.world.api.gateways = b.world.api.gateways.Delete(key)
	} else {
		b.world.api.gateways = b.world.api.gateways.Set(key, parseAPIGateway(o))
	}
	b.api.stale[ref] = struct{}{}
	b.targetsIn.Add(ref.Namespace)
	b.dirty.Status = true
	if len(b.targeted) > 0 { // which policies are for its pods
		b.dirty.Gateways = true
		b.dirtyInbound(ref.Namespace)
	}
}

func (b *builder) referenceGrant(ref object.Ref, o *gatewayv1.ReferenceGrant) {
	l := slices.DeleteFunc(slices.Clone(b.world.api.grants[ref.Namespace]), func(g *referenceGrant) bool { return g.ref == ref })
	if o != nil {
		l = append(l, &referenceGrant{ref, &o.Spec})
	}
	b.world.api.grants = maps.Clone(b.world.api.grants)
	if b.world.api.grants == nil {
		b.world.api.grants = map[string][]*referenceGrant{}
	}
	if b.world.api.grants[ref.Namespace] = l; len(l) == 0 {
		delete(b.world.api.grants, ref.Namespace)
	}
	for r := range b.api.crosses {
		route, _ := b.world.api.routes.Get(r.String())
		for _, p := range route.parentRefs() {
			b.api.stale[p] = struct{}{}
		}
	}
	for _, g := range b.world.api.gateways.All() {
		b.api.stale[g.ref] = struct{}{}
	}
	b.holds.granted = true
	b.dirty.Status = true
}

// apiRoute takes in a route; nil takes it away.
func (b *builder) apiRoute(ref object.Ref, next *apiRoute) {
	old, _ := b.world.api.routes.Get(ref.String())
	b.changing(ref, old)
	b.setAPIRoute(ref, next)
}

// setAPIRoute replaces the version of a route that is in force.
func (b *builder) setAPIRoute(ref object.Ref, next *apiRoute) {
	key := ref.String()
	old, _ := b.world.api.routes.Get(key)
	if old == next {
		return
	}
	is := func(r *apiRoute) bool { return r.ref == ref }
	for _, p := range old.parentRefs() {
		b.world.api.routesOf = listed(b.world.api.routesOf, p.String(), is, nil, olderAPIRoute)
		b.api.stale[p] = struct{}{}
	}
	delete(b.api.crosses, ref)
	if next == nil {
		b.found(ref, nil)
		b.world.api.routes = b.world.api.routes.Delete(key)
	} else {
		b.world.api.routes = b.world.api.routes.Set(key, next)
		if len(next.parentRefs()) == 0 { // nothing else looks at it
			b.found(ref, next.findings)
		}
		if next.crosses() {
			b.api.crosses[ref] = struct{}{}
		}
	}
	for _, p := range next.parentRefs() {
		b.world.api.routesOf = listed(b.world.api.routesOf, p.String(), is, &next, olderAPIRoute)
		b.api.stale[p] = struct{}{}
	}
	b.dirty.Status = true
}

// staleService marks what the Gateway API has to do with a Service that
// changed.
func (b *builder) staleService(ref object.Ref, s *registry.Service) {
	if l, _ := b.world.api.routesOf.Get(ref.String()); len(l) > 0 {
		b.api.stale[ref] = struct{}{}
	}
	for _, g := range b.world.api.gateways.All() {
		if s != nil && slices.Contains(g.services, s.Host) {
			b.api.stale[g.ref] = struct{}{}
		}
	}
}

// staleNamespace marks the Gateways that select namespaces by their labels.
func (b *builder) staleNamespace() {
	for _, g := range b.world.api.gateways.All() {
		if slices.ContainsFunc(g.listeners, func(l *apiListener) bool { return l.from == gatewayv1.NamespacesFromSelector }) {
			b.api.stale[g.ref] = struct{}{}
		}
	}
}

// settleGatewayAPI makes again what is stale, and marks what depends on it.
func (b *builder) settleGatewayAPI() {
	stale := slices.SortedFunc(maps.Keys(b.api.stale), object.CompareRefs)
	clear(b.api.stale)
	for _, ref := range stale {
		if ref.Kind == object.KindService {
			b.deriveService(ref)
		} else {
			b.deriveGateway(ref)
		}
		routes, _ := b.world.api.routesOf.Get(ref.String())
		for _, r := range routes {
			b.found(r.ref, b.world.routeFindings(r))
		}
	}
}

func (b *builder) deriveGateway(ref object.Ref) {
	name := apiGatewayName(ref)
	had, _ := b.world.gateways.Get(name)
	g := b.world.apiGateway(ref)
	if g == nil {
		b.found(ref, nil)
		if had != nil {
			b.world.gateways = b.world.gateways.Delete(name)
			b.leads.set(name, nil)
			b.dirty.Gateways = true
		}
		return
	}
	findings := g.findings
	if problem := b.world.foreignAddress(g); problem != "" {
		findings = append(findings[:len(findings):len(findings)], object.Finding{Object: ref, Field: "spec.addresses", Code: object.CodeUnreferenced, Message: problem})
	}
	b.found(ref, findings)
	derived := b.world.derive(g, b.podsOf)
	b.world.gateways = b.world.gateways.Set(name, derived)
	b.leads.set(name, leadsOfGateway(derived, ref.Namespace))
	b.dirty.Gateways = true
}

// podsOf selects the Pods of a Service.
func (b *builder) podsOf(host string) (traffic.PodSelector, bool) {
	h := b.world.Host(host)
	if h == nil || !h.Services[0].Kubernetes() || len(h.Services[0].Selector) == 0 {
		return traffic.PodSelector{}, false
	}
	return traffic.PodSelector{Namespace: h.Services[0].Namespace, Labels: h.Services[0].Selector}, true
}

// deriveService makes the rules for the clients of a Service: those of routes
// of its namespace for all, those of another's for the clients there.
func (b *builder) deriveService(ref object.Ref) {
	for _, old := range b.api.derived[ref] {
		b.rule(ruledKeyOf(old), nil)
		b.placeRoute(old, nil)
	}
	delete(b.api.derived, ref)
	for _, next := range b.world.serviceRoutes(ref, b.services[ref.Namespace][ref.Name]) {
		b.rule(ruledKeyOf(next), next)
		b.placeRoute(nil, next)
		b.api.derived[ref] = append(b.api.derived[ref], next)
	}
}
