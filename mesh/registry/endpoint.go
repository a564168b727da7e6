package registry

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Endpoint is one workload as an endpoint of one service.
type Endpoint struct {
	Workload *Workload
	Address  string   // IP, DNS name or unix path
	Ports    []uint32 // by index of Service.Ports; 0: the workload does not have the port
	Healthy  bool     // false: known and not ready
	Draining bool     // it ends: for sessions that began there, and nobody else
	Weight   uint32   // 0: not given
	Locality Locality
}

// EndpointSet is all endpoints of one service in the order of their address.
// It never changes. Equal sets of identities have the equal Identities text.
type EndpointSet struct {
	Endpoints []Endpoint
	// Identities is the sorted, comma-joined service accounts
	// ("ns/NAMESPACE/sa/ACCOUNT") of the endpoints that take mutual TLS; with
	// AnyAccount in place of accounts when these are more than MaxIdentities.
	Identities string
	// MutualTLS tells whether there are endpoints and all of them take the
	// mesh's mutual TLS.
	MutualTLS bool
	// Shown is what gateways and sidecars of other namespaces get in place of the
	// set; nil: the set itself.
	Shown *EndpointSet
}

// NoEndpoints is the set of a service without endpoints.
var NoEndpoints = &EndpointSet{}

// NewEndpointSet makes a set of endpoints, each address with the same ports once.
func NewEndpointSet(list []Endpoint) *EndpointSet {
	if len(list) == 0 {
		return NoEndpoints
	}
	slices.SortStableFunc(list, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), slices.Compare(a.Ports, b.Ports), object.Older(a.Workload.Created, a.Workload.Ref, b.Workload.Created, b.Workload.Ref))
	})
	list = slices.CompactFunc(list, func(a, b Endpoint) bool { return a.Address == b.Address && slices.Equal(a.Ports, b.Ports) })
	set := &EndpointSet{Endpoints: list, MutualTLS: true}
	ids := map[string]struct{}{}
	for _, e := range list {
		if e.Workload.MutualTLS {
			ids["ns/"+e.Workload.Namespace+"/sa/"+e.Workload.ServiceAccount] = struct{}{}
		} else {
			set.MutualTLS = false
		}
	}
	set.Identities = joined(ids)
	return set
}

// MaxIdentities is how many bytes the service accounts of a service's endpoints may take. All
// its clusters, and those of its subsets, say them again.
const MaxIdentities = 4 << 10

// AnyAccount ends an identity that stands for all service accounts of a namespace.
const AnyAccount = "/sa/*"

// joined are the identities in their order, or when they are too many their namespaces.
func joined(ids map[string]struct{}) string {
	size := 0
	for id := range ids {
		size += len(id)
	}
	if size <= MaxIdentities {
		return strings.Join(slices.Sorted(maps.Keys(ids)), ",")
	}
	namespaces := map[string]struct{}{}
	for id := range ids {
		namespace, _, _ := strings.Cut(id, "/sa/")
		namespaces[namespace+AnyAccount] = struct{}{}
	}
	return strings.Join(slices.Sorted(maps.Keys(namespaces)), ",")
}

// Alike tells whether two sets differ at most in which endpoints there are, and
// not in what all of them have in common.
func (s *EndpointSet) Alike(o *EndpointSet) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.Identities == o.Identities && s.MutualTLS == o.MutualTLS && s.Shown.Alike(o.Shown)
}

// Equal tells whether two sets lead to the same configuration.
func (s *EndpointSet) Equal(o *EndpointSet) bool {
	return s == o || s != nil && o != nil && s.Shown.Equal(o.Shown) && slices.EqualFunc(s.Endpoints, o.Endpoints, func(a, b Endpoint) bool {
		return a.Workload == b.Workload && a.Address == b.Address && a.Healthy == b.Healthy && a.Draining == b.Draining && a.Weight == b.Weight && a.Locality == b.Locality && slices.Equal(a.Ports, b.Ports)
	})
}

// EndpointOfPod is the workload as an endpoint of the Kubernetes service; false
// when it is none by the rules of Kubernetes' EndpointSlice controller.
func EndpointOfPod(s *Service, w *Workload) (Endpoint, bool) {
	if len(w.Addresses) == 0 {
		return Endpoint{}, false
	}
	e := Endpoint{Workload: w, Address: serviceAddress(s, w), Healthy: w.Ready || s.PublishNotReady, Locality: w.Locality}
	if w.Terminating && !s.PublishNotReady {
		if !s.keeps() || !w.Ready {
			return e, false
		}
		e.Draining = true
	}
	any := len(s.Ports) == 0
	e.Ports = TargetPorts(s, w)
	return e, any || slices.ContainsFunc(e.Ports, func(p uint32) bool { return p != 0 })
}

// serviceAddress is the workload's address of the service's first family.
func serviceAddress(s *Service, w *Workload) string {
	if len(s.Addresses) > 0 {
		v4 := s.Addresses[0].Addr().Is4()
		for _, a := range w.Addresses {
			if a.Is4() == v4 {
				return a.String()
			}
		}
	}
	return w.Addresses[0].String()
}

// TargetPorts are where the ports of the service lead on the workload, by index of
// Service.Ports; 0: nowhere.
func TargetPorts(s *Service, w *Workload) []uint32 {
	out := make([]uint32, len(s.Ports))
	for i, p := range s.Ports {
		out[i] = TargetPort(p, w)
	}
	return out
}

