package mesh

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// destination is what a route names, with its host in full. Port 0 and an empty
// subset are what routes leave out.
type destination struct {
	host   string
	port   uint32
	subset string
}

// client is whose view of the mesh decides whether a destination exists: the
// sidecars of a namespace, or the gateways there.
type client struct {
	role      Role
	namespace string
}

func (c client) scope() Scope { return Scope{Role: c.role, Namespace: c.namespace} }

// anyone stands for the sidecars of all namespaces.
var anyone = client{role: RoleSidecar, namespace: "*"}

// lead is a destination that a route in force names, as a client looks it up.
type lead struct {
	destination
	client
}

// leads are those of all routes in force, found by what they name: whether a
// host, port or subset that goes is still named is asked of what goes, so that
// nobody pays for the number of routes that others point at a host.
type leads struct {
	of      map[any][]lead            // by owner: a *VirtualService in the indexes, or the name of a Gateway
	count   map[lead]int              // of owners, also for anyone
	clients map[string]map[client]int // by host: who looks it up
	freed   map[string]struct{}       // hosts that something stopped to name in this pass
}

func newLeads() leads {
	return leads{of: map[any][]lead{}, count: map[lead]int{}, clients: map[string]map[client]int{}, freed: map[string]struct{}{}}
}

// set replaces the leads of an owner; they may be given twice.
func (l *leads) set(owner any, next []lead) {
	for _, x := range l.of[owner] {
		l.add(x, -1)
		l.freed[x.host] = struct{}{}
	}
	delete(l.of, owner)
	if len(next) == 0 {
		return
	}
	once := make(map[lead]struct{}, len(next))
	kept := next[:0:0]
	for _, x := range next {
		if _, done := once[x]; !done {
			once[x] = struct{}{}
			kept = append(kept, x)
			l.add(x, 1)
		}
	}
	l.of[owner] = kept
}

func (l *leads) add(x lead, n int) {
	bump(l.count, x, n)
	if x.role == RoleSidecar {
		bump(l.count, lead{x.destination, anyone}, n)
	}
	if l.clients[x.host] == nil {
		l.clients[x.host] = map[client]int{}
	}
	if bump(l.clients[x.host], x.client, n); len(l.clients[x.host]) == 0 {
		delete(l.clients, x.host)
	}
}

func bump[K comparable](m map[K]int, key K, n int) {
	if m[key] += n; m[key] == 0 {
		delete(m, key)
	}
}

// has tells whether a route in force names the destination for the client.
func (l *leads) has(d destination, c client) bool { return l.count[lead{d, c}] > 0 }

// mostGateways is for how many Gateways of other namespaces than its own it is
// looked up whether the destinations of a VirtualService exist.
const mostGateways = 4

// clientsOf are those of a VirtualService: of its sidecars the ones of its own
// namespace stand for all; its gateways' pods are mostly where the Gateway is.
func (w *World) clientsOf(v *traffic.VirtualService) (sidecar []client, routers []client) {
	if v.On(object.MeshGateway) {
		sidecar = []client{{RoleSidecar, v.Namespace}}
	}
	seen := map[string]bool{v.Namespace: true}
	for _, name := range v.Gateways {
		if name == object.MeshGateway {
			continue
		}
		if len(routers) == 0 {
			routers = []client{{RoleRouter, v.Namespace}}
		}
		if g := w.Gateway(name); g != nil && !seen[g.Namespace] && len(seen) <= mostGateways {
			seen[g.Namespace] = true
			routers = append(routers, client{RoleRouter, g.Namespace})
		}
	}
	return sidecar, routers
}

// leadsOf are those of a VirtualService for the clients.
func leadsOf(v *traffic.VirtualService, clients []client) (out []lead) {
	for _, d := range destinationsOf(v) {
		for _, c := range clients {
			out = append(out, lead{d, c})
		}
	}
	return out
}

// destinationsOf are what the routes of a VirtualService name.
func destinationsOf(v *traffic.VirtualService) (out []destination) {
	traffic.EachDestination(v.Spec, func(d *networking.Destination) {
		if host := object.ResolveHost(d.GetHost(), v.Namespace, object.Domain); host != "" && host != gatewayapi.NoBackend {
			out = append(out, destination{host, d.GetPort().GetNumber(), d.GetSubset()})
		}
	})
	return out
}

// leadsOfGateway are those of the routes that a Gateway of another kind than
// networking.istio.io's brings along, for gateway pods of the namespace.
func leadsOfGateway(g *traffic.Gateway, namespace string) (out []lead) {
	seen := map[*traffic.VirtualService]bool{}
	for _, s := range g.Servers {
		for _, bound := range s.Bound {
			if !seen[bound.VirtualService] {
				seen[bound.VirtualService] = true
				out = append(out, leadsOf(bound.VirtualService, []client{{RoleRouter, namespace}})...)
			}
		}
	}
	return out
}

// reach is where a host leads in a view, through the names that stand for it.
type reach struct {
	service   *registry.Service // nil: nowhere
	endpoints *registry.EndpointSet
	rule      *traffic.DestinationRule
}

// mostAliases is how many ExternalNames in a row are followed, which also ends
// circles of them.
const mostAliases = 8

func (v *View) reach(host string) reach {
	s, e := v.Service(host)
	for n := 0; s != nil && s.Resolution == registry.ResolutionAlias; n++ {
		if s.Alias == "" || n == mostAliases {
			return reach{endpoints: registry.NoEndpoints}
		}
		s, e = v.Service(s.Alias)
	}
	return reach{s, e, v.Rule(s)}
}

// leads tells whether the port (0: any) and the subset ("": all) are there.
func (r reach) leads(port uint32, subset string) bool {
	return r.service != nil && (port == 0 || r.service.Port(port) != nil) && (subset == "" || r.rule.Subset(subset) != nil)
}

// sights are the views of clients on one World.
type sights struct {
	world *World
	views map[client]*View
}

func newSights(w *World) *sights { return &sights{w, map[client]*View{}} }

func (s *sights) reach(c client, host string) reach {
	v := s.views[c]
	if v == nil {
		v = s.world.View(c.scope())
		s.views[c] = v
	}
	return v.reach(host)
}

// there tells whether the destination exists for any of the clients.
func (s *sights) there(d destination, clients []client) bool {
	for _, c := range clients {
		if s.reach(c, d.host).leads(d.port, d.subset) {
			return true
		}
	}
	return false
}

// served tells whether requests to the destination reach anything from any of
// the clients: it exists, or is kept.
func (s *sights) served(d destination, clients []client) bool {
	if s.there(d, clients) {
		return true
	}
	for _, c := range clients {
		if s.views[c].Kept(d.host).Find(d.port, d.subset) != nil {
			return true
		}
	}
	return false
}
