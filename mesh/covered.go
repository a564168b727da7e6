package mesh

import (
	"fmt"
	"maps"
	"slices"
)

// maxSubsetClusters is how many clusters the subsets of all DestinationRules of a
// namespace may become: each subset is one at every port of every host that its rule
// covers, and a rule for a wildcard covers many.
const maxSubsetClusters = 40_000

// covered counts what DestinationRules cover, and knows whose subsets are left out because
// they would become too many clusters.
type covered struct {
	ports map[string]int      // of the hosts that rules cover, by the host or wildcard of the rules
	sums  map[string]int      // clusters that subsets become, by the rules' namespace
	bare  map[Ref]struct{}    // rules whose subsets are left out
	stale map[string]struct{} // namespaces whose rules have to be looked at again
}

func newCovered() covered {
	return covered{ports: map[string]int{}, sums: map[string]int{}, bare: map[Ref]struct{}{}, stale: map[string]struct{}{}}
}

// add counts clusters of a namespace's rules.
func (r *covered) add(namespace string, clusters int) {
	if r.sums[namespace] += clusters; r.sums[namespace] == 0 {
		delete(r.sums, namespace)
	}
	r.stale[namespace] = struct{}{}
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

// portsOf is how many ports the services of a host have; the host may be nil.
func portsOf(h *Host) (n int) {
	if h == nil {
		return 0
	}
	for _, s := range h.Services {
		n += len(s.Ports)
	}
	return n
}

// coverHost counts a host's ports for the rules that cover it, in place of what the host
// had before.
func (b *builder) coverHost(name string, old, next *Host) {
	delta := portsOf(next) - portsOf(old)
	if delta == 0 {
		return
	}
	count := func(pattern string) bool {
		if _, ok := b.covered.ports[pattern]; ok {
			b.covered.ports[pattern] += delta
			for _, r := range b.rulesOf[pattern] {
				b.covered.add(r.Namespace, delta*len(r.Subsets))
			}
		}
		return true
	}
	count(name)
	if name != "*" {
		wildcardsOf(name, count)
	}
}

// coverRule counts a rule in place of its older version, when rulesOf has it; nil stands
// for none.
func (b *builder) coverRule(old, next *DestinationRule) {
	if old != nil {
		b.covered.add(old.Namespace, -b.covered.ports[old.Host]*len(old.Subsets))
		if len(b.rulesOf[old.Host]) == 0 {
			delete(b.covered.ports, old.Host)
		}
	}
	if next == nil {
		if old != nil {
			delete(b.covered.bare, old.Ref())
			b.foundAs(old.Ref(), "subsets", nil)
		}
		return
	}
	if _, ok := b.covered.ports[next.Host]; !ok {
		b.covered.ports[next.Host] = b.portsUnder(next.Host)
	}
	b.covered.add(next.Namespace, b.covered.ports[next.Host]*len(next.Subsets))
}

// portsUnder is how many ports the hosts have that a host or wildcard covers.
func (b *builder) portsUnder(pattern string) (n int) {
	if !IsWildcard(pattern) {
		return portsOf(b.world.Host(pattern))
	}
	for name, h := range b.world.Hosts() {
		if HostMatches(pattern, name) {
			n += portsOf(h)
		}
	}
	return n
}

// settleSubsets decides, for namespaces where that may have changed, whose subsets are in
// force: of the oldest rules, as many as fit.
func (b *builder) settleSubsets() {
	for _, ns := range slices.Sorted(maps.Keys(b.covered.stale)) {
		if b.covered.sums[ns] > maxSubsetClusters || b.covered.bareOf(ns) {
			b.allotSubsets(ns)
		}
	}
	clear(b.covered.stale)
}

func (b *builder) allotSubsets(ns string) {
	var rules []*DestinationRule
	for _, r := range b.ruleByRef {
		if r.Namespace == ns && len(r.Subsets) > 0 {
			rules = append(rules, r)
		}
	}
	slices.SortFunc(rules, func(x, y *DestinationRule) int { return older(x.Created, x.Ref(), y.Created, y.Ref()) })
	sum := 0
	var last Ref // the newest rule that has its subsets
	for _, r := range rules {
		clusters := b.covered.ports[r.Host] * len(r.Subsets)
		bare := sum+clusters > maxSubsetClusters
		if !bare {
			sum, last = sum+clusters, r.Ref()
		}
		if _, was := b.covered.bare[r.Ref()]; was == bare {
			continue
		}
		if bare {
			b.covered.bare[r.Ref()] = struct{}{}
			b.foundAs(r.Ref(), "subsets", []Finding{{Object: r.Ref(), Field: "spec.subsets", Code: CodeInvalid, Winner: last, Message: fmt.Sprintf(
				"with the older rules of namespace %s its subsets become more than %d clusters, at each port of each host that they cover; its subsets are left out: define fewer, or name one host in place of %s", ns, maxSubsetClusters, r.Host)}})
		} else {
			delete(b.covered.bare, r.Ref())
			b.foundAs(r.Ref(), "subsets", nil)
		}
		b.holds.rule(r)
		b.setRules(r.Host)
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
func (b *builder) withSubsets(r *DestinationRule) *DestinationRule {
	if _, bare := b.covered.bare[r.Ref()]; !bare {
		return r
	}
	without := *r
	without.Subsets = nil
	return &without
}
