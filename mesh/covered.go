package mesh

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
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

// coverAgain has all namespaces looked at again whose rules have subsets.
func (b *builder) coverAgain() {
	for ns := range b.covered.sums {
		b.covered.stale[ns] = struct{}{}
	}
}

// covered counts what DestinationRules cover, and knows whose subsets are left out because
// they would become too many clusters.
type covered struct {
	ports map[string]int          // of the hosts that rules cover, by the host or wildcard of the rules
	sums  map[string]subsetSum    // by the rules' namespace
	bare  map[object.Ref]struct{} // rules whose subsets are left out
	stale map[string]struct{}     // namespaces whose rules have to be looked at again
}

func newCovered() covered {
	return covered{ports: map[string]int{}, sums: map[string]subsetSum{}, bare: map[object.Ref]struct{}{}, stale: map[string]struct{}{}}
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

func (s subsetSum) plus(o subsetSum) subsetSum {
	return subsetSum{s.all + o.all, s.multiplied + o.multiplied}
}

func (s subsetSum) minus(o subsetSum) subsetSum {
	return subsetSum{s.all - o.all, s.multiplied - o.multiplied}
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

// replace counts a rule's clusters in place of those that it had before.
func (c *covered) replace(namespace string, was, is subsetSum) {
	next := c.sums[namespace].minus(was).plus(is)
	if c.sums[namespace] = next; next == (subsetSum{}) {
		delete(c.sums, namespace)
	}
	c.stale[namespace] = struct{}{}
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
				n := b.covered.ports[pattern]
				b.covered.replace(r.Namespace, sumOf(r, n-delta), sumOf(r, n))
			}
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
		b.covered.replace(old.Namespace, sumOf(old, b.covered.ports[old.Host]), subsetSum{})
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
	b.covered.replace(next.Namespace, subsetSum{}, sumOf(next, b.covered.ports[next.Host]))
}

// portsUnder is how many ports the hosts have that a host or wildcard covers.
func (b *builder) portsUnder(pattern string) (n int) {
	if !object.IsWildcard(pattern) {
		return portsOf(b.world.Host(pattern))
	}
	for name, h := range b.world.Hosts() {
		if object.HostMatches(pattern, name) {
			n += portsOf(h)
		}
	}
	return n
}

// settleSubsets decides, for namespaces where that may have changed, whose subsets are in
// force: of the oldest rules, as many as fit.
func (b *builder) settleSubsets() {
	for _, ns := range slices.Sorted(maps.Keys(b.covered.stale)) {
		if !b.covered.sums[ns].within(b.mostSubsets(ns)) || b.covered.bareOf(ns) {
			b.allotSubsets(ns)
		}
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
		next := sum.plus(sumOf(r, b.covered.ports[r.Host]))
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
