package traffic

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func checkTCPRule(c *ruleCheck, rule *networking.TCPRoute) *networking.TCPRoute {
	c.l4Route(rule.Route)
	var kept []*networking.L4MatchAttributes
	for i, m := range rule.Match {
		field := ".match[" + strconv.Itoa(i) + "]"
		if m.GetSourceSubnet() != "" {
			c.report(object.CodeUnsupported, field+".sourceSubnet", "clients are not told apart by address; the field is ignored: use sourceLabels or sourceNamespace")
		}
		if m != nil && c.l4Match(field, m.Port, m.DestinationSubnets, m.SourceLabels) {
			kept = append(kept, m)
		}
	}
	if len(kept) == len(rule.Match) {
		return rule
	}
	c.unusable = c.unusable || len(kept) == 0
	out := proto.CloneOf(rule)
	out.Match = kept
	return out
}

func checkTLSRule(c *ruleCheck, rule *networking.TLSRoute) *networking.TLSRoute {
	c.l4Route(rule.Route)
	if len(rule.Match) == 0 {
		c.reject(".match", "it matches no name: add a match with sniHosts")
	}
	var kept []*networking.TLSMatchAttributes
	for i, m := range rule.Match {
		field := ".match[" + strconv.Itoa(i) + "]"
		if m != nil && c.sniHosts(field+".sniHosts", m.SniHosts) && c.l4Match(field, m.Port, m.DestinationSubnets, m.SourceLabels) {
			kept = append(kept, m)
		}
	}
	if len(kept) == len(rule.Match) {
		return rule
	}
	c.unusable = c.unusable || len(kept) == 0
	out := proto.CloneOf(rule)
	out.Match = kept
	return out
}

func (c *ruleCheck) l4Route(route []*networking.RouteDestination) {
	if len(route) == 0 {
		c.reject(".route", "it has no destination: add one")
	}
	var weights []int32
	for i, d := range route {
		weights = append(weights, d.GetWeight())
		c.destination(".route["+strconv.Itoa(i)+"].destination", d.GetDestination())
	}
	c.weights(weights)
}

func (c *ruleCheck) l4Match(field string, port uint32, subnets []string, labels map[string]string) bool {
	before := len(c.findings)
	bad := func(sub, format string, args ...any) {
		c.report(object.CodeInvalid, field+sub, format+"; the match is left out", args...)
	}
	if port > 65535 {
		bad(".port", "%d is no port", port)
	}
	for i, s := range subnets {
		if _, ok := object.ParseSubnet(s); !ok {
			bad(".destinationSubnets["+strconv.Itoa(i)+"]", "%q is neither an address nor a CIDR", s)
		}
	}
	sourceLabels(bad, labels)
	return len(c.findings) == before
}

// sniHosts tells whether every name is one that Envoy compares server names
// with: a name, or "*." before one, or "*".
func (c *ruleCheck) sniHosts(field string, names []string) bool {
	if len(names) == 0 {
		c.report(object.CodeInvalid, field, "it has no names; the match is left out: add the server names that clients send")
		return false
	}
	bad := slices.IndexFunc(names, func(n string) bool {
		rest := strings.TrimPrefix(n, "*.")
		return n != "*" && (rest == "" || strings.ContainsAny(rest, "* /:") || control(n))
	})
	if bad < 0 {
		return true
	}
	c.report(object.CodeInvalid, field+"["+strconv.Itoa(bad)+"]", "%q is no server name; the match is left out: write a name, or *. before one", names[bad])
	return false
}
