package mesh

import (
	"cmp"
	"math"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// allEndpoints is how many times as many endpoints of clusters the hosts of a namespace may
// have as it may put clusters of objects that multiply on other sidecars: one workload may
// be behind thousands of services, and every sidecar that sees them holds it for each.
const allEndpoints = 100

// endpointShares count the endpoints that the hosts of a namespace want, each for all ports,
// and say how many of them each may have.
type endpointShares struct {
	of    map[string]*namespaceShares
	at    map[string][]string // the namespaces that a host is counted in
	wants map[string]want     // of the host whose record is being made, by namespace
	stale object.Set          // namespaces that have to be looked at again
}

// namespaceShares are those of one namespace.
type namespaceShares struct {
	hosts   map[string]*endpointShare
	sum     int  // that they want
	crowded bool // they want too many: who is older comes first
}

// want is what a host of a namespace asks for.
type want struct {
	ref     object.Ref
	created int64 // in seconds since 1970
	n       int   // endpoints of clusters
	got     int   // of them in its record
}

// endpointShare is what is counted of one host, and what it may have while the namespace is
// crowded.
type endpointShare struct {
	want
	may int
}

func newEndpointShares() endpointShares {
	return endpointShares{of: map[string]*namespaceShares{}, at: map[string][]string{}, wants: map[string]want{}, stale: object.Set{}}
}

// mostEndpoints is how many endpoints of clusters the hosts of a namespace may have.
func (b *builder) mostEndpoints(namespace string) int {
	if namespace == b.world.Config.RootNamespace {
		return math.MaxInt
	}
	return b.world.Config.ExportedResources * allEndpoints
}

// shareOf is how many endpoints of clusters a host of a namespace may have, by what its
// record asks for. Before there is a World all are decided on at once, at the end. Later the
// record may be published as it is, since one that is to be made again may have to wait for
// its turn: so it is decided by age right away.
func (b *builder) shareOf(namespace, host string) int {
	w, most, at := b.shares.wants[namespace], b.mostEndpoints(namespace), b.shares.of[namespace]
	if at == nil {
		return most
	}
	share, others := at.hosts[host], at.sum
	if share != nil {
		others -= share.n
	}
	_, stale := b.shares.stale[namespace]
	switch {
	case others+w.n <= most:
		return w.n
	case at.crowded && share != nil && (!b.turns.on || !stale && share.n == w.n && share.ref == w.ref && share.created == w.created):
		return share.may
	case !b.turns.on && at.crowded:
		return 0
	case !b.turns.on:
		return max(0, most-others)
	}
	b.turns.worked(namespace, len(at.hosts)/glanceSum)
	for name, x := range at.hosts {
		if name != host && w.compare(x.want, host, name) > 0 {
			most -= x.n
		}
	}
	return max(0, most)
}

// compare orders hosts of a namespace by age, the oldest first.
func (w want) compare(x want, host, other string) int {
	return cmp.Or(cmp.Compare(w.created, x.created), object.CompareRefs(w.ref, x.ref), cmp.Compare(host, other))
}

// wantEndpoints notes what one service of a host asks for: a Service and the ServiceEntries
// of its namespace share what the namespace may have.
func (b *builder) wantEndpoints(s *registry.Service, n int) {
	w, more := b.shares.wants[s.Namespace]
	if !more {
		w.ref, w.created = s.Ref, s.Created.Unix()
	}
	w.n += n
	b.shares.wants[s.Namespace] = w
}

// getEndpoints notes how many of them a service of the namespace gets.
func (b *builder) getEndpoints(namespace string, got int) {
	w := b.shares.wants[namespace]
	w.got += got
	b.shares.wants[namespace] = w
}

// countEndpoints counts what the record of a host asked for in place of what it did before.
func (b *builder) countEndpoints(host string) {
	x := &b.shares
	for _, ns := range x.at[host] {
		at := x.of[ns]
		at.sum -= at.hosts[host].n
		if _, still := x.wants[ns]; still {
			continue
		}
		if at.crowded {
			x.stale.Add(ns)
		}
		if delete(at.hosts, host); len(at.hosts) == 0 {
			delete(x.of, ns)
		}
	}
	delete(x.at, host)
	for ns, w := range x.wants {
		if w.n == 0 {
			if at := x.of[ns]; at != nil {
				if at.crowded {
					x.stale.Add(ns)
				}
				if delete(at.hosts, host); len(at.hosts) == 0 {
					delete(x.of, ns)
				}
			}
			continue
		}
		at := x.of[ns]
		if at == nil {
			at = &namespaceShares{hosts: map[string]*endpointShare{}}
			x.of[ns] = at
		}
		if at.hosts[host] == nil {
			at.hosts[host] = &endpointShare{}
		}
		at.hosts[host].want = w
		at.sum += w.n
		x.at[host] = append(x.at[host], ns)
		if at.crowded || at.sum > b.mostEndpoints(ns) {
			x.stale.Add(ns)
		}
	}
	clear(x.wants)
}

// settleEndpoints decides by age how many endpoints the hosts of namespaces have that want
// too many, and tells whether some have to be made again.
func (b *builder) settleEndpoints() (changed bool) {
	for ns := range b.shares.stale {
		at := b.shares.of[ns]
		if at == nil {
			continue
		}
		most := b.mostEndpoints(ns)
		at.crowded = at.sum > most
		names := make([]string, 0, len(at.hosts))
		for name := range at.hosts {
			names = append(names, name)
		}
		slices.SortFunc(names, func(x, y string) int {
			return at.hosts[x].compare(at.hosts[y].want, x, y)
		})
		for _, name := range names {
			share := at.hosts[name]
			share.may = min(share.n, most)
			most -= share.may
			if share.may != share.got {
				b.touch(name, TouchEndpoints, cause{namespace: ns})
				changed = true
			}
		}
	}
	clear(b.shares.stale)
	return changed
}

// endpointsAgain has all namespaces looked at again, by the bound that is now in force.
func (b *builder) endpointsAgain() {
	for ns, at := range b.shares.of {
		if at.crowded || at.sum > b.mostEndpoints(ns) {
			b.shares.stale.Add(ns)
		}
	}
}
