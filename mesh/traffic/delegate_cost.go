package traffic

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// What delegates may add to all roots of a namespace: a delegate's rules are made again for
// each rule of each root that delegates to it. One change of a delegate makes all of that
// in one pass, which is why it may be no more than one object becomes.
const (
	MaxDelegatedMatches = bounds.MaxMatches
	MaxDelegatedBytes   = bounds.MaxExpanded
)

// TooMuchDelegated tells whether delegates add more than they may to the roots of a namespace.
func TooMuchDelegated(c bounds.RuleCost) bool {
	return c.Matches > MaxDelegatedMatches || c.Bytes > MaxDelegatedBytes
}

// CostOfDelegates is what the delegates of a root add to it, before any of it is made.
func CostOfDelegates(root *VirtualService, find func(name string) *VirtualService) (c bounds.RuleCost) {
	for _, rule := range root.Spec.Http {
		if rule.Delegate == nil {
			continue
		}
		if d := find(DelegateName(rule.Delegate, root.Namespace)); d != nil && len(d.Spec.Hosts) == 0 {
			own, n := d.ofParts, max(1, len(rule.Match))
			c = c.Plus(bounds.RuleCost{Matches: n * own.Matches, Bytes: n * (own.Bytes + own.Matches*proto.Size(rule))}, 1)
		}
	}
	return bounds.RuleCost{Matches: min(c.Matches, bounds.MaxMatches), Bytes: min(c.Bytes, bounds.MaxExpanded)} // where merging ends
}

// WithoutDelegates is the root without the rules that delegate.
func WithoutDelegates(root *VirtualService, winner object.Ref) (*VirtualService, []object.Finding) {
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
	out.Cost = bounds.CostOfRules(out.Spec)
	return &out, []object.Finding{{Object: root.Ref, Field: DelegatedField, Code: object.CodeInvalid, Winner: winner, Message: fmt.Sprintf(
		"with the older roots of namespace %s its delegates add more than %d matches or %d bytes, the most of one namespace; the rules that delegate are left out: delegate from fewer rules",
		root.Namespace, MaxDelegatedMatches, MaxDelegatedBytes)}}
}
