package translate

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// L4Route leads connections of one tcp or tls rule.
type L4Route struct {
	Prefixes []netip.Prefix // of the address that the client chose; empty: all
	SNI      []string       // tls rules: names or "*.suffix"; empty: all
	Clusters []WeightedCluster
	// HashSourceIP: the destinations' rule balances by the client's address.
	HashSourceIP bool
	// Tunnel is that of the first destination.
	Tunnel Tunnel
	Field  string // the rule, "spec.tcp[0]"
}

// TCPRoutes makes the routes of a VirtualService's tcp rules for one listener
// port, in order. The first without prefixes takes all connections that are
// left, and is the last.
func TCPRoutes(in RouteInput) ([]L4Route, []object.Finding) {
	b := &routeBuilder{RouteInput: in}
	var out []L4Route
	for i, rule := range in.VirtualService.Spec.Tcp {
		o := in.VirtualService.TCPOrigin(i)
		var prefixes []netip.Prefix
		applies, all := len(rule.Match) == 0, len(rule.Match) == 0
		for _, m := range rule.Match {
			if b.appliesTo(m.Port, m.Gateways, m.SourceLabels, m.SourceNamespace) {
				applies, all = true, all || len(m.DestinationSubnets) == 0
				prefixes = append(prefixes, subnets(m.DestinationSubnets)...)
			}
		}
		if !applies {
			continue
		}
		r := b.l4Route(rule.Route, o)
		if all {
			return append(out, r), b.findings
		}
		r.Prefixes = prefixes
		out = append(out, r)
	}
	return out, b.findings
}

// TLSRoutes makes the routes of a VirtualService's tls rules for one listener
// port, in order. A name that an earlier route has for the same addresses is
// left out of later ones, with a finding: Envoy would refuse the listener.
func TLSRoutes(in RouteInput) ([]L4Route, []object.Finding) {
	b := &routeBuilder{RouteInput: in}
	var out []L4Route
	taken := map[string]string{}
	for i, rule := range in.VirtualService.Spec.Tls {
		o := in.VirtualService.TLSOrigin(i)
		var to *L4Route
		for j, m := range rule.Match {
			if !b.appliesTo(m.Port, m.Gateways, m.SourceLabels, m.SourceNamespace) {
				continue
			}
			if to == nil {
				r := b.l4Route(rule.Route, o)
				to = &r
			}
			r := *to
			r.Prefixes = subnets(m.DestinationSubnets)
			r.SNI = b.untaken(taken, sniHosts(m.SniHosts), r.Prefixes, o, ".match["+strconv.Itoa(j)+"].sniHosts")
			if len(r.SNI) == 0 {
				continue
			}
			if slices.Contains(r.SNI, "*") {
				r.SNI = nil
			}
			out = append(out, r)
		}
	}
	return out, b.findings
}

func (b *routeBuilder) l4Route(route []*networking.RouteDestination, o object.Origin) L4Route {
	r := L4Route{Field: o.Field}
	for i, d := range route {
		t := b.target(d.Destination, o, ".route["+strconv.Itoa(i)+"].destination")
		if i == 0 {
			r.Tunnel = t.tunnel
			if len(route) > 1 {
				r.Tunnel = t.tunnelOfAll
			}
		}
		switch {
		case len(route) == 1:
			r.Clusters = []WeightedCluster{{Cluster: t.cluster, Weight: 1}}
		case d.Weight > 0:
			r.Clusters = append(r.Clusters, WeightedCluster{Cluster: t.cluster, Weight: uint32(d.Weight)})
		default:
			continue
		}
		r.HashSourceIP = r.HashSourceIP || t.sourceHash
	}
	return r
}

// untaken are the names that no earlier route has for any of the prefixes.
func (b *routeBuilder) untaken(taken map[string]string, names []string, prefixes []netip.Prefix, o object.Origin, field string) []string {
	keys := func(name string) []string {
		if len(prefixes) == 0 {
			return []string{name}
		}
		var out []string
		for _, p := range prefixes {
			out = append(out, name+" "+p.String())
		}
		return out
	}
	var free []string
	for _, name := range names {
		first := ""
		for _, k := range keys(name) {
			if first == "" {
				first = taken[k]
			}
		}
		if first != "" {
			b.find(o, field, object.CodeShadowed, "the name "+name+" is matched by "+first+" already; it is left out here: remove one of them")
			continue
		}
		for _, k := range keys(name) {
			taken[k] = o.Field
		}
		free = append(free, name)
	}
	return free
}

// sniHosts are the names, each once and in lower case, as Envoy compares them;
// "*" stands for all and needs no others.
func sniHosts(names []string) []string {
	var out []string
	for _, n := range names {
		if n == "*" {
			return []string{"*"}
		}
		if n = strings.ToLower(n); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func subnets(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if p, ok := object.ParseSubnet(s); ok && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// tcpChains are the filter chains of a VirtualService's tcp rules for
// connections to prefixes (empty: all) and names (empty: all). When the last
// one has these very prefixes, no such connection is left out.
func tcpChains(in RouteInput, prefixes []netip.Prefix, sni []string) []Chain {
	routes, _ := TCPRoutes(in)
	var chains []Chain
	for _, r := range routes {
		c := Chain{Prefixes: r.Prefixes, SNI: sni, Clusters: r.Clusters, HashSourceIP: r.HashSourceIP, Tunnel: r.Tunnel}
		if len(c.Prefixes) == 0 {
			c.Prefixes = prefixes
		}
		chains = append(chains, c)
	}
	return chains
}

// tlsChains are the filter chains of a VirtualService's tls rules for
// connections to prefixes (empty: all), one for each name.
func tlsChains(in RouteInput, prefixes []netip.Prefix) []Chain {
	routes, _ := TLSRoutes(in)
	var out []Chain
	for _, r := range routes {
		c := Chain{Prefixes: r.Prefixes, Clusters: r.Clusters, HashSourceIP: r.HashSourceIP, Tunnel: r.Tunnel}
		if len(c.Prefixes) == 0 {
			c.Prefixes = prefixes
		}
		if len(r.SNI) == 0 {
			out = append(out, c)
		}
		for _, name := range r.SNI {
			c.SNI = []string{name}
			out = append(out, c)
		}
	}
	return out
}

// l4Findings are what is wrong with the tcp and tls rules in force for a port.
func (r *resolver) l4Findings(port *registry.Port) []object.Finding {
	if r.connections == nil {
		return nil
	}
	in := r.input(r.connections, port.Number)
	_, findings := TCPRoutes(in)
	if port.Protocol.IsTLS() {
		_, more := TLSRoutes(in)
		findings = append(findings, more...)
	}
	return findings
}
