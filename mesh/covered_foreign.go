package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

const foreignStep = "subsets of others"

// allotForeign decides for the hosts of which namespaces the rules of one are whole, and
// for which bare: those first that add least, so that nobody loses them to who makes more hosts
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
			findings = []object.Finding{{Object: r.Ref(), Field: multiplied(r), Code: object.CodeInvalid, Message: fmt.Sprintf(
				"with the other rules of namespace %s its subsets, and its trafficPolicy where that is large, become more than %d clusters for hosts of other namespaces; for those of namespace %s, which are the most, it has no subsets, and of a trafficPolicy of more than %d bytes only the TLS settings (larger ones trust no server): define fewer, name one host in place of %s, or have fairway.subsetClusters raised in the mesh configuration",
				ns, most, object.Shortened(strings.Join(left, ", ")), bounds.PlainPolicy, r.Host)}}
		}
		b.foundAs(r.Ref(), foreignStep, findings)
		if !same && r.Multiplies() {
			b.holds.rule(r)
			b.dirtyPattern(r.Host)
		}
	}
}

// withoutSubsets is the rule as it is for the hosts of a namespace, for which rules of its
// own may be bare.
func (v *View) withoutSubsets(r *traffic.DestinationRule, of string) *traffic.DestinationRule {
	if _, out := v.subsetless[r.Namespace][of]; !out || !r.Multiplies() {
		return r
	}
	bare, _ := v.bareRules.Get(r.Host)
	l, _ := v.rules.Get(r.Host)
	if i := slices.Index(l, r); i >= 0 && i < len(bare) {
		return bare[i]
	}
	return r
}
