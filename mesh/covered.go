package mesh

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// mostSubsets is how many clusters the subsets of a namespace may become.
func (b *builder) mostSubsets(namespace string) subsetSum {
	n := b.world.Config.SubsetClusters
	if namespace == b.world.Config.RootNamespace {
		n *= rootSubsetClusters
	}
	return subsetSum{max(maxSubsetClusters, n), n}
}

// coverAgain counts everything anew, for another root namespace, bound or default of who
// sees services.
func (b *builder) coverAgain() {
	for ns := range b.covered.sums {
		b.covered.stale[ns] = struct{}{}
	}
	clear(b.covered.sums)
	for pattern := range b.covered.ports {
		b.covered.ports[pattern] = b.portsUnder(pattern)
	}
	for _, r := range b.ruleByRef {
		b.countCovered(r, b.covered.ports[r.Host], nil, 1)
	}
}

// covered counts what DestinationRules cover, and knows which are bare because they would
// become too many clusters, or say too much in them.
type covered struct {
	ports map[string]*portsBy     // of the hosts that rules cover, by the host or wildcard of the rules
	sums  map[string]*coveredSums // by the rules' namespace
	bare  map[object.Ref]struct{} // rules of which only the bare form is in force
	stale map[string]struct{}     // namespaces whose rules have to be looked at again
}

func newCovered() covered {
	return covered{ports: map[string]*portsBy{}, sums: map[string]*coveredSums{}, bare: map[object.Ref]struct{}{}, stale: map[string]struct{}{}}
}

// countCovered adds what a rule becomes for the ports, or takes it away. Of the hosts of
// others only those of the namespaces are looked at; nil: of all.
func (b *builder) countCovered(r *traffic.DestinationRule, ports *portsBy, namespaces []string, sign int) {
	root := b.world.Config.RootNamespace
	sums := b.covered.sums[r.Namespace]
	if sums == nil {
		sums = &coveredSums{foreign: map[string]int{}}
		b.covered.sums[r.Namespace] = sums
	}
	b.covered.stale[r.Namespace] = struct{}{}
	defer func() {
		if sums.own == (subsetSum{}) && len(sums.foreign) == 0 {
			delete(b.covered.sums, r.Namespace)
		}
	}()
	if sums.own = sums.own.plus(sumOf(r, ports.own(r.Namespace, root)), sign); r.Namespace == root {
		return
	}
	foreign := func(ns string) {
		if n := sumOf(r, ports.seen(ns)).multiplied; ns != r.Namespace && n > 0 {
			if sums.foreign[ns] += sign * n; sums.foreign[ns] == 0 {
				delete(sums.foreign, ns)
			}
		}
	}
	if namespaces != nil {
		for _, ns := range namespaces {
			foreign(ns)
		}
		return
	}
	for at := range ports.by {
		if !at.private {
			foreign(at.namespace)
		}
	}
}

// bareOf tells whether rules of a namespace are bare.
func (r *covered) bareOf(namespace string) bool {
	for ref := range r.bare {
		if ref.Namespace == namespace {
			return true
		}
	}
	return false
}

// addPorts adds the ports of a host's services, or takes them away; the host may be nil.
func (b *builder) addPorts(to *portsBy, h *registry.Host, sign int) {
	if h == nil {
		return
	}
	for _, s := range h.Services {
		at, n := portsOwner{s.Namespace, s.ExportTo.Private(s.Namespace, b.world.Config.DefaultServiceExportTo)}, sign*len(s.Ports)
		to.all += n
		if to.by[at] += n; to.by[at] == 0 {
			delete(to.by, at)
		}
	}
}

// coverHost counts a host's ports for the rules that cover it, in place of what the host
// had before.
func (b *builder) coverHost(name string, old, next *registry.Host) {
	delta := &portsBy{by: map[portsOwner]int{}}
	b.addPorts(delta, old, -1)
	b.addPorts(delta, next, 1)
	if len(delta.by) == 0 {
		return
	}
	namespaces := make([]string, 0, 1)
	for at := range delta.by {
		if !slices.Contains(namespaces, at.namespace) {
			namespaces = append(namespaces, at.namespace)
		}
	}
	count := func(pattern string) bool {
		ports, ok := b.covered.ports[pattern]
		if !ok {
			return true
		}
		for _, r := range b.rulesOf[pattern] {
			b.countCovered(r, ports, namespaces, -1)
		}
		b.addPorts(ports, old, -1)
		b.addPorts(ports, next, 1)
		for _, r := range b.rulesOf[pattern] {
			b.countCovered(r, ports, namespaces, 1)
		}
		return true
	}
	count(name)
	if name != "*" {
		object.WildcardsOf(name, count)
	}
}

