package mesh

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// settleHosts makes the records of the hosts that were touched, and marks
// what depends on them.
func (b *builder) settleHosts() {
	for range maxLeads { // records may follow from those of other hosts
		touched := slices.Sorted(maps.Keys(b.touched))
		clear(b.touched)
		for _, name := range touched {
			b.settleHost(name)
		}
	}
	clear(b.touched)
}

func (b *builder) settleHost(name string) {
	old := b.world.Host(name)
	next := b.record(name)
	b.withhold(name, next)
	t := compareHosts(old, next)
	b.coverHost(name, old, next)
	b.ruleHost(name, old, next)
	b.indexAddresses(old, next)
	b.indexListed(old, next)
	if next == nil {
		b.world.hosts = b.world.hosts.Delete(name)
	} else if t != TouchNone {
		b.world.hosts = b.world.hosts.Set(name, next)
	}
	if t == TouchNone {
		return
	}
	b.touchUsers(name)
	if t == TouchHost {
		b.noteHeadless(old, next)
		b.dirtyHost(name)
	} else {
		b.dirty.host(name, t)
	}
}

// record gathers all services that declare the host.
func (b *builder) record(name string) *Host {
	h := &Host{Name: name}
	if base, ok := strings.CutSuffix(name, ".svc."+object.Domain); ok {
		if svc, ns, ok := strings.Cut(base, "."); ok {
			if s := b.services[ns][svc]; s != nil {
				h.add(s, newEndpointSet(b.serviceEndpoints(s)))
			}
		}
	}
	entries := slices.SortedFunc(maps.Values(b.declared[name]), func(a, c *serviceEntry) int {
		return object.Older(a.created, a.ref, c.created, c.ref)
	})
	for _, se := range entries {
		i := slices.IndexFunc(se.services, func(s *Service) bool { return s.Host == name })
		b.addEntry(h, se.services[i], b.entryEndpoints(se, se.services[i]))
	}
	if len(h.Services) == 0 {
		return nil
	}
	return h
}

func (h *Host) add(s *Service, e *EndpointSet) {
	h.Services = append(h.Services, s)
	h.Endpoints = append(h.Endpoints, e)
}

// serviceEndpoints are the endpoints of a Kubernetes Service.
func (b *builder) serviceEndpoints(s *Service) []Endpoint {
	var out []Endpoint
	if s.Resolution == ResolutionAlias {
		return nil
	}
	if len(s.Selector) == 0 {
		list := slices.SortedFunc(maps.Values(b.slices[s.Namespace][s.Name]), func(x, y *discoveryv1.EndpointSlice) int { return cmp.Compare(x.Name, y.Name) })
		return sliceEndpoints(s, list, b.podAt)
	}
	for _, w := range b.pods[s.Namespace] {
		if !object.Selects(s.Selector, w.Labels) {
			continue
		}
		if e, ok := podEndpoint(s, w); ok {
			out = append(out, e)
		}
	}
	for _, w := range b.entries[s.Namespace] {
		if !object.Selects(s.Selector, w.Labels) {
			continue
		}
		if e, ok := entryEndpoint(s, w); ok {
			out = append(out, e)
		}
	}
	return out
}

// podAt finds the Pod behind an address of an EndpointSlice.
func (b *builder) podAt(ns, pod, ip string) *Workload {
	if pod != "" {
		w, _ := b.world.workloads.Get(ns + "/" + pod)
		if w != nil && slices.ContainsFunc(w.Addresses, func(a netip.Addr) bool { return a.String() == ip }) {
			return w
		}
	}
	return b.holderIn(ns, ip)
}

// compareHosts says how deep two records of a host differ.
func compareHosts(old, next *Host) Touch {
	if old == nil || next == nil {
		if old == next {
			return TouchNone
		}
		return TouchHost
	}
	if len(old.Services) != len(next.Services) {
		return TouchHost
	}
	t := TouchNone
	for i, s := range next.Services {
		o, n := old.Endpoints[i], next.Endpoints[i]
		same := s == old.Services[i] || len(s.More) > 0 && s.equal(old.Services[i])
		if same && len(s.More) > 0 {
			next.Services[i] = old.Services[i]
		}
		if !same || !o.alike(n) || s.inCluster() && !o.equal(n) {
			return TouchHost
		}
		if o.equal(n) {
			next.Endpoints[i] = o
		} else {
			t = TouchEndpoints
		}
	}
	return t
}

// inCluster tells whether endpoints of the service are part of what is made of
// the host itself: DNS names stand in clusters, headless addresses in
// listeners.
func (s *Service) inCluster() bool {
	return s.Headless || s.Resolution != ResolutionStatic
}

// equal compares services that were merged anew.
func (s *Service) equal(o *Service) bool {
	return s.Ref == o.Ref && slices.Equal(s.More, o.More) && slices.Equal(s.Ports, o.Ports) && slices.Equal(s.Addresses, o.Addresses) &&
		s.Resolution == o.Resolution && s.External == o.External && s.ExportTo.Equal(o.ExportTo) && maps.Equal(s.Labels, o.Labels) &&
		maps.Equal(s.Selector, o.Selector) && slices.Equal(s.SubjectAltNames, o.SubjectAltNames) && s.Distribution == o.Distribution && s.Created.Equal(o.Created)
}
