package mesh

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

const (
	// maxSubsetClusters is how many clusters the subsets of all DestinationRules of a
	// namespace may become: each subset is one at every port of every host that its
	// rule covers.
	maxSubsetClusters = 40_000
	// rootSubsetClusters is how many times as many the root namespace may have as
	// others of those that multiply: its rules may be for the whole mesh.
	rootSubsetClusters = 8
	// plainRule is how many clusters the subsets of a rule for one host may become
	// that does not multiply: who wants more writes more rules.
	plainRule = 100
)

// multiplies tells whether the subsets of a rule become far more clusters than it says: it
// is for a wildcard, or for a host of many ports.
func multiplies(r *traffic.DestinationRule, clusters int) bool {
	return object.IsWildcard(r.Host) || clusters > plainRule
}

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

// covered counts what DestinationRules cover, and knows whose subsets are left out because
// they would become too many clusters.
type covered struct {
	ports map[string]*portsBy     // of the hosts that rules cover, by the host or wildcard of the rules
	sums  map[string]*coveredSums // by the rules' namespace
	bare  map[object.Ref]struct{} // rules whose subsets are left out
	stale map[string]struct{}     // namespaces whose rules have to be looked at again
}

func newCovered() covered {
	return covered{ports: map[string]*portsBy{}, sums: map[string]*coveredSums{}, bare: map[object.Ref]struct{}{}, stale: map[string]struct{}{}}
}

// portsBy is how many ports hosts have: in all, and by the namespace of their services,
// those that no other namespace sees apart.
type portsBy struct {
	all int
	by  map[portsOwner]int
}

type portsOwner struct {
	namespace string
	private   bool
}

// own is how many count for what the rules of a namespace become on everybody's proxies:
// those of its own hosts. The root namespace's rules are for all.
func (p *portsBy) own(namespace, root string) int {
	if namespace == root {
		return p.all
	}
	return p.by[portsOwner{namespace, false}] + p.by[portsOwner{namespace, true}]
}

// seen is how many ports hosts of a namespace have that others see.
func (p *portsBy) seen(namespace string) int { return p.by[portsOwner{namespace, false}] }

// coveredSums is what the subsets of a namespace's rules become for hosts of its own, which
// proxies of all namespaces hold, and for those of others, which its own hold.
type coveredSums struct {
	own     subsetSum
	foreign map[string]int // clusters of rules that multiply, by the hosts' namespace
}

// subsetSum is how many clusters subsets become: of all rules, and of those that multiply.
type subsetSum struct{ all, multiplied int }

// sumOf is what one rule adds that covers so many ports.
func sumOf(r *traffic.DestinationRule, ports int) subsetSum {
	n := ports * len(r.Subsets)
	if multiplies(r, n) {
		return subsetSum{n, n}
	}
	return subsetSum{all: n}
}

func (s subsetSum) plus(o subsetSum, sign int) subsetSum {
	return subsetSum{s.all + sign*o.all, s.multiplied + sign*o.multiplied}
}

// of is the bound that a sum goes past.
func (s subsetSum) of(sum subsetSum) int {
	if sum.multiplied > s.multiplied {
		return s.multiplied
	}
	return s.all
}

// within tells whether there is room for so much.
func (s subsetSum) within(most subsetSum) bool {
	return s.all <= most.all && s.multiplied <= most.multiplied
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

// bareOf tells whether rules of a namespace are without their subsets.
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
		if r.Namespace == ns && len(r.Subsets) > 0 {
			rules = append(rules, r)
		}
	}
	slices.SortFunc(rules, func(x, y *traffic.DestinationRule) int { return object.Older(x.Created, x.Ref(), y.Created, y.Ref()) })
	var sum subsetSum
	most := b.mostSubsets(ns)
	var last object.Ref // the newest rule that has its subsets
	for _, r := range rules {
		next := sum.plus(sumOf(r, b.covered.ports[r.Host].own(ns, b.world.Config.RootNamespace)), 1)
		bare := !next.within(most)
		if !bare {
			sum, last = next, r.Ref()
		}
		if _, was := b.covered.bare[r.Ref()]; was == bare {
			continue
		}
		if bare {
			b.covered.bare[r.Ref()] = struct{}{}
			b.foundAs(r.Ref(), "subsets", []object.Finding{{Object: r.Ref(), Field: "spec.subsets", Code: object.CodeInvalid, Winner: last, Message: fmt.Sprintf(
				"with the older rules of namespace %s its subsets become more than %d clusters, at each port of each host that they cover; its subsets are left out: define fewer, name one host in place of %s, or have fairway.subsetClusters raised in the mesh configuration", ns, most.of(next), r.Host)}})
		} else {
			delete(b.covered.bare, r.Ref())
			b.foundAs(r.Ref(), "subsets", nil)
		}
		b.holds.rule(r)
		b.unmerged.Add(r.Host)
		b.dirtyPattern(r.Host)
	}
	for ref := range b.covered.bare { // a rule that has no subsets any more
		if r := b.ruleByRef[ref]; ref.Namespace == ns && (r == nil || len(r.Subsets) == 0) {
			delete(b.covered.bare, ref)
			b.foundAs(ref, "subsets", nil)
		}
	}
}

// withSubsets is a rule as it is in force: without its subsets where they would become
// too many clusters.
func (b *builder) withSubsets(r *traffic.DestinationRule) *traffic.DestinationRule {
	if _, bare := b.covered.bare[r.Ref()]; !bare {
		return r
	}
	without := *r
	without.Subsets = nil
	return &without
}
