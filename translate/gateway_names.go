package translate

import (
	"fmt"
	"slices"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// nameClaims says whose each name is that clients ask a port for by SNI: that of
// the server which had it first, whatever namespace it is of.
type nameClaims struct {
	servers map[string]nameClaim // by names that servers and rules of PASSTHROUGH have
	guarded map[string][]nameClaim
	shared  map[*traffic.Server]bool // whether others have the server's certificate
}

// nameClaim is a claim to a name: by a server, or by a rule that is bound to it.
type nameClaim struct {
	name   string
	server *traffic.Server
	rule   *traffic.VirtualService // nil: by the server itself
	since  time.Time
}

// claimNames gives each name to the first that claims it. A rule for requests
// claims the names of its hosts as well, against servers that other namespaces add
// later: its hosts are served under the server's own, wider name already.
func (b *gatewayBuilder) claimNames(servers []*traffic.Server) *nameClaims {
	n := &nameClaims{servers: map[string]nameClaim{}, guarded: map[string][]nameClaim{}, shared: sharedCertificates(servers, b.Workload.Namespace)}
	var claims []nameClaim
	for _, s := range servers {
		for _, h := range s.Hosts {
			claims = append(claims, nameClaim{name: h.Host, server: s, since: s.Gateway.Created})
		}
		switch {
		case s.Spec.Tls.GetMode() == networking.ServerTLSSettings_PASSTHROUGH:
			for _, c := range b.passthroughChains(s) {
				claims = append(claims, nameClaim{c.name, s, c.vs, traffic.Bound{VirtualService: c.vs}.Since(s)})
			}
		case s.Protocol == object.ProtocolHTTPS:
			for _, bound := range b.boundTo(s) {
				if vs := bound.VirtualService; len(vs.Spec.Http) > 0 {
					n.guarded[bound.Host] = append(n.guarded[bound.Host], nameClaim{bound.Host, s, vs, bound.Since(s)})
				}
			}
		}
	}
	slices.SortStableFunc(claims, func(a, b nameClaim) int { return a.since.Compare(b.since) })
	for _, c := range claims {
		if _, taken := n.servers[c.name]; !taken && n.guard(c) == nil {
			n.servers[c.name] = c
		}
	}
	return n
}

// guard is the older claim of a rule that keeps the name from the server; nil
// when there is none.
func (n *nameClaims) guard(c nameClaim) *nameClaim {
	for _, g := range n.guarded[c.name] {
		if g.server.Gateway.Namespace != c.server.Gateway.Namespace && g.rule.Namespace != c.server.Gateway.Namespace && g.since.Before(c.since) {
			return &g
		}
	}
	return nil
}

// of are the names of a server, in order, and findings about those that are
// others'.
func (n *nameClaims) of(s *traffic.Server) (own []string, findings []object.Finding) {
	for _, h := range s.Hosts {
		if slices.Contains(own, h.Host) {
			continue
		}
		if f, lost := n.lost(h.Host, s, nil); lost {
			findings = append(findings, f)
			continue
		}
		own = append(own, h.Host)
	}
	slices.Sort(own)
	return own, findings
}

// lost tells whether the name is not the server's, for the rule or (nil) by
// itself, and says whose it is.
func (n *nameClaims) lost(name string, s *traffic.Server, rule *traffic.VirtualService) (object.Finding, bool) {
	w, taken := n.servers[name]
	if taken && w.server == s {
		return object.Finding{}, false
	}
	if !taken {
		c := nameClaim{name: name, server: s, rule: rule, since: s.Gateway.Created}
		if rule != nil {
			c.since = traffic.Bound{VirtualService: rule}.Since(s)
		}
		g := n.guard(c)
		if g == nil {
			return object.Finding{}, false
		}
		w = *g
	}
	f := object.Finding{Object: s.Gateway.Ref, Field: s.FieldOf("hosts"), Code: object.CodeConflict, Winner: w.server.Gateway.Ref}
	if rule != nil {
		f.Object, f.Field = rule.Objects()[0], "spec.tls"
	}
	by := "an older server"
	if w.rule != nil {
		by = fmt.Sprintf("an older server and %s", w.rule.Objects()[0])
	}
	f.Message = fmt.Sprintf("the name %s is served with TLS on port %d by %s, whose certificate and mode are in force; it is left out here: every name may stand in one TLS server of a port", name, s.Number, by)
	return f, true
}

// serverOf is the server to which connections for a host go, which may be a
// pattern; nil when none has the name.
func (n *nameClaims) serverOf(host string) *traffic.Server {
	for at := host; ; {
		if c, ok := n.servers[at]; ok {
			return c.server
		}
		wider, ok := object.Wider(at)
		if !ok {
			return nil
		}
		at = wider
	}
}

// covered are the names of a server for which no chain is served, and which a server of a
// wider name would take.
func (n *nameClaims) covered(s *traffic.Server, served []*listenerv3.FilterChain) (out []string) {
	has := map[string]struct{}{}
	for _, c := range served {
		for _, name := range c.GetFilterChainMatch().GetServerNames() {
			has[name] = struct{}{}
		}
	}
	own, _ := n.of(s)
	for _, name := range own {
		if _, is := has[name]; is {
			continue
		}
		wider := false
		object.WildcardsOf(name, func(pattern string) bool {
			c, claimed := n.servers[pattern]
			wider = claimed && c.server != s && pattern != name
			return !wider
		})
		if wider {
			out = append(out, name)
		}
	}
	return out
}
