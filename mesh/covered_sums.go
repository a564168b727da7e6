package mesh

import (
	"fmt"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

const (
	// maxSubsetClusters is how many clusters the subsets of all DestinationRules of a
	// namespace may become: each subset is one at every port of every host that its
	// rule covers. Each such port also counts for what a large policy says there.
	maxSubsetClusters = 40_000
	// rootSubsetClusters is how many times as many the root namespace may have as
	// others of those that multiply: its rules may be for the whole mesh.
	rootSubsetClusters = 8
	// plainRule is how many clusters the subsets of a rule for one host may become
	// that does not multiply: who wants more writes more rules.
	plainRule = 100
)

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

// sumOf is what one rule adds that covers so many ports. A cluster that says a large policy
// counts for several. A rule multiplies, which becomes far more than it says, when it is for
// a wildcard, or for a host of many ports.
func sumOf(r *traffic.DestinationRule, ports int) subsetSum {
	n := ports * r.PerPort()
	if object.IsWildcard(r.Host) || n > plainRule {
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

// multiplied is the field of which too much comes.
func multiplied(r *traffic.DestinationRule) string {
	if len(r.Subsets) > 0 {
		return "spec.subsets"
	}
	return "spec.trafficPolicy"
}

// leftOut is what the bare form of a rule lacks.
func leftOut(r *traffic.DestinationRule) string {
	policy := fmt.Sprintf("of its trafficPolicy, which has more than %d bytes, only the TLS settings are in force, and no server is trusted where these are as large", bounds.PlainPolicy)
	switch {
	case r.Weight == 0:
		return "its subsets are left out"
	case len(r.Subsets) == 0:
		return policy
	}
	return "its subsets are left out, and " + policy
}
