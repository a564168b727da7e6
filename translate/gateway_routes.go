package translate

import (
	"fmt"
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// hostRoutes is one virtual host of a router while it is gathered.
type hostRoutes struct {
	host      string
	owner     *traffic.Server // the first that has the host
	rules     []*RouteInput
	closing   *traffic.Server // whose rules take every request
	owners    []object.Ref
	serves    bool // some request
	needsTLS  bool
	keep      bool // also when it has nothing to serve: its requests are nobody else's
	elsewhere bool // its requests belong to another server: they came on a connection for this one
	processed map[*traffic.VirtualService]bool
}

// hosting is what one server does for one host: it has it (rule nil), or serves a
// rule for it.
type hosting struct {
	host   string
	server *traffic.Server
	rule   *traffic.VirtualService
	since  time.Time
	own    bool // the rule is the router's own, see mesh.View.OwnRoute
}

// hostings are those of the servers in order of precedence: what was there first
// comes first, whose ever it is.
func (b *gatewayBuilder) hostings(servers []*traffic.Server) (out []hosting) {
	for _, s := range servers {
		for _, gh := range s.Hosts {
			out = append(out, hosting{host: gh.Host, server: s, since: s.Gateway.Created})
		}
		for _, bound := range b.boundTo(s) {
			if len(bound.VirtualService.Spec.Http) > 0 {
				out = append(out, hosting{bound.Host, s, bound.VirtualService, bound.Since(s), b.View.OwnRoute(bound.VirtualService)})
			}
		}
	}
	slices.SortStableFunc(out, func(x, y hosting) int {
		if x.own != y.own {
			return map[bool]int{true: -1, false: 1}[x.own]
		}
		return x.since.Compare(y.since)
	})
	return out
}

// routes makes a route configuration that servers share. Several
// VirtualServices of one host are joined, their catch-alls last. Names are those
// of the port's servers that speak TLS; nil for plain HTTP.
func (b *gatewayBuilder) routes(name string, port uint32, servers []*traffic.Server, names *nameClaims) {
	b.plan.Frames = append(b.plan.Frames, name)
	byHost := map[string]*hostRoutes{}
	host := func(h string) *hostRoutes {
		if byHost[h] == nil {
			byHost[h] = &hostRoutes{host: h, processed: map[*traffic.VirtualService]bool{}}
		}
		return byHost[h]
	}
	hostings := b.hostings(servers)
	for _, x := range hostings {
		if h := host(x.host); h.owner == nil {
			h.owner = x.server
		}
	}
	shared := names != nil && names.shared[servers[0]] // requests of HTTPS are of one server
	for _, x := range hostings {                       // first of all, since routes are not added where clients would lose TLS
		h := host(x.host)
		h.keep = h.keep || x.rule == nil && (shared || x.server.Gateway.OfAPI() || b.View.Config.OwnedGatewayHosts)
		if x.server.RedirectsToTLS() && x.server.Gateway.Namespace == h.owner.Gateway.Namespace {
			h.needsTLS = true
		}
	}
	if names != nil {
		for _, h := range misdirected(servers[0], hostings, names) {
			host(h).elsewhere = true
		}
	}
	for _, x := range hostings {
		b.host(byHost[x.host], x)
	}
	hosts := make([]string, 0, len(byHost))
	for h := range byHost {
		hosts = append(hosts, h)
	}
	slices.Sort(hosts)
	served := false
	for _, h := range hosts {
		served = b.virtualHost(name, byHost[h]) || served
	}
	if !served {
		b.plan.Hosts = append(b.plan.Hosts, GatewayHost{Name: fmt.Sprintf("%s/blackhole:%d", name, port), Domain: "*"})
	}
}

// host adds to a host what a server does for it and what older ones leave over.
func (b *gatewayBuilder) host(h *hostRoutes, x hosting) {
	if h.elsewhere {
		return
	}
	winner := h.owner.Gateway.Ref
	switch {
	case x.server.RedirectsToTLS() && !h.needsTLS:
		b.loser(x, winner, "tls.httpsRedirect", "host %s is served in plain HTTP by an older Gateway; neither the redirect nor routes of this server are added to it: use another host", h.host)
	case x.rule == nil || h.processed[x.rule] && !asksForPort(x.rule):
	case h.closing != nil && h.closing.Gateway.Namespace != x.server.Gateway.Namespace:
		b.loser(x, h.closing.Gateway.Ref, "hosts", "the routes of an older Gateway take every request for host %s, so that those of %s are not reached: use another host", h.host, x.rule.Objects()[0])
	default:
		b.add(h, x.server, x.rule)
	}
}

// loser tells the Gateway of a server that an older one wins.
func (b *gatewayBuilder) loser(x hosting, winner object.Ref, field, format string, args ...any) {
	b.plan.Findings = append(b.plan.Findings, object.Finding{Object: x.server.Gateway.Ref, Field: x.server.FieldOf(field), Code: object.CodeConflict, Winner: winner, Message: fmt.Sprintf(format, args...)})
}

// misdirected are the hosts that a server which ends TLS does not answer for: those
// of the port's others and, with one of the Gateway API or of a certificate that others have
// too, what none of its hosts matches (one virtual host, however many the others have). A client may reuse the connection whose
// certificate is good for both, and asks again on another when it gets 421 (RFC
// 9110, section 15.5.20). What another asks of its clients is not undone by it.
func misdirected(s *traffic.Server, hostings []hosting, names *nameClaims) (out []string) {
	var wide []string // of its hosts, those that cover others
	for _, h := range s.Hosts {
		if object.IsWildcard(h.Host) {
			wide = append(wide, h.Host)
		}
	}
	if len(wide) > 0 {
		for name, c := range names.servers {
			if c.server != s && slices.ContainsFunc(wide, func(w string) bool { return object.HostMatches(w, name) }) {
				out = append(out, name)
			}
		}
	}
	for _, x := range hostings {
		if at := names.serverOf(x.host); at != nil && at != s {
			out = append(out, x.host)
		}
	}
	if (s.Gateway.OfAPI() || names.shared[s]) && !slices.Contains(wide, "*") {
		out = append(out, "*")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// add joins the routes of a VirtualService to a host. One that is bound to
// several servers of the listener counts once for each number that its
// matches could tell apart.
func (b *gatewayBuilder) add(h *hostRoutes, s *traffic.Server, vs *traffic.VirtualService) {
	h.processed[vs] = true
	in := b.rules.of(b.View, s, vs)
	b.plan.Destinations = append(b.plan.Destinations, vs.Destinations...)
	h.owners = append(h.owners, vs.Objects()...)
	some, all := b.rules.reach(in)
	if h.rules = append(h.rules, in); some {
		h.serves = true
	}
	if all && h.closing == nil {
		h.closing = s
	}
}

// asksForPort tells whether some match looks at the port or the gateway, so
// that the routes differ between servers.
func asksForPort(vs *traffic.VirtualService) bool {
	for _, r := range vs.Spec.Http {
		for _, m := range r.Match {
			if m.Port != 0 || len(m.Gateways) > 0 {
				return true
			}
		}
	}
	return false
}

// virtualHost adds the host to the plan; false when it has nothing to serve.
func (b *gatewayBuilder) virtualHost(config string, h *hostRoutes) bool {
	if !h.serves && !h.needsTLS && !h.keep && !h.elsewhere {
		return false
	}
	b.plan.Hosts = append(b.plan.Hosts, GatewayHost{Name: config + "/" + h.host, Domain: h.host, Rules: h.rules, RequiresTLS: h.needsTLS, Elsewhere: h.elsewhere, Owners: h.owners})
	return true
}
