package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

const foreignStep = "subsets of others"

// allotForeign decides for the hosts of which namespaces the rules of one have their
// subsets: those first that add least, so that nobody loses them to who makes more hosts
// below a wildcard.
func (b *builder) allotForeign(ns string, foreign map[string]int) {
	sum, most := 0, b.world.Config.SubsetClusters
	var out object.Set
	byCost := slices.SortedFunc(maps.Keys(foreign), func(x, y string) int {
		return cmp.Or(cmp.Compare(foreign[x], foreign[y]), cmp.Compare(x, y))
	})
	for _, of := range byCost {
		if sum += foreign[of]; sum > most {
			out.Add(of)
		}
	}
	before := b.world.subsetless[ns]
	if len(before) == 0 && len(out) == 0 {
		return
	}
	same := maps.Equal(before, out)
	if !same {
		b.world.subsetless = maps.Clone(b.world.subsetless)
		if b.world.subsetless == nil {
			b.world.subsetless = map[string]object.Set{}
		}
		if delete(b.world.subsetless, ns); len(out) > 0 {
			b.world.subsetless[ns] = out
		}
	}
	for _, r := range b.ruleByRef {
		if r.Namespace != ns {
			continue
		}
		var left []string
		for of := range out {
			if sumOf(r, b.covered.ports[r.Host].seen(of)).multiplied > 0 {
				left = append(left, of)
			}
		}
		slices.Sort(left)
		var findings []object.Finding
		if len(left) > 0 {
			findings = []object.Finding{{Object: r.Ref(), Field: "spec.subsets", Code: object.CodeInvalid, Message: fmt.Sprintf(
				"with the other rules of namespace %s its subsets become more than %d clusters for hosts of other namespaces; they are left out for those of namespace %s, which are the most: define fewer, name one host in place of %s, or have fairway.subsetClusters raised in the mesh configuration",
				ns, most, object.Shortened(strings.Join(left, ", ")), r.Host)}}
		}
		b.foundAs(r.Ref(), foreignStep, findings)
		if !same && len(r.Subsets) > 0 {
			b.holds.rule(r)
			b.dirtyPattern(r.Host)
		}
	}
}

// withoutSubsets is the rule as it is for the hosts of a namespace for which subsets of
// rules of its own are left out.
func (v *View) withoutSubsets(r *traffic.DestinationRule, of string) *traffic.DestinationRule {
	if _, out := v.subsetless[r.Namespace][of]; !out || len(r.Subsets) == 0 {
		return r
	}
	bare, _ := v.bareRules.Get(r.Host)
	l, _ := v.rules.Get(r.Host)
	if i := slices.Index(l, r); i >= 0 && i < len(bare) {
		return bare[i]
	}
	return r
}
