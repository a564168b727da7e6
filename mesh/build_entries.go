package mesh

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func (b *builder) serviceEntry(ref object.Ref, o *networkingv1.ServiceEntry) {
	old := b.seByRef[ref]
	var next *registry.ServiceEntry
	if o != nil {
		next = registry.ParseServiceEntry(o, object.Domain)
		b.seByRef[ref] = next
		b.found(ref, next.Findings)
	} else {
		delete(b.seByRef, ref)
		b.found(ref, nil)
	}
	if old != nil {
		for _, s := range old.Services {
			delete(b.declared[s.Host], ref)
			if len(b.declared[s.Host]) == 0 {
				delete(b.declared, s.Host)
			}
			b.touch(s.Host, TouchHost)
			b.foundAs(ref, "together "+s.Host, nil)
			b.foundAs(ref, "named "+s.Host, nil)
			b.foundAs(ref, "ports "+s.Host, nil)
			b.foundAs(ref, "endpoints "+s.Host, nil)
		}
	}
	if next != nil {
		for _, s := range next.Services {
			if b.declared[s.Host] == nil {
				b.declared[s.Host] = map[object.Ref]*registry.ServiceEntry{}
			}
			b.declared[s.Host][ref] = next
			b.touch(s.Host, TouchHost)
		}
	}
	b.selectEntries(old, next)
	b.targetsIn.Add(ref.Namespace)
	var asks []traffic.Ask
	if next != nil && len(next.Services) > 0 {
		asks = asksOfService(next.Services[0])
	}
	b.setAsks(ref, asks)
}

// selectEntries keeps the index of services by what they select for
// ServiceEntries with a workloadSelector.
func (b *builder) selectEntries(old, next *registry.ServiceEntry) {
	for _, se := range []*registry.ServiceEntry{old, next} {
		if se == nil || len(se.Selector) == 0 {
			continue
		}
		for _, s := range se.Services {
			if se == next {
				b.select_(nil, s)
			} else {
				b.select_(s, nil)
			}
		}
	}
}

func (b *builder) workloadEntry(ref object.Ref, o *networkingv1.WorkloadEntry) {
	key := string(object.KindWorkloadEntry) + "/" + ref.Namespace + "/" + ref.Name
	old := b.entries[ref.Namespace][ref.Name]
	var next *registry.Workload
	if o != nil {
		next = registry.ParseWorkloadEntry(&o.Spec, ref, o.Labels, o.CreationTimestamp.Time)
		put(b.entries, ref.Namespace, ref.Name, next)
	} else {
		remove(b.entries, ref.Namespace, ref.Name)
	}
	b.workload(key, old, next)
}

// addEntry adds a ServiceEntry's service to the host; ports of an entry that
// is otherwise like an older one of the same namespace are merged into that.
func (b *builder) addEntry(h *registry.Host, s *registry.Service, endpoints []registry.Endpoint) {
	b.foundAs(s.Ref, "named "+h.Name, nil)
	b.foundAs(s.Ref, "ports "+h.Name, nil)
	b.foundAs(s.Ref, "endpoints "+h.Name, nil)
	for i, x := range h.Services {
		if x.Kubernetes() {
			where := "clients of other namespaces find the Service by it: use another host"
			if x.Namespace == s.Namespace {
				where = "this entry does nothing for it: use another host, or give the Service these ports and endpoints"
			}
			b.foundAs(s.Ref, "named "+h.Name, []object.Finding{{Object: s.Ref, Field: "spec.hosts", Code: object.CodeConflict, Winner: x.Ref,
				Message: fmt.Sprintf("host %s is that of %s; %s", h.Name, x.Ref, where)}})
		}
		if x.Kubernetes() || x.Namespace != s.Namespace {
			continue
		}
		if unlike(x, s) != "" {
			b.foundAs(s.Ref, "together "+h.Name, []object.Finding{{Object: s.Ref, Field: "spec.hosts", Code: object.CodeConflict, Winner: x.Ref, Message: fmt.Sprintf(
				"%s is older and declares host %s too, with another %s; this entry is left out for the host: make them alike, so that their ports and endpoints are taken together", x.Ref, h.Name, unlike(x, s))}})
			return // the older one of the namespace counts
		}
		merged := *x
		merged.Ports = slices.Clone(x.Ports)
		merged.More = append(slices.Clone(x.More), s.Ref)
		var lost []object.Finding
		for _, p := range s.Ports {
			switch there := merged.Port(p.Number); {
			case there == nil:
				merged.Ports = append(merged.Ports, p)
			case there.Protocol != p.Protocol:
				lost = append(lost, object.Finding{Object: s.Ref, Field: "spec.ports[" + p.Name + "].protocol", Code: object.CodeConflict, Winner: x.Ref, Message: fmt.Sprintf(
					"%s is older and has port %d of host %s with protocol %s, and this entry with %s; the older one's is in force: give both the same, or use another port", x.Ref, p.Number, h.Name, there.Protocol, p.Protocol)})
			}
		}
		b.foundAs(s.Ref, "ports "+h.Name, lost)
		merged.Addresses = together(x.Addresses, s.Addresses)
		if len(merged.Ports) > bounds.MaxEntryPorts || len(merged.Addresses) > bounds.MaxEntryAddresses || len(merged.Ports)*(len(h.Endpoints[i].Endpoints)+len(endpoints)) > bounds.MaxEntryEndpoints {
			b.foundAs(s.Ref, "together "+h.Name, []object.Finding{{Object: s.Ref, Field: "spec.hosts", Code: object.CodeInvalid, Winner: x.Ref, Message: fmt.Sprintf(
				"with this entry, those of the namespace for host %s have more than %d ports, %d addresses or %d endpoints of ports together; it is left out for the host: declare fewer", h.Name, bounds.MaxEntryPorts, bounds.MaxEntryAddresses, bounds.MaxEntryEndpoints)}})
			return
		}
		b.foundAs(s.Ref, "together "+h.Name, nil)
		list := realign(h.Endpoints[i].Endpoints, x, &merged)
		list = append(list, realign(endpoints, s, &merged)...)
		h.Services[i], h.Endpoints[i] = &merged, b.endpointSet(&merged, h.Name, list, 0)
		return
	}
	b.foundAs(s.Ref, "together "+h.Name, nil)
	h.Add(s, b.endpointSet(s, h.Name, endpoints, 0))
}

