package mesh

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// settleHosts makes the records of the hosts that were touched, and marks
// what depends on them.
func (b *builder) settleHosts() {
	for range maxLeads { // records may follow from those of other hosts
		marked, order := b.touched, b.inTurn()
		b.touched = map[string]touched{}
		for _, name := range order {
			if x := marked[name]; !b.leave(name, x) {
				b.settleHost(name)
				b.pay(name, x.by)
			}
		}
	}
	clear(b.touched)
}

// settleRecords makes the records of the hosts that were touched, with as many endpoints as
// their namespaces may have.
func (b *builder) settleRecords() {
	b.settleHosts()
	for range maxLeads {
		if !b.settleEndpoints() {
			return
		}
		b.settleHosts()
	}
}

func (b *builder) settleHost(name string) {
	old := b.world.Host(name)
	b.turns.owner, b.turns.work, b.lookedUp = b.ownerOf(name), cost{}, map[string]struct{}{}
	b.heldBy = map[string]*registry.Workload{}
	next := b.record(name)
	b.countEndpoints(name)
	b.withhold(name, next)
	t := compareHosts(old, next)
	b.coverHost(name, old, next)
	b.ruleHost(name, old, next)
	b.exported.countPods(old, next)
	b.indexAddresses(old, next)
	b.ranges.index(old, next)
	b.indexListed(old, next)
	if next == nil {
		b.world.hosts = b.world.hosts.Delete(name)
	} else if t != TouchNone {
		b.world.hosts = b.world.hosts.Set(name, next)
	}
	b.noteHolders(old, next)
	if t == TouchNone {
		return
	}
	b.touchUsersOf(name, old, next)
	if t == TouchHost {
		b.noteHeadless(old, next)
		b.dirtyHost(name)
	} else {
		b.dirty.host(name, t)
	}
}

// record gathers all services that declare the host.
func (b *builder) record(name string) *registry.Host {
	h := &gathering{host: name, entries: map[string]*gathered{}}
	if base, ok := strings.CutSuffix(name, ".svc."+object.Domain); ok {
		if svc, ns, ok := strings.Cut(base, "."); ok {
			if s := b.services[ns][svc]; s != nil {
				list, unread := b.serviceEndpoints(s)
				h.add(s, list, unread)
			} else {
				b.foundAs(object.Ref{Kind: object.KindService, Namespace: ns, Name: svc}, "endpoints "+name, nil)
			}
		}
	}
	entries := slices.SortedFunc(maps.Values(b.declared[name]), func(a, c *registry.ServiceEntry) int {
		return object.Older(a.Created, a.Ref, c.Created, c.Ref)
	})
	for _, se := range entries {
		b.turns.worked(se.Ref.Namespace, 1)
		i := slices.IndexFunc(se.Services, func(s *registry.Service) bool { return s.Host == name })
		b.addEntry(h, se.Services[i], b.entryEndpoints(se, se.Services[i]))
	}
	return b.hostOf(h)
}

// serviceEndpoints are the endpoints of a Kubernetes Service, and how many more it has that
// were not read.
func (b *builder) serviceEndpoints(s *registry.Service) (out []registry.Endpoint, unread int) {
	if s.Resolution == registry.ResolutionAlias {
		return nil, 0
	}
	if len(s.Selector) == 0 {
		return b.sliceEndpoints(s)
	}
	b.lookAround(s.Namespace)
	for _, w := range b.pods[s.Namespace] {
		if !object.Selects(s.Selector, w.Labels) {
			continue
		}
		if e, ok := registry.EndpointOfPod(s, w); ok {
			out = append(out, e)
		}
	}
	for _, w := range b.entries[s.Namespace] {
		if !object.Selects(s.Selector, w.Labels) {
			continue
		}
		if e, ok := registry.EndpointOfEntry(s, w); ok {
			out = append(out, e)
		}
	}
	return out, 0
}

// lookAround counts the work of looking through the workloads of a namespace.
func (b *builder) lookAround(namespace string) {
	b.turns.worked(namespace, (len(b.pods[namespace])+len(b.entries[namespace]))/glance)
}

// podAt finds the Pod behind an address of an EndpointSlice. The record of the host is made
// again when the Pod comes or goes.
func (b *builder) podAt(ns, pod, ip string) *registry.Workload {
	b.lookedUp[ip] = struct{}{}
	if pod != "" {
		b.lookedUp[podUse(ns, pod)] = struct{}{}
		w, _ := b.world.workloads.Get(ns + "/" + pod)
		if w != nil && slices.ContainsFunc(w.Addresses, func(a netip.Addr) bool { return a.String() == ip }) {
			return w
		}
	}
	return b.holderIn(ns, ip)
}

// podUse stands for a Pod by its name among what records were made with; no name or address
// is written so.
func podUse(namespace, name string) string { return "pod/" + namespace + "/" + name }

// compareHosts says how deep two records of a host differ.
func compareHosts(old, next *registry.Host) Touch {
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
		same := s == old.Services[i] || len(s.More) > 0 && s.Equal(old.Services[i])
		if same && len(s.More) > 0 {
			next.Services[i] = old.Services[i]
		}
		if !same || !o.Alike(n) || s.InCluster() && !o.Equal(n) {
			return TouchHost
		}
		if o.Equal(n) {
			next.Endpoints[i] = o
		} else {
			t = TouchEndpoints
		}
	}
	return t
}
