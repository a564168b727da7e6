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

// DelegateRoom is what the delegates of one namespace may add where all others together
// have taken some of what there is.
func DelegateRoom(taken bounds.RuleCost) bounds.RuleCost {
	return bounds.RuleCost{
		Matches: min(MaxDelegatedMatches, MaxDelegatedToAll-taken.Matches),
		Bytes:   min(MaxDelegatedBytes, MaxDelegatedToAllBytes-taken.Bytes),
	}
}

// CostOfDelegates is what the delegates of a root add to it, by their namespace, before any
// of it is made.
func CostOfDelegates(root *VirtualService, find func(name string) *VirtualService) map[string]bounds.RuleCost {
	out := map[string]bounds.RuleCost{}
	for _, rule := range root.Spec.Http {
		if rule.Delegate == nil {
			continue
		}
		if d := find(DelegateName(rule.Delegate, root.Namespace)); d != nil && len(d.Spec.Hosts) == 0 {
			own, n := d.ofParts, max(1, len(rule.Match))
			c := out[d.Namespace].Plus(bounds.RuleCost{Matches: n * own.Matches, Bytes: n * (own.Bytes + own.Matches*proto.Size(rule))}, 1)
			out[d.Namespace] = bounds.RuleCost{Matches: min(c.Matches, bounds.MaxMatches), Bytes: min(c.Bytes, bounds.MaxExpanded)} // where merging ends
		}
	}
	return out
}

func noRoom(root *VirtualService, field, namespace string, winner object.Ref) object.Finding {
	return object.Finding{Object: root.Ref, Field: field + ".delegate", Code: object.CodeInvalid, Winner: winner, Message: fmt.Sprintf(
		"delegates of namespace %s add more than %d matches or %d bytes to the roots of namespace %s, or those of all namespaces more than %d or %d; the rule is left out: delegate from fewer rules",
		namespace, MaxDelegatedMatches, MaxDelegatedBytes, root.Namespace, MaxDelegatedToAll, MaxDelegatedToAllBytes)}
}
