package traffic

import (
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// connections is what a match of a tcp or tls rule takes.
type connections struct {
	sni      []string // nil: any, or none
	subnets  []string
	port     uint32
	labels   map[string]string
	space    string
	gateways []string
}

func tcpConnections(m *networking.L4MatchAttributes) connections {
	return connections{nil, m.GetDestinationSubnets(), m.GetPort(), m.GetSourceLabels(), m.GetSourceNamespace(), m.GetGateways()}
}

func tlsConnections(m *networking.TLSMatchAttributes) connections {
	return connections{m.GetSniHosts(), m.GetDestinationSubnets(), m.GetPort(), m.GetSourceLabels(), m.GetSourceNamespace(), m.GetGateways()}
}

// covers tells whether every connection that o takes is taken by c. It says no where it
// cannot tell.
func (c connections) covers(o connections) bool {
	within := func(all, some []string, in func(a, b string) bool) bool {
		return len(all) == 0 || len(some) > 0 && !slices.ContainsFunc(some, func(s string) bool { return !slices.ContainsFunc(all, func(a string) bool { return in(a, s) }) })
	}
	same := func(a, b string) bool { return a == b }
	for k, v := range c.labels {
		if o.labels[k] != v {
			return false
		}
	}
	return (c.port == 0 || c.port == o.port) && (c.space == "" || c.space == o.space) && within(c.subnets, o.subnets, same) &&
		within(c.gateways, o.gateways, same) && within(c.sni, o.sni, coversName)
}

// coversName tells whether a server name or pattern has all names of another.
func coversName(a, b string) bool {
	return a == b || a == "*" || strings.HasPrefix(a, "*.") && strings.HasSuffix(b, a[1:])
}

// shadowedConnections reports matches of a list of tcp or tls rules that no connection
// reaches, because an earlier one takes all that theirs would.
func shadowedConnections[R, M any](c *ruleCheck, rules []R, from []object.Origin, matches func(R) []M, of func(M) connections) {
	type earlier struct {
		connections
		field string
	}
	var seen []earlier
	for i, r := range rules {
		c.field = from[i].Field
		list := matches(r)
		fields := make([]string, len(list))
		all := make([]connections, len(list))
		for j, m := range list {
			fields[j], all[j] = ".match["+strconv.Itoa(j)+"]", of(m)
		}
		if len(list) == 0 { // a tcp rule for everything
			fields, all = []string{""}, []connections{{}}
		}
		for j, o := range all {
			k := slices.IndexFunc(seen, func(e earlier) bool { return e.covers(o) })
			if k >= 0 {
				c.report(object.CodeShadowed, fields[j], "never used, because %s takes these connections first: move it up or remove it", seen[k].field)
			} else if len(seen) < maxShadows {
				seen = append(seen, earlier{connections: o, field: c.field + fields[j]})
			}
		}
	}
}

func (c *ruleCheck) shadowedTCP(rules []*networking.TCPRoute, from []object.Origin) {
	shadowedConnections(c, rules, from, (*networking.TCPRoute).GetMatch, tcpConnections)
}

func (c *ruleCheck) shadowedTLS(rules []*networking.TLSRoute, from []object.Origin) {
	shadowedConnections(c, rules, from, (*networking.TLSRoute).GetMatch, tlsConnections)
}
