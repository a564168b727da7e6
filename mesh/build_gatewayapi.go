package mesh

import (
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// GatewayAPI answers questions about the Gateway API as of this World.
func (w *World) GatewayAPI() *gatewayapi.View {
	return &gatewayapi.View{Index: &w.api, Hosts: w.hosts, Secrets: w.secrets, Namespaces: w.spaces, Guarded: w.guarded}
}

// BackendTLS is how clients speak TLS to a port of a Service; nil when no BackendTLSPolicy asks
// for it.
func (w *World) BackendTLS(s *registry.Service, port *registry.Port) *gatewayapi.BackendTLS {
	return w.api.BackendTLS(s, port)
}

func (b *builder) gatewayClass(ref object.Ref, o *gatewayv1.GatewayClass) {
	b.api.SetClass(ref, o)
	b.targetsStale = true
	b.dirty.Status = true
}

func (b *builder) kubeGateway(ref object.Ref, o *gatewayv1.Gateway) {
	b.api.SetGateway(ref, o)
	b.targetsIn.Add(ref.Namespace)
	b.dirty.Status = true
	if len(b.targeted) > 0 { // which policies are for its pods
		b.dirty.Gateways = true
		b.dirtyInbound(ref.Namespace)
	}
}

func (b *builder) listenerSet(ref object.Ref, o *gatewayv1.ListenerSet) {
	b.api.SetListenerSet(ref, o)
	b.dirty.Status = true
}

func (b *builder) referenceGrant(ref object.Ref, o *gatewayv1.ReferenceGrant) {
	b.api.SetGrant(ref, o)
	b.holds.granted = true
	b.dirty.Status = true
}

func (b *builder) backendTLSPolicy(ref object.Ref, o *gatewayv1.BackendTLSPolicy) {
	b.api.SetBackendTLSPolicy(ref, o)
	if o == nil {
		b.found(ref, nil)
	} else if p := b.world.api.BackendTLSPolicy(ref); !p.Attached() { // nothing else looks at it
		b.found(ref, p.Findings)
	}
	b.dirty.Roots, b.dirty.Status = true, true
}

// settleBackendTLS marks the Services that policies have spoken to in another way now.
func (b *builder) settleBackendTLS() {
	for host, touch := range b.dirty.Hosts {
		if name, namespace, ok := strings.Cut(strings.TrimSuffix(host, ".svc."+object.Domain), "."); ok && touch == TouchHost {
			b.api.CountClusters(namespace + "/" + name)
		}
	}
	changed, policies := b.api.SettleBackendTLS(b.clustersOf)
	for _, key := range changed {
		namespace, name, _ := strings.Cut(key, "/")
		b.dirtyHost(strings.ToLower(name + "." + namespace + ".svc." + object.Domain))
	}
	api := b.world.GatewayAPI()
	for _, p := range policies {
		b.found(p.Ref, api.PolicyFindings(p))
	}
	b.dirty.Status = b.dirty.Status || len(policies) > 0
}

// clustersOf is a Service and how many subsets the rule has that is for its clients, unless
// they have one of their own.
func (b *builder) clustersOf(namespace, name string) (s *registry.Service, subsets int) {
	h := b.world.Host(strings.ToLower(name + "." + namespace + ".svc." + object.Domain))
	if h == nil || !h.Services[0].Kubernetes() {
		return nil, 0
	}
	if r := b.world.View(Scope{Namespace: namespace}).Rule(h.Services[0]); r != nil {
		subsets = len(r.Subsets)
	}
	return h.Services[0], subsets
}

// apiRoute takes in a route; nil takes it away.
func (b *builder) apiRoute(ref object.Ref, next *gatewayapi.Route) {
	b.changing(ref, b.world.api.Route(ref))
	b.setAPIRoute(ref, next)
}

// setAPIRoute replaces the version of a route that is in force.
func (b *builder) setAPIRoute(ref object.Ref, next *gatewayapi.Route) {
	if !b.api.SetRoute(ref, next) {
		return
	}
	if next == nil {
		b.found(ref, nil)
	} else if len(next.Parents()) == 0 { // nothing else looks at it
		b.found(ref, next.Findings)
	}
	b.dirty.Status = true
}

// settleGatewayAPI makes again what is stale, and marks what depends on it.
func (b *builder) settleGatewayAPI() {
	b.settleBackendTLS()
	for _, marked := range b.api.Marked(b.world.spaces) {
		if marked.Ref.Kind == object.KindService {
			b.deriveService(marked.Ref)
		} else {
			b.deriveListeners(marked.Ref)
		}
		api := b.world.GatewayAPI()
		for _, r := range marked.Routes {
			b.found(r.Ref, api.RouteFindings(r))
		}
	}
}

// deriveListeners makes anew what becomes of the listeners of a Gateway or a ListenerSet.
func (b *builder) deriveListeners(ref object.Ref) {
	name := gatewayapi.NameOf(ref)
	had, _ := b.world.gateways.Get(name)
	api := b.world.GatewayAPI()
	b.found(ref, api.ListenerFindings(ref))
	derived := b.api.Derive(api, ref, b.podsOf)
	switch {
	case derived != nil:
		b.world.gateways = b.world.gateways.Set(name, derived)
		b.leads.set(name, leadsOfGateway(derived, api.ServedBy(ref).Ref.Namespace))
	case had != nil:
		b.world.gateways = b.world.gateways.Delete(name)
		b.leads.set(name, nil)
	default:
		return
	}
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
	for _, old := range b.apiRules[ref] {
		b.rule(ruledKeyOf(old), nil)
		b.placeRoute(old, nil)
	}
	delete(b.apiRules, ref)
	for _, next := range b.world.GatewayAPI().ServiceRoutes(ref, b.services[ref.Namespace][ref.Name]) {
		b.rule(ruledKeyOf(next), next)
		b.placeRoute(nil, next)
		b.apiRules[ref] = append(b.apiRules[ref], next)
	}
}
