package gatewayapi

import (
	"iter"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Index is all objects of the Gateway API. Who reads it has a copy that never
// changes; Builder makes the next one.
type Index struct {
	declared persist.Map[string, *Gateway]     // as they were written, by "namespace/name"
	gateways persist.Map[string, *Gateway]     // with the listeners of their ListenerSets, by "namespace/name"
	sets     persist.Map[string, *ListenerSet] // by "namespace/name"
	setsOf   persist.Map[string, *ListenerSet] // by ListenerSet.key, those of one Gateway side by side
	routes   persist.Map[string, *Route]       // by Ref.String
	routesOf persist.Map[string, []*Route]     // by the Ref.String of each parent, in order of precedence
	routesTo persist.Map[string, []*Route]     // by "namespace/name" of each Service that they lead to, in the same order
	classes  map[string]*class                 // by name
	grants   map[string][]*referenceGrant      // by namespace

	policies   persist.Map[string, *BackendTLSPolicy]   // by "namespace/name"
	policiesOf persist.Map[string, []*BackendTLSPolicy] // by "namespace/name" of each Service that they name, oldest first
	bundles    persist.Map[string, *bundle]             // ConfigMaps that have been read, by "namespace/name"
	backendTLS persist.Map[string, serviceTLS]          // what the policies come to, by "namespace/name" of the Service
	// closed are policies that have nobody trusted, by namespace and by "namespace/name", with
	// the youngest for which there was room.
	closed persist.Map[string, map[string]object.Ref]
}

// BackendTLSPolicy finds a policy; nil when there is none.
func (x *Index) BackendTLSPolicy(ref object.Ref) *BackendTLSPolicy {
	p, _ := x.policies.Get(ref.Namespace + "/" + ref.Name)
	return p
}

// Gateways are all Gateways, for whatever controller, in the order of
// "namespace/name".
func (x *Index) Gateways() iter.Seq[*Gateway] {
	return func(yield func(*Gateway) bool) {
		for _, g := range x.gateways.All() {
			if !yield(g) {
				return
			}
		}
	}
}

// Gateway finds a Gateway for whatever controller; nil when there is none.
func (x *Index) Gateway(ref object.Ref) *Gateway {
	if ref.Kind != object.KindKubeGateway {
		return nil
	}
	g, _ := x.gateways.Get(ref.Namespace + "/" + ref.Name)
	return g
}

// Route finds a route; nil when there is none.
func (x *Index) Route(ref object.Ref) *Route {
	r, _ := x.routes.Get(ref.String())
	return r
}

// RoutesOf are the routes that name a Gateway or Service as their parent, in
// order of precedence.
func (x *Index) RoutesOf(parent object.Ref) []*Route {
	l, _ := x.routesOf.Get(parent.String())
	return l
}

// LacksClass tells whether there are GatewayClasses, and none of the name.
func (x *Index) LacksClass(name string) bool { return len(x.classes) > 0 && x.classes[name] == nil }

// View answers questions about the Gateway API that take more of the mesh: all
// that it asks of the rest is here. It never changes.
type View struct {
	*Index
	Hosts      persist.Map[string, *registry.Host]   // by name
	Secrets    persist.Map[string, *registry.Secret] // by "namespace/name"
	Namespaces map[string]map[string]string          // their labels by name
	// Guarded tells whether a policy that restricts is attached to a Gateway: only pods
	// of its own namespace can enforce that.
	Guarded func(gateway object.Ref) bool
}

// host finds a host by its exact name; nil when nothing declares it.
func (w *View) host(name string) *registry.Host {
	h, _ := w.Hosts.Get(name)
	return h
}