// unlike says in what two services of a host differ that are therefore not one; "" when
// they may be.
func unlike(a, b *registry.Service) string {
	switch {
	case a.Resolution != b.Resolution:
		return "resolution"
	case a.External != b.External:
		return "location"
	case !maps.Equal(a.Labels, b.Labels):
		return "metadata.labels"
	case !maps.Equal(a.Selector, b.Selector):
		return "workloadSelector"
	case !a.ExportTo.Equal(b.ExportTo):
		return "exportTo"
	}
	return ""
}

// together are the addresses of both lists, each once.
func together(a, b []netip.Prefix) []netip.Prefix {
	if len(b) == 0 {
		return a
	}
	known := make(map[netip.Prefix]struct{}, len(a)+len(b))
	out := make([]netip.Prefix, 0, len(a)+len(b))
	for _, p := range slices.Concat(a, b) {
		if _, have := known[p]; !have {
			known[p] = struct{}{}
			out = append(out, p)
		}
	}
	return out
}

// realign maps endpoints of one service to the ports of another that has at
// least the same ports.
func realign(list []registry.Endpoint, from, to *registry.Service) []registry.Endpoint {
	out := slices.Clone(list)
	for i, e := range out {
		ports := make([]uint32, len(to.Ports))
		for j, p := range from.Ports {
			if k := to.PortIndex(p.Number); k >= 0 && to.Ports[k].Name == p.Name {
				ports[k] = e.Ports[j]
			}
		}
		out[i].Ports = ports
	}
	return out
}

// entryEndpoints are the endpoints of a ServiceEntry's service.
func (b *builder) entryEndpoints(se *registry.ServiceEntry, s *registry.Service) []registry.Endpoint {
	var out []registry.Endpoint
	add := func(w *registry.Workload) {
		if e, ok := registry.EndpointOfEntry(s, w); ok {
			out = append(out, e)
		}
	}
	if se.Selector != nil {
		if len(se.Selector) == 0 {
			return nil
		}
		b.lookAround(s.Namespace)
		for _, w := range b.entries[s.Namespace] {
			if object.Selects(se.Selector, w.Labels) {
				add(w)
			}
		}
		for _, w := range b.pods[s.Namespace] {
			if !w.Terminating && object.Selects(se.Selector, w.Labels) {
				add(w)
			}
		}
		return out
	}
	for _, e := range se.Inline {
		add(registry.ParseWorkloadEntry(e, se.Ref, nil, se.Created))
	}
	if len(out) == 0 && s.ByItsName() {
		add(&registry.Workload{Ref: se.Ref, Namespace: s.Namespace, Name: s.Host, Owner: s.Host, Hostname: s.Host, Ready: true, ServiceAccount: "default"})
	}
	return out
}
