package mesh

import (
	"maps"
	"slices"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

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
			b.touch(s.Host, TouchHost, cause{ref.Namespace, ref.Kind})
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
			b.touch(s.Host, TouchHost, cause{ref.Namespace, ref.Kind})
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
