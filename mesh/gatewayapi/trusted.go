package gatewayapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Clusters is what a Service becomes for its clients: its ports, each of which has a cluster
// for itself and one for each subset. The Service is nil when there is none.
type Clusters func(namespace, name string) (s *registry.Service, subsets int)

// trusts are how many bytes of certificates the policies of each namespace have clusters
// trust, and by how much each namespace may: it is decided for the whole mesh, so that a
// cluster is the same for whoever sees it.
type trusts struct {
	of    map[string]map[string]int // by namespace, and by "namespace/name" of the policy
	sums  map[string]int            // by namespace
	total int
	level int // how much each namespace may
}

func newTrusts() trusts {
	return trusts{of: map[string]map[string]int{}, sums: map[string]int{}, level: bounds.MaxTrusted}
}

// set replaces what a policy comes to.
func (t *trusts) set(namespace, policy string, cost int) {
	more := cost - t.of[namespace][policy]
	if more == 0 {
		return
	}
	if t.of[namespace] == nil {
		t.of[namespace] = map[string]int{}
	}
	t.of[namespace][policy] = cost
	t.sums[namespace], t.total = t.sums[namespace]+more, t.total+more
	if cost == 0 {
		delete(t.of[namespace], policy)
	}
	if len(t.of[namespace]) == 0 {
		delete(t.of, namespace)
		delete(t.sums, namespace)
	}
}

// deciders are the policies that decide about a Service, by the name of a port; "": all others.
func (b *Builder) deciders(service string) map[string]object.Ref {
	_, name, _ := strings.Cut(service, "/")
	out := map[string]object.Ref{}
	for _, p := range b.policiesFor(service) { // the oldest first
		for _, t := range p.targets {
			if _, is := out[t.port]; !is && t.service == name {
				out[t.port] = p.Ref
			}
		}
	}
	return out
}

// trustOf is what a policy comes to: bytes of certificates × clusters.
func (b *Builder) trustOf(p *BackendTLSPolicy, clusters Clusters, deciders map[string]map[string]object.Ref) (n int) {
	all, _ := b.next.bundled(p)
	if all == nil || p.invalid != "" {
		return 0
	}
	for _, service := range p.services() {
		_, name, _ := strings.Cut(service, "/")
		s, subsets := clusters(p.Ref.Namespace, name)
		if s == nil {
			continue
		}
		if deciders[service] == nil {
			deciders[service] = b.deciders(service)
		}
		for port, decides := range deciders[service] {
			switch {
			case decides != p.Ref:
			case port == "":
				n += len(s.Ports) * (1 + subsets)
			default:
				n += 1 + subsets
			}
		}
	}
	return n * all.Size()
}

// settleTrust counts the policies for the Services that are stale, and decides by age which
// of their namespaces are in force. The Services of those for which that changed are stale
// as well.
func (b *Builder) settleTrust(clusters Clusters) {
	for service := range b.staleTLS {
		b.CountClusters(service)
	}
	again := map[string]struct{}{} // namespaces
	deciders := map[string]map[string]object.Ref{}
	for policy := range b.recount {
		namespace, _, _ := strings.Cut(policy, "/")
		cost := 0
		if p, _ := b.next.policies.Get(policy); p != nil {
			cost = b.trustOf(p, clusters, deciders)
		}
		b.trusts.set(namespace, policy, cost)
		again[namespace] = struct{}{}
	}
	clear(b.recount)
	if level := b.trusts.share(); level != b.trusts.level {
		for namespace, sum := range b.trusts.sums {
			if sum > min(level, b.trusts.level) {
				again[namespace] = struct{}{}
			}
		}
		b.trusts.level = level
	}
	for _, namespace := range slices.Sorted(maps.Keys(again)) {
		b.trustIn(namespace)
	}
}

// share is how much each namespace may.
func (t *trusts) share() int {
	if t.total <= bounds.MaxTrustedInAll {
		return bounds.MaxTrusted
	}
	return bounds.Share(slices.Collect(maps.Values(t.sums)), bounds.MaxTrusted, bounds.MaxTrustedInAll)
}

// trustIn decides which policies of a namespace have proxies trust what they name.
func (b *Builder) trustIn(namespace string) {
	closed := map[string]object.Ref{}
	if b.trusts.sums[namespace] > b.trusts.level {
		var byAge []*BackendTLSPolicy
		for policy := range b.trusts.of[namespace] {
			p, _ := b.next.policies.Get(policy)
			byAge = append(byAge, p)
		}
		slices.SortFunc(byAge, olderPolicy)
		sum := 0
		var last object.Ref
		for _, p := range byAge {
			key := namespace + "/" + p.Ref.Name
			if cost := b.trusts.of[namespace][key]; sum+cost <= b.trusts.level {
				sum, last = sum+cost, p.Ref
			} else {
				closed[key] = last
			}
		}
	}
	old, _ := b.next.closed.Get(namespace)
	if maps.Equal(old, closed) {
		return
	}
	for _, of := range []map[string]object.Ref{old, closed} {
		for key := range of {
			before, was := old[key]
			if after, is := closed[key]; was == is && before == after {
				continue
			}
			p, _ := b.next.policies.Get(key)
			for _, service := range p.services() {
				b.staleTLS[service] = struct{}{}
			}
		}
	}
	if len(closed) == 0 {
		b.next.closed = b.next.closed.Delete(namespace)
	} else {
		b.next.closed = b.next.closed.Set(namespace, closed)
	}
}

// tooMuch is why a policy has nobody trusted though its authorities are there; nil when it
// has not.
func (x *Index) tooMuch(p *BackendTLSPolicy) *bundleProblem {
	of, _ := x.closed.Get(p.Ref.Namespace)
	winner, is := of[p.Ref.Namespace+"/"+p.Ref.Name]
	if !is {
		return nil
	}
	return &bundleProblem{field: "spec.validation.caCertificateRefs", winner: winner, message: fmt.Sprintf(
		"with the older policies of the namespace it has clusters trust more bytes of certificates than they may (%d of one namespace, %d of all, of which those that ask for most give way): name fewer authorities, or have fewer ports and subsets",
		bounds.MaxTrusted, bounds.MaxTrustedInAll)}
}

// CountAllClusters notes that any Service may have other subsets than before.
func (b *Builder) CountAllClusters() {
	for policy := range b.next.policies.All() {
		b.recount[policy] = struct{}{}
	}
}

// CountClusters notes that a Service, by "namespace/name", may have other ports or subsets
// than before.
func (b *Builder) CountClusters(service string) {
	for _, p := range b.policiesFor(service) {
		b.recount[p.Ref.Namespace+"/"+p.Ref.Name] = struct{}{}
	}
}