// coverRule counts a rule in place of its older version, when rulesOf has it; nil stands
// for none.
func (b *builder) coverRule(old, next *traffic.DestinationRule) {
	if old != nil {
		b.countCovered(old, b.covered.ports[old.Host], nil, -1)
		if len(b.rulesOf[old.Host]) == 0 {
			delete(b.covered.ports, old.Host)
		}
	}
	if next == nil {
		if old != nil {
			delete(b.covered.bare, old.Ref())
			b.foundAs(old.Ref(), "subsets", nil)
			b.foundAs(old.Ref(), foreignStep, nil)
		}
		return
	}
	if _, ok := b.covered.ports[next.Host]; !ok {
		b.covered.ports[next.Host] = b.portsUnder(next.Host)
	}
	b.countCovered(next, b.covered.ports[next.Host], nil, 1)
}

// portsUnder are the ports of the hosts that a host or wildcard covers.
func (b *builder) portsUnder(pattern string) *portsBy {
	out := &portsBy{by: map[portsOwner]int{}}
	if !object.IsWildcard(pattern) {
		b.addPorts(out, b.world.Host(pattern), 1)
		return out
	}
	for name, h := range b.world.Hosts() {
		if object.HostMatches(pattern, name) {
			b.addPorts(out, h, 1)
		}
	}
	return out
}

// settleSubsets decides, for namespaces where that may have changed, whose subsets are in
// force: of the oldest rules, as many as fit.
func (b *builder) settleSubsets() {
	for _, ns := range slices.Sorted(maps.Keys(b.covered.stale)) {
		sums := b.covered.sums[ns]
		if sums == nil {
			sums = &coveredSums{}
		}
		if !sums.own.within(b.mostSubsets(ns)) || b.covered.bareOf(ns) {
			b.allotSubsets(ns)
		}
		b.allotForeign(ns, sums.foreign)
	}
	clear(b.covered.stale)
}

func (b *builder) allotSubsets(ns string) {
	var rules []*traffic.DestinationRule
	for _, r := range b.ruleByRef {
		if r.Namespace == ns && r.Multiplies() {
			rules = append(rules, r)
		}
	}
	slices.SortFunc(rules, func(x, y *traffic.DestinationRule) int { return object.Older(x.Created, x.Ref(), y.Created, y.Ref()) })
	var sum subsetSum
	most := b.mostSubsets(ns)
	var last object.Ref // the newest rule that is whole
	for _, r := range rules {
		next := sum.plus(sumOf(r, b.covered.ports[r.Host].own(ns, b.world.Config.RootNamespace)), 1)
		bare := !next.within(most)
		if !bare {
			sum, last = next, r.Ref()
		}
		if bare { // said again: what is left out, and who has the room, may be another
			b.foundAs(r.Ref(), "subsets", []object.Finding{{Object: r.Ref(), Field: multiplied(r), Code: object.CodeInvalid, Winner: last, Message: fmt.Sprintf(
				"with the older rules of namespace %s it becomes more than %d clusters of subsets, at each port of each host that it covers, of which one counts for each KiB of its trafficPolicy besides; %s: define fewer, name one host in place of %s, or have fairway.subsetClusters raised in the mesh configuration", ns, most.of(next), leftOut(r), r.Host)}})
		}
		if _, was := b.covered.bare[r.Ref()]; was == bare {
			continue
		}
		if bare {
			b.covered.bare[r.Ref()] = struct{}{}
		} else {
			delete(b.covered.bare, r.Ref())
			b.foundAs(r.Ref(), "subsets", nil)
		}
		b.holds.rule(r)
		b.unmerged.Add(r.Host)
		b.dirtyPattern(r.Host)
	}
	for ref := range b.covered.bare { // a rule that multiplies no more
		if r := b.ruleByRef[ref]; ref.Namespace == ns && (r == nil || !r.Multiplies()) {
			delete(b.covered.bare, ref)
			b.foundAs(ref, "subsets", nil)
		}
	}
}

// withSubsets is a rule as it is in force: bare where it would become too many clusters.
func (b *builder) withSubsets(r *traffic.DestinationRule) *traffic.DestinationRule {
	if _, bare := b.covered.bare[r.Ref()]; bare {
		return r.Bare()
	}
	return r
}
