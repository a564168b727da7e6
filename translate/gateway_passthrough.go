package translate

import (
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// passthrough are the chains of a server whose clients speak TLS to what is
// behind it.
func (b *gatewayBuilder) passthrough(s *traffic.Server, names *nameClaims) []*listenerv3.FilterChain {
	var out []*listenerv3.FilterChain
	for _, l := range b.passthroughChains(s) {
		if f, lost := names.lost(l.name, s, l.vs); lost {
			b.plan.Findings = append(b.plan.Findings, f)
			continue
		}
		if l.chain.SNI = []string{l.name}; l.name == "*" {
			l.chain.SNI = nil // Envoy has no such name: the chain takes what no other does
		}
		b.plan.Destinations = append(b.plan.Destinations, l.vs.Destinations...)
		out = append(out, b.tcpChain(s, l.chain))
	}
	return out
}

// closed are chains that end the connections for those names of a server that nothing leads
// on. Else a server of a wider name would take them.
func (b *gatewayBuilder) closed(s *traffic.Server, names *nameClaims, served []*listenerv3.FilterChain) []*listenerv3.FilterChain {
	if own := names.covered(s, served); len(own) > 0 {
		return []*listenerv3.FilterChain{b.closedChain(s, own)}
	}
	return nil
}

// closedChain ends the connections for names.
func (b *gatewayBuilder) closedChain(s *traffic.Server, names []string) *listenerv3.FilterChain {
	return b.tcpChain(s, Chain{SNI: names, Clusters: []WeightedCluster{{Cluster: resource.BlackHoleCluster, Weight: 1}}})
}

// passthroughChain leads the connections for one name.
type passthroughChain struct {
	name  string
	vs    *traffic.VirtualService
	chain Chain
}

// passthroughChains are those of all rules of the server, a chain for each name:
// a name may stand in only one.
func (b *gatewayBuilder) passthroughChains(s *traffic.Server) (out []passthroughChain) {
	for _, bound := range b.bound(s) {
		in := routerInput(b.View, s, bound.VirtualService)
		for _, c := range tlsChains(in, nil) {
			names := c.SNI
			if len(names) == 0 {
				names = []string{"*"}
			}
			for _, name := range intersectAll(names, s, bound.VirtualService) {
				out = append(out, passthroughChain{name, bound.VirtualService, c})
			}
		}
		for _, c := range tcpChains(in, nil, nil) { // a VirtualService may lead TLS on without looking at its name
			out = append(out, passthroughChain{bound.Host, bound.VirtualService, c})
		}
	}
	return out
}

// intersectAll are the names that a TLS match, the server and the
// VirtualService have in common.
func intersectAll(sni []string, s *traffic.Server, vs *traffic.VirtualService) []string {
	var out []string
	for _, name := range sni {
		for _, gh := range s.Hosts {
			if h, ok := object.IntersectHosts(gh.Host, name); ok && traffic.ValidServerName(h) && gh.Admits(vs.Namespace) && s.May(h) && !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
	}
	slices.Sort(out)
	return out
}
