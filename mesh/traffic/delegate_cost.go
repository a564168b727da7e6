package traffic

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// What delegates may add to the roots of a namespace: a delegate's rules are made again for
// each rule of each root that delegates to it. One change of a delegate makes all of that
// in one pass, which is why those of one namespace may add no more than one object becomes.
const (
	MaxDelegatedMatches = bounds.MaxMatches
	MaxDelegatedBytes   = bounds.MaxExpanded
	// MaxDelegatedToAll and MaxDelegatedToAllBytes are for the delegates of all namespaces.
	MaxDelegatedToAll      = 4 * bounds.MaxMatches
	MaxDelegatedToAllBytes = 4 * bounds.MaxExpanded
)

// TooMuchDelegated tells whether the delegates of one namespace, or those of all together,
// add more to the roots of a namespace than they may.
func TooMuchDelegated(one, all bounds.RuleCost) bool {
	return one.Matches > MaxDelegatedMatches || one.Bytes > MaxDelegatedBytes || all.Matches > MaxDelegatedToAll || all.Bytes > MaxDelegatedToAllBytes
}

// DelegatedShare orders what delegates add by how much of the room that is, in matches or in
// bytes.
func DelegatedShare(c bounds.RuleCost) int {
	return max(c.Matches*(MaxDelegatedBytes/MaxDelegatedMatches), c.Bytes)
}

// DelegateRoom is what the delegates of one namespace may add of what others have left.
func DelegateRoom(taken bounds.RuleCost) bounds.RuleCost {
	return bounds.RuleCost{
		Matches: min(MaxDelegatedMatches, MaxDelegatedToAll-taken.Matches),
		Bytes:   min(MaxDelegatedBytes, MaxDelegatedToAllBytes-taken.Bytes),
	}
}

// CostOfDelegates is what the delegates of a root add to it, by their namespace, before any
// of it is made: in the order of the rules, as far as merging goes.
func CostOfDelegates(root *VirtualService, find func(name string) *VirtualService) map[string]bounds.RuleCost {
	out := map[string]bounds.RuleCost{}
	left := bounds.RuleCost{Matches: bounds.MaxMatches, Bytes: bounds.MaxExpanded}
	for _, rule := range root.Spec.Http {
		if rule.Delegate == nil {
			continue
		}
		d := find(DelegateName(rule.Delegate, root.Namespace))
		if d == nil || len(d.Spec.Hosts) > 0 {
			continue
		}
		own, n := d.ofParts, max(1, len(rule.Match))
		c := bounds.RuleCost{Matches: min(n*own.Matches, left.Matches), Bytes: min(n*(own.Bytes+own.Matches*proto.Size(rule)), left.Bytes)}
		if left = left.Plus(c, -1); c != (bounds.RuleCost{}) {
			out[d.Namespace] = out[d.Namespace].Plus(c, 1)
		}
	}
	return out
}

func noRoom(root *VirtualService, field, namespace string, winner object.Ref) object.Finding {
	return object.Finding{Object: root.Ref, Field: field + ".delegate", Code: object.CodeInvalid, Winner: winner, Message: fmt.Sprintf(
		"delegates of namespace %s add more than %d matches or %d bytes to the roots of namespace %s, or those of all namespaces more than %d or %d; the rule is left out: delegate from fewer rules",
		namespace, MaxDelegatedMatches, MaxDelegatedBytes, root.Namespace, MaxDelegatedToAll, MaxDelegatedToAllBytes)}
}
