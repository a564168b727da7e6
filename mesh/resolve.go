package mesh

import (
	"net/netip"
	"slices"
	"sync"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// View is the mesh as seen from one scope: it answers which objects apply. One
// goroutine uses it.
type View struct {
	*World
	Scope   Scope
	Sidecar *traffic.Sidecar // in force for the scope; nil: all of the mesh is seen
	labels  map[string]string
	known   knownRules
	// certificate is ClientCertificate of a router, looked for once.
	certificate func() (traffic.ClientCertificate, []object.Finding)
}

// View is the mesh as the scope sees it.
func (w *World) View(s Scope) *View {
	v := &View{World: w, Scope: s, labels: s.LabelMap()}
	if s.Role == RoleSidecar {
		v.Sidecar = w.sidecarFor(s.Namespace, v.labels)
	} else {
		v.certificate = sync.OnceValues(v.clientCertificate)
	}
	return v
}

// sidecarFor is the Sidecar in force: one that selects the workload, else the
// namespace's, else that of the root namespace; the oldest of each sort.
func (w *World) sidecarFor(namespace string, labels map[string]string) *traffic.Sidecar {
	for _, s := range w.sidecars[namespace] {
		if len(s.Selector) > 0 && object.Selects(s.Selector, labels) {
			return s
		}
	}
	for _, ns := range []string{namespace, w.Config.RootNamespace} {
		for _, s := range w.sidecars[ns] {
			if len(s.Selector) == 0 {
				return s
			}
		}
	}
	return nil
}

// Service is the service behind a host as the scope sees it, with its
// endpoints; nil when the scope sees none. Of several it is the one of the
// scope's own namespace, else the one from Kubernetes, else the oldest.
func (v *View) Service(host string) (*registry.Service, *registry.EndpointSet) {
	h := v.Host(host)
	if h == nil {
		return nil, registry.NoEndpoints
	}
	best := -1
	for i, s := range h.Services {
		if !v.sees(s) || v.takesName(s, v.Scope.Namespace) || resolvesInside(s) && !v.ownSidecars(s) {
			continue
		}
		if s.Namespace == v.Scope.Namespace {
			return s, v.shown(s, h.Endpoints[i])
		}
		if best < 0 {
			best = i
		}
	}
	if best < 0 {
		return nil, registry.NoEndpoints
	}
	return h.Services[best], v.shown(h.Services[best], h.Endpoints[best])
}

// shown is what the view may be shown of the endpoints of a service: proxies
// that others share are not led to themselves.
func (v *View) shown(s *registry.Service, set *registry.EndpointSet) *registry.EndpointSet {
	if set.Shown == nil || v.ownSidecars(s) {
		return set
	}
	return set.Shown
}

// ownSidecars tells whether the view is one of sidecars that the service may
// lead to whatever it likes: those of its own namespace, or all when the mesh
// configuration allows it.
func (v *View) ownSidecars(s *registry.Service) bool {
	return v.Scope.Role == RoleSidecar && v.Scope.Namespace == s.Namespace || v.Config.MayLeadInside(s.Namespace)
}

// sees tells whether the service is exported to the scope and, with a Sidecar,
// imported by it, by name or as the destination of an imported VirtualService.
func (v *View) sees(s *registry.Service) bool {
	if !s.ExportTo.VisibleFrom(s.Namespace, v.Scope.Namespace, v.Config.DefaultServiceExportTo) {
		return false
	}
	if v.Sidecar == nil || v.Sidecar.Imports(v.Scope.Namespace, s.Namespace, s.Host) {
		return true
	}
	return slices.ContainsFunc(v.Referrers(s.Host), func(vs *traffic.VirtualService) bool { return vs.On(object.MeshGateway) && v.importsRule(vs) })
}

// Listens tells whether clients reach the port of the service by its own address
// and names. A Sidecar may show it to routes only, as the destination of a
// VirtualService, or restrict a port to some hosts.
func (v *View) Listens(s *registry.Service, port uint32) bool {
	return v.Sidecar.Listens(v.Scope.Namespace, s.Namespace, s.Host, port)
}

func (v *View) exportsRoute(vs *traffic.VirtualService) bool {
	return vs.ExportTo.VisibleFrom(vs.Namespace, v.Scope.Namespace, v.Config.DefaultVirtualServiceExportTo)
}

// Rule is the DestinationRule in force for a service as the scope sees it; nil
// when there is none. The first of the scope's own, the service's and the root
// namespace that has any rule for the host decides alone; in it the most
// specific host wins, a rule that selects the client before one for all.
func (v *View) Rule(s *registry.Service) *traffic.DestinationRule {
	if s == nil {
		return nil
	}
	namespaces := []string{v.Scope.Namespace, s.Namespace, v.Config.RootNamespace}
	for i, ns := range namespaces {
		if slices.Contains(namespaces[:i], ns) {
			continue
		}
		if r := v.ruleIn(ns, s.Host); r != nil {
			return v.withoutSubsets(r, s.Namespace)
		}
	}
	return nil
}

func (v *View) ruleIn(namespace, host string) (found *traffic.DestinationRule) {
	pick := func(pattern string) bool {
		l, _ := v.rules.Get(pattern)
		for _, r := range l {
			if r.Namespace != namespace || !v.ruleApplies(r) {
				continue
			}
			found = r
			return false
		}
		return true
	}
	if pick(host) {
		object.WildcardsOf(host, pick)
	}
	return found
}

// ruleApplies tells whether a rule is for the scope. One that selects its clients is private to
// its namespace, and the mesh's default for exportTo takes no rule from its own namespace.
func (v *View) ruleApplies(r *traffic.DestinationRule) bool {
	own := r.Namespace == v.Scope.Namespace
	if len(r.Selector) > 0 {
		return own && object.Selects(r.Selector, v.labels)
	}
	return own && len(r.ExportTo) == 0 || r.ExportTo.VisibleFrom(r.Namespace, v.Scope.Namespace, v.Config.DefaultDestinationRuleExportTo)
}

// Route is the VirtualService in force for the requests for a host on the sidecars of
// the scope; nil when there is none. An exact host beats every wildcard; of
// several, those private to the scope's namespace come first, then the oldest.
// Overridden are the others of the same specificity.
func (v *View) Route(host string) (found *traffic.VirtualService, overridden []*traffic.VirtualService) {
	found, _, overridden = v.route(host, nil)
	return found, overridden
}

// ConnectionRoute is the VirtualService in force for the connections for a host: of those
// with tcp or tls rules, as Route has it.
func (v *View) ConnectionRoute(host string) *traffic.VirtualService {
	found, _, _ := v.route(host, routesConnections)
	return found
}

func routesConnections(vs *traffic.VirtualService) bool { return len(vs.Spec.Tcp)+len(vs.Spec.Tls) > 0 }

// route finds the VirtualService in force for a host among those that are meant (nil: all),
// and the host of the rule, which may be a pattern, that covers this one.
func (v *View) route(host string, meant func(*traffic.VirtualService) bool) (found *traffic.VirtualService, by string, overridden []*traffic.VirtualService) {
	pick := func(pattern string) bool {
		l, _ := v.routes.Get(pattern)
		var public []*traffic.VirtualService
		for _, vs := range l {
			if !vs.On(object.MeshGateway) || len(vs.Spec.Hosts) == 0 || meant != nil && !meant(vs) || !v.importsRule(vs) || pattern != host && !v.coversService(vs, host) || v.leavesOut(vs, host) {
				continue
			}
			if vs.Namespace == v.Scope.Namespace && vs.ExportTo.Private(vs.Namespace, v.Config.DefaultVirtualServiceExportTo) {
				overridden = append(overridden, vs)
			} else {
				public = append(public, vs)
			}
		}
		overridden = append(overridden, public...)
		if len(overridden) > 0 {
			found, by, overridden = overridden[0], pattern, overridden[1:]
			return false
		}
		return true
	}
	if pick(host) {
		object.WildcardsOf(host, pick)
	}
	return found, by, overridden
}

// coversService tells whether a wildcard of a VirtualService may stand for the
// host. The Services of a namespace are covered by its own wildcards, by those
// of the root namespace and, for the clients of its namespace, by anybody's.
func (v *View) coversService(vs *traffic.VirtualService, host string) bool {
	if vs.Namespace == v.Scope.Namespace || vs.Namespace == v.Config.RootNamespace {
		return true
	}
	h := v.Host(host)
	return h == nil || !h.Services[0].Kubernetes() || h.Services[0].Namespace == vs.Namespace
}

// Labels are the labels of the client as far as any object asks for them.
func (v *View) Labels() map[string]string { return v.labels }

// SelectedGateways are the Gateways that select the router of the scope, oldest first.
func (v *View) SelectedGateways() []*traffic.Gateway {
	var out []*traffic.Gateway
	for _, g := range v.World.Gateways() {
		if g.Selects(v.Scope.Namespace, v.labels) {
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b *traffic.Gateway) int { return object.Older(a.Created, a.Ref, b.Created, b.Ref) })
	return out
}

// RegistryOnly tells whether the proxy reaches only what the mesh knows, by
// the outboundTrafficPolicy of its Sidecar or else of the mesh.
func (v *View) RegistryOnly() bool {
	if v.Sidecar != nil && v.Sidecar.Spec.OutboundTrafficPolicy != nil {
		return v.Sidecar.Spec.OutboundTrafficPolicy.Mode == networking.OutboundTrafficPolicy_REGISTRY_ONLY
	}
	return v.Config.RegistryOnly()
}

// AddressClaims are the services of the view that declare a virtual address.
type AddressClaims []*registry.Service

// ClaimsTo are the services that declare a virtual address which does not belong to another
// namespace than theirs.
func (v *View) ClaimsTo(a netip.Addr) (out AddressClaims) {
	hosts, _ := v.vips.Get(a.String())
	holder := v.AddressHolder(a)
	for _, h := range hosts {
		if s, _ := v.Service(h); s != nil && (holder == (object.Ref{}) || holder.Namespace == s.Namespace) {
			out = append(out, s)
		}
	}
	return out
}

// AddressOwner is the host that a virtual address stands for in the view on a port:
// of all that declare both, and that the address does not belong to another
// namespace than theirs, the one from Kubernetes, else the oldest; "" when the
// view sees none.
func (v *View) AddressOwner(a netip.Addr, port uint32) string { return v.ClaimsTo(a).Owner(port) }

// Owner is the host of the service that has the address on a port; "" when there is none.
func (c AddressClaims) Owner(port uint32) string {
	var owner *registry.Service
	for _, s := range c {
		if s.Port(port) == nil {
			continue
		}
		if owner == nil || s.Kubernetes() && !owner.Kubernetes() || s.Kubernetes() == owner.Kubernetes() && object.Older(s.Created, s.Ref, owner.Created, owner.Ref) < 0 {
			owner = s
		}
	}
	if owner == nil {
		return ""
	}
	return owner.Host
}
