package translate

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// hashPolicies are what routes to a destination must hash for its
// DestinationRule's consistentHash; none without one. rule may be nil, subset
// "".
func hashPolicies(rule *traffic.DestinationRule, subset string, port uint32) []*routev3.RouteAction_HashPolicy {
	hash := consistentHash(rule, subset, port)
	p := &routev3.RouteAction_HashPolicy{}
	switch k := hash.GetHashKey().(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		p.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: k.HttpHeaderName}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		p.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{Cookie: hashCookie(k.HttpCookie)}
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		if !k.UseSourceIp {
			return nil
		}
		p.PolicySpecifier = &routev3.RouteAction_HashPolicy_ConnectionProperties_{ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		p.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: k.HttpQueryParameterName}}
	}
	if p.PolicySpecifier == nil || p.Validate() != nil {
		return nil
	}
	return []*routev3.RouteAction_HashPolicy{p}
}

// hashCookie maps a cookie. Without a ttl the cookie is only read; with one,
// of 0 for the session, Envoy sets it where it is missing.
func hashCookie(c *networking.LoadBalancerSettings_ConsistentHashLB_HTTPCookie) *routev3.RouteAction_HashPolicy_Cookie {
	out := &routev3.RouteAction_HashPolicy_Cookie{Name: c.GetName(), Path: c.GetPath(), Ttl: c.GetTtl()}
	for _, a := range c.GetAttributes() {
		out.Attributes = append(out.Attributes, &routev3.RouteAction_HashPolicy_CookieAttribute{Name: a.GetName(), Value: a.GetValue()})
	}
	return out
}

// hashesSourceIP tells whether TCP connections to the destination are balanced
// by the client's address.
func hashesSourceIP(rule *traffic.DestinationRule, subset string, port uint32) bool {
	return consistentHash(rule, subset, port).GetUseSourceIp()
}

// consistentHash is the one in force. The mesh's default policy has no say: it
// sets no load balancer.
func consistentHash(rule *traffic.DestinationRule, subset string, port uint32) *networking.LoadBalancerSettings_ConsistentHashLB {
	return effectivePolicy(&mesh.Config{}, rule, rule.Subset(subset), port).consistentHash()
}
