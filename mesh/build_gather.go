package mesh

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// gathering is all that declares one host, before it becomes a record: how many endpoints
// each service may have is asked once all are known.
type gathering struct {
	host     string
	services []*gathered
	entries  map[string]*gathered // those of ServiceEntries by namespace
}

// gathered is one service of a host, of a Kubernetes Service or of all ServiceEntries of a
// namespace that are alike.
type gathered struct {
	service *registry.Service
	parts   []given // by object
	count   int     // endpoints of all parts
	unread  int     // so many more were not looked at
	known   map[netip.Prefix]struct{}
}

// given is what one object gives to a service.
type given struct {
	service   *registry.Service
	endpoints []registry.Endpoint
}

// add takes in a service that nothing is merged into yet.
func (h *gathering) add(s *registry.Service, endpoints []registry.Endpoint, unread int) *gathered {
	x := &gathered{service: s, parts: []given{{s, endpoints}}, count: len(endpoints), unread: unread}
	h.services = append(h.services, x)
	return x
}

// merge takes more ports and addresses in, and the endpoints of the service that has them.
func (x *gathered) merge(s *registry.Service, endpoints []registry.Endpoint, ports []registry.Port, addresses []netip.Prefix) {
	if len(x.parts) == 1 { // so far it is the object's own, which others hold
		own := *x.service
		own.Ports, own.More, own.Addresses = slices.Clone(own.Ports), slices.Clone(own.More), slices.Clone(own.Addresses)
		x.service = &own
	}
	x.service.Ports = append(x.service.Ports, ports...)
	x.service.More = append(x.service.More, s.Ref)
	x.service.Addresses = append(x.service.Addresses, addresses...)
	for _, a := range addresses {
		x.known[a] = struct{}{}
	}
	x.parts = append(x.parts, given{s, endpoints})
	x.count += len(endpoints)
}

// fresh are the addresses of the list that the service does not have, each once.
func (x *gathered) fresh(list []netip.Prefix) (out []netip.Prefix) {
	if len(list) == 0 {
		return nil
	}
	if x.known == nil {
		x.known = map[netip.Prefix]struct{}{}
		for _, a := range x.service.Addresses {
			x.known[a] = struct{}{}
		}
	}
	seen := map[netip.Prefix]struct{}{}
	for _, a := range list {
		_, have := x.known[a]
		_, twice := seen[a]
		if !have && !twice {
			seen[a] = struct{}{}
			out = append(out, a)
		}
	}
	return out
}

// endpoints are those of all parts, with the ports of the service.
func (x *gathered) endpoints() []registry.Endpoint {
	if len(x.parts) == 1 {
		return x.parts[0].endpoints
	}
	out := make([]registry.Endpoint, 0, x.count)
	for _, p := range x.parts {
		out = append(out, realign(p.endpoints, p.service, x.service)...)
	}
	return out
}

// addEntry adds a ServiceEntry's service to the host; ports of an entry that
// is otherwise like an older one of the same namespace are merged into that.
func (b *builder) addEntry(h *gathering, s *registry.Service, endpoints []registry.Endpoint) {
	var named, together, lost []object.Finding
	if first := h.services; len(first) > 0 && first[0].service.Kubernetes() {
		x := first[0].service
		where := "clients of other namespaces find the Service by it: use another host"
		if x.Namespace == s.Namespace {
			where = "this entry does nothing for it: use another host, or give the Service these ports and endpoints"
		}
		named = []object.Finding{{Object: s.Ref, Field: "spec.hosts", Code: object.CodeConflict, Winner: x.Ref,
			Message: fmt.Sprintf("host %s is that of %s; %s", h.host, x.Ref, where)}}
	}
	if x := h.entries[s.Namespace]; x == nil {
		h.entries[s.Namespace] = h.add(s, endpoints, 0)
	} else {
		together, lost = h.join(x, s, endpoints)
		b.foundAs(s.Ref, "endpoints "+h.host, nil) // they are told at the oldest
	}
	b.foundAs(s.Ref, "named "+h.host, named)
	b.foundAs(s.Ref, "together "+h.host, together)
	b.foundAs(s.Ref, "ports "+h.host, lost)
}

// join merges a ServiceEntry's service into that of older ones of its namespace; together
// says why it is left out, and lost which of its ports are.
func (h *gathering) join(x *gathered, s *registry.Service, endpoints []registry.Endpoint) (together, lost []object.Finding) {
	of := x.service
	if unlike(of, s) != "" { // the older one of the namespace counts
		return []object.Finding{{Object: s.Ref, Field: "spec.hosts", Code: object.CodeConflict, Winner: of.Ref, Message: fmt.Sprintf(
			"%s is older and declares host %s too, with another %s; this entry is left out for the host: make them alike, so that their ports and endpoints are taken together", of.Ref, h.host, unlike(of, s))}}, nil
	}
	var ports []registry.Port
	for _, p := range s.Ports {
		switch there := of.Port(p.Number); {
		case there == nil:
			ports = append(ports, p)
		case there.Protocol != p.Protocol:
			lost = append(lost, object.Finding{Object: s.Ref, Field: "spec.ports[" + p.Name + "].protocol", Code: object.CodeConflict, Winner: of.Ref, Message: fmt.Sprintf(
				"%s is older and has port %d of host %s with protocol %s, and this entry with %s; the older one's is in force: give both the same, or use another port", of.Ref, p.Number, h.host, there.Protocol, p.Protocol)})
		}
	}
	addresses := x.fresh(s.Addresses)
	all := len(of.Ports) + len(ports)
	if all > bounds.MaxEntryPorts || len(of.Addresses)+len(addresses) > bounds.MaxEntryAddresses || all*(x.count+len(endpoints)) > bounds.MaxEntryEndpoints {
		return []object.Finding{{Object: s.Ref, Field: "spec.hosts", Code: object.CodeInvalid, Winner: of.Ref, Message: fmt.Sprintf(
			"with this entry, those of the namespace for host %s have more than %d ports, %d addresses or %d endpoints of ports together; it is left out for the host: declare fewer", h.host, bounds.MaxEntryPorts, bounds.MaxEntryAddresses, bounds.MaxEntryEndpoints)}}, lost
	}
	x.merge(s, endpoints, ports, addresses)
	return nil, lost
}

// hostOf makes the record of what was gathered, with as many endpoints as the namespaces
// may have; nil when nothing declares the host.
func (b *builder) hostOf(h *gathering) *registry.Host {
	if len(h.services) == 0 {
		return nil
	}
	for _, x := range h.services {
		b.wantEndpoints(x.service, x.wanted())
	}
	left := map[string]int{} // of the share, by namespace
	for ns := range b.shares.wants {
		left[ns] = b.shareOf(ns, h.host)
	}
	out := &registry.Host{Name: h.host}
	for _, x := range h.services {
		ns := x.service.Namespace
		may := left[ns]
		got := min(x.wanted(), may)
		left[ns] -= got
		b.getEndpoints(ns, got)
		out.Add(x.service, b.endpointSet(x, h.host, may))
	}
	return out
}

// wanted is how many endpoints of clusters the service asks for.
func (x *gathered) wanted() int {
	return min(mostOf(x.service), (x.count+x.unread)*max(1, len(x.service.Ports)))
}
