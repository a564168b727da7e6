package mesh

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// What the rules of a namespace may become on one router. One change of a rule makes all of
// that in one pass.
const (
	maxBoundRoutes = 2 * bounds.MaxRoutes
	maxBoundBytes  = 2 * bounds.MaxExpanded
)

// RouterShare counts what the rules of each namespace become on one router: each match is
// a route for every host that every server serves it for, and a Gateway may have a
// thousand servers. The zero value has counted nothing.
type RouterShare struct {
	sums  map[string]bounds.RuleCost
	costs map[*traffic.VirtualService]bounds.RuleCost
}

// Admit takes in the rules that are bound to a server, as many of each namespace as its
// share allows, the oldest first. Left are those that do not fit.
func (r *RouterShare) Admit(bound []traffic.Bound) (admitted []traffic.Bound, left []*traffic.VirtualService) {
	if r.sums == nil {
		r.sums, r.costs = map[string]bounds.RuleCost{}, map[*traffic.VirtualService]bounds.RuleCost{}
	}
	byAge := make([]int, len(bound))
	for i := range byAge {
		byAge[i] = i
	}
	slices.SortStableFunc(byAge, func(i, j int) int {
		x, y := bound[i].VirtualService, bound[j].VirtualService
		return object.Older(x.Created, x.Ref, y.Created, y.Ref)
	})
	out := make([]bool, len(bound))
	for _, i := range byAge {
		v := bound[i].VirtualService
		cost, known := r.costs[v]
		if !known {
			if cost = v.Cost; cost == (bounds.RuleCost{}) {
				cost = bounds.CostOfRules(v.Spec)
			}
			r.costs[v] = cost
		}
		sum := r.sums[v.Namespace].Plus(cost, 1)
		if out[i] = sum.Matches > maxBoundRoutes || sum.Bytes > maxBoundBytes; !out[i] {
			r.sums[v.Namespace] = sum
		} else if !slices.Contains(left, v) {
			left = append(left, v)
		}
	}
	if len(left) == 0 {
		return bound, nil
	}
	for i, b := range bound {
		if !out[i] {
			admitted = append(admitted, b)
		}
	}
	return admitted, left
}

// TooMuch is what is found about rules that do not fit on a server.
func (r *RouterShare) TooMuch(v *traffic.VirtualService, s *traffic.Server) object.Finding {
	return object.Finding{Object: v.Objects()[0], Field: "rules × the servers of Gateways that they are bound to", Code: object.CodeInvalid, Winner: s.Gateway.Ref, Message: fmt.Sprintf(
		"with older rules of namespace %s they become more than %d routes or %d bytes on one gateway, for each host of each server; they are left out from server %s of %s on: make the rules fewer, or bind them to fewer servers",
		v.Namespace, maxBoundRoutes, maxBoundBytes, strings.TrimPrefix(s.Field(), "spec."), s.Gateway.Ref)}
}