// TargetPort is where the port of a service leads on the workload: of a
// WorkloadEntry its own port of that name wins over the service's targetPort,
// which wins over the port's number.
func TargetPort(p Port, w *Workload) uint32 {
	if w.Ref.Kind != object.KindPod && w.Ports[p.Name] != 0 {
		if w.Ports[p.Name] > object.MaxPort { // no such port
			return 0
		}
		return w.Ports[p.Name]
	}
	switch {
	case p.TargetName != "":
		return w.Ports[p.TargetName]
	case p.Target != 0:
		return p.Target
	}
	return p.Number
}

// EndpointsOfSlices reads the EndpointSlices of a service without a selector. Of more
// endpoints than there is room for, the healthy ones come first, then those of the slices
// that come first in the list; a slice that is begun is read to its end. unread is how many
// endpoints are left. byIP finds the Pod behind an address; nil when there is none.
func EndpointsOfSlices(s *Service, list []*discoveryv1.EndpointSlice, room int, byIP func(ns, pod, ip string) *Workload) (out []Endpoint, unread int) {
	healthy, others := make([]int, len(list)), make([]int, len(list))
	all := 0
	for i, sl := range list {
		healthy[i], others[i] = countSlice(s, sl)
		all += healthy[i] + others[i]
	}
	healthySlices, room := fitting(healthy, room)
	otherSlices, _ := fitting(others, room)
	for i, sl := range list[:max(healthySlices, otherSlices)] {
		ports := slicePorts(s, sl)
		for _, ep := range sl.Endpoints {
			a, ready, ok := sliceAddress(sl, ep)
			well := ready || s.PublishNotReady
			if !ok || well && i >= healthySlices || !well && i >= otherSlices {
				continue
			}
			pod := ""
			if ep.TargetRef != nil && ep.TargetRef.Kind == "Pod" {
				pod = ep.TargetRef.Name
			}
			w := byIP(s.Namespace, pod, a.String())
			if w == nil {
				w = &Workload{Ref: s.Ref, Namespace: s.Namespace, Name: s.Name, Owner: s.Name, Addresses: []netip.Addr{a}, Ready: ready, ServiceAccount: "default"}
				w.Locality.Zone = ZoneOf(ep)
				if ep.NodeName != nil {
					w.Node = *ep.NodeName
				}
			}
			out = append(out, Endpoint{Workload: w, Address: a.String(), Ports: ports, Healthy: well, Locality: w.Locality})
		}
	}
	return out, all - len(out)
}

// fitting is how many slices, of which each has so many endpoints, are read until there is no
// more room, and the room that is left.
func fitting(counts []int, room int) (n, left int) {
	for n < len(counts) && room > 0 {
		room -= counts[n]
		n++
	}
	return n, max(0, room)
}

// countSlice says how many endpoints the slice gives the service.
func countSlice(s *Service, sl *discoveryv1.EndpointSlice) (healthy, others int) {
	for _, ep := range sl.Endpoints {
		switch _, ready, ok := sliceAddress(sl, ep); {
		case !ok:
		case ready || s.PublishNotReady:
			healthy++
		default:
			others++
		}
	}
	return healthy, others
}

// sliceAddress is the address of an entry of a slice, and whether it is ready; not ok when it
// is no endpoint, since it ends or has no address that is an IP.
func sliceAddress(sl *discoveryv1.EndpointSlice, ep discoveryv1.Endpoint) (a netip.Addr, ready, ok bool) {
	ready = ep.Conditions.Ready == nil || *ep.Conditions.Ready
	ends := ep.Conditions.Terminating != nil && *ep.Conditions.Terminating && !ready
	if sl.AddressType == discoveryv1.AddressTypeFQDN || ends || len(ep.Addresses) == 0 {
		return a, ready, false
	}
	a, err := netip.ParseAddr(ep.Addresses[0])
	return a, ready, err == nil
}

// slicePorts are where the ports of the service lead by the slice, by index of Service.Ports.
func slicePorts(s *Service, sl *discoveryv1.EndpointSlice) []uint32 {
	ports := make([]uint32, len(s.Ports))
	for i, p := range s.Ports {
		for _, sp := range sl.Ports {
			if sp.Port != nil && *sp.Port > 0 && *sp.Port <= object.MaxPort && (sp.Name == nil && p.Name == "" || sp.Name != nil && *sp.Name == p.Name || len(s.Ports) == 1 && len(sl.Ports) == 1) {
				ports[i] = uint32(*sp.Port)
			}
		}
	}
	return ports
}

// At are the endpoints with the address.
func (s *EndpointSet) At(address string) []Endpoint {
	from, _ := slices.BinarySearchFunc(s.Endpoints, address, func(e Endpoint, a string) int { return strings.Compare(e.Address, a) })
	to := from
	for to < len(s.Endpoints) && s.Endpoints[to].Address == address {
		to++
	}
	return s.Endpoints[from:to]
}

// maxZone is how long the name of a zone may be: every cluster that an endpoint is in says
// it again, and the API server does not look at it.
const maxZone = 253

// ZoneOf is the zone that an EndpointSlice gives for an endpoint; "" when it gives none, or
// none that is a name.
func ZoneOf(e discoveryv1.Endpoint) string {
	if e.Zone == nil || len(*e.Zone) > maxZone {
		return ""
	}
	return *e.Zone
}
