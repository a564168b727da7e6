package mesh

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// What delegates may add to all roots of a namespace: a delegate's rules are made again for
// each rule of each root that delegates to it.
const (
	maxDelegatedMatches = 5 * maxRoutes
	maxDelegatedBytes   = 4 * maxExpanded
)

// delegated counts what delegates add to roots, and knows which are left without.
type delegated struct {
	costs map[string]map[object.Ref]ruleCost // by the roots' namespace
	sums  map[string]ruleCost
	out   map[string]map[object.Ref]object.Ref // roots that are left without, with who has the room
	stale map[string]struct{}                  // namespaces to be looked at again
	fixed bool                                 // who is out has been decided by age
}

func newDelegated() delegated {
	return delegated{costs: map[string]map[object.Ref]ruleCost{}, sums: map[string]ruleCost{}, out: map[string]map[object.Ref]object.Ref{}, stale: map[string]struct{}{}}
}

// tooMuchDelegated tells whether delegates add more than they may to the roots of a namespace.
func tooMuchDelegated(c ruleCost) bool {
	return c.matches > maxDelegatedMatches || c.bytes > maxDelegatedBytes
}

// costOfDelegates is what the delegates of a root add to it, before any of it is made.
func costOfDelegates(root *VirtualService, find func(name string) *VirtualService) (c ruleCost) {
	costs := map[*VirtualService]ruleCost{} // each delegate's own, counted once however many rules lead to it
	for _, rule := range root.Spec.Http {
		if rule.Delegate == nil {
			continue
		}
		if d := find(delegateName(rule.Delegate, root.Namespace)); d != nil && len(d.Spec.Hosts) == 0 {
			own, counted := costs[d]
			if !counted {
				for _, r := range d.Spec.Http {
					own.http(r)
				}
				costs[d] = own
			}
			n := max(1, len(rule.Match))
			c = c.plus(ruleCost{n * own.matches, n * (own.bytes + own.matches*proto.Size(rule))}, 1)
		}
	}
	return ruleCost{min(c.matches, maxMatches), min(c.bytes, maxExpanded)} // where merging ends
}

// delegate counts what delegates add to a root, in place of what was counted before, and
// tells whether the root is to be left without them.
func (b *builder) delegate(root object.Ref, cost ruleCost) (left bool) {
	d, ns := &b.delegated, root.Namespace
	old := d.costs[ns][root]
	if sum := d.sums[ns].plus(old, -1).plus(cost, 1); sum == (ruleCost{}) {
		delete(d.sums, ns)
	} else {
		d.sums[ns] = sum
	}
	if cost == (ruleCost{}) {
		remove(d.costs, ns, root)
		if _, out := d.out[ns][root]; out {
			remove(d.out, ns, root)
		}
		if old != cost {
			d.stale[ns] = struct{}{}
		}
		return false
	}
	put(d.costs, ns, root, cost)
	if !d.fixed {
		d.stale[ns] = struct{}{}
		if tooMuchDelegated(d.sums[ns]) { // until it is decided by age
			put(d.out, ns, root, object.Ref{})
		} else {
			remove(d.out, ns, root)
		}
	}
	_, left = d.out[ns][root]
	return left
}

// settleDelegates decides by age which roots of namespaces have what they delegate.
func (b *builder) settleDelegates() {
	d := &b.delegated
	d.fixed = true
	for ns := range d.stale {
		if !tooMuchDelegated(d.sums[ns]) && len(d.out[ns]) == 0 {
			continue
		}
		roots := make([]object.Ref, 0, len(d.costs[ns]))
		for root := range d.costs[ns] {
			roots = append(roots, root)
		}
		slices.SortFunc(roots, func(x, y object.Ref) int {
			return cmp.Or(b.vsRaw[x].CreationTimestamp.Compare(b.vsRaw[y].CreationTimestamp.Time), cmp.Compare(x.Name, y.Name))
		})
		var sum ruleCost
		var last object.Ref
		next := map[object.Ref]object.Ref{}
		for _, root := range roots {
			if with := sum.plus(d.costs[ns][root], 1); tooMuchDelegated(with) {
				next[root] = last
			} else {
				sum, last = with, root
			}
		}
		before := d.out[ns]
		if delete(d.out, ns); len(next) > 0 {
			d.out[ns] = next
		}
		for _, leaving := range []bool{true, false} { // there is room before others come in
			for _, root := range roots {
				winner, out := next[root]
				if was, wasOut := before[root]; out == leaving && (out != wasOut || out && was != winner) {
					b.setVirtualService(root, b.vsRaw[root])
				}
			}
		}
	}
	d.fixed = false
	clear(d.stale)
}

// withoutDelegates is the root without the rules that delegate.
func withoutDelegates(root *VirtualService, winner object.Ref) (*VirtualService, []object.Finding) {
	out := *root
	spec := root.Spec
	out.Spec = &networking.VirtualService{Hosts: spec.Hosts, Gateways: spec.Gateways, ExportTo: spec.ExportTo, Tcp: spec.Tcp, Tls: spec.Tls}
	out.origins.http = nil
	for i, rule := range spec.Http {
		if rule.Delegate == nil {
			out.Spec.Http, out.origins.http = append(out.Spec.Http, rule), append(out.origins.http, root.HTTPOrigin(i))
		}
	}
	out.completed(root)
	return &out, []object.Finding{{Object: root.Ref, Field: delegatedField, Code: object.CodeInvalid, Winner: winner, Message: fmt.Sprintf(
		"with the older roots of namespace %s its delegates add more than %d matches or %d bytes, the most of one namespace; the rules that delegate are left out: delegate from fewer rules",
		root.Namespace, maxDelegatedMatches, maxDelegatedBytes)}}
}
