package translate

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/fairway-mesh/fairway/mesh"
)

// hostRoutes is one virtual host of a router while it is gathered.
type hostRoutes struct {
	host      string
	routes    []*routev3.Route
	catchAll  []*routev3.Route // they come last, so that they hide nothing
	owners    []mesh.Ref
	needsTLS  bool
	keep      bool // also when it has nothing to serve: its requests are nobody else's
	elsewhere bool // its requests belong to another server: they came on a connection for this one
	processed map[*mesh.VirtualService]bool
}

// routes makes a route configuration that servers share. Several
// VirtualServices of one host are joined, their catch-alls last.
func (b *gatewayBuilder) routes(name string, port uint32, servers []*mesh.Server) {
	b.plan.Frames = append(b.plan.Frames, name)
	byHost := map[string]*hostRoutes{}
	host := func(h string) *hostRoutes {
		if byHost[h] == nil {
			byHost[h] = &hostRoutes{host: h, processed: map[*mesh.VirtualService]bool{}}
		}
		return byHost[h]
	}
	for _, s := range servers {
		redirect := s.Plain() && s.Spec.Tls.GetHttpsRedirect()
		if s.Gateway.OfAPI() {
			for _, gh := range s.Hosts {
				host(gh.Host).keep = true
			}
			for _, h := range misdirected(s) {
				host(h).elsewhere = true
			}
		}
		for _, bound := range b.View.BoundTo(s) {
			if len(bound.VirtualService.Spec.Http) == 0 {
				continue
			}
			h := host(bound.Host)
			h.needsTLS = h.needsTLS || redirect
			b.add(h, s, bound.VirtualService)
		}
		if redirect { // also for hosts that no VirtualService serves
			for _, gh := range s.Hosts {
				h := host(gh.Host)
				h.needsTLS = true
			}
		}
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
		b.plan.VirtualHosts = append(b.plan.VirtualHosts, GatewayVirtualHost{VirtualHost: &routev3.VirtualHost{
			Name: fmt.Sprintf("%s/blackhole:%d", name, port), Domains: []string{"*"},
		}})
	}
}

// misdirected are the hosts that a server of a Gateway of the Gateway API that ends
// TLS does not answer for: those of the others on its port and, unless it serves
// all, what none of its hosts matches. A client may reuse the connection whose
// certificate is good for both, and asks again on another when it gets 421 (RFC
// 9110, section 15.5.20).
func misdirected(s *mesh.Server) (out []string) {
	if s.Protocol != mesh.ProtocolHTTPS {
		return nil
	}
	own := func(host string) bool {
		return slices.ContainsFunc(s.Hosts, func(h mesh.GatewayHost) bool { return h.Host == host })
	}
	for _, o := range s.Gateway.Servers {
		if o.Number != s.Number || o.Protocol != s.Protocol {
			continue
		}
		for _, h := range o.Hosts {
			if !own(h.Host) && !slices.Contains(out, h.Host) {
				out = append(out, h.Host)
			}
		}
	}
	if !own("*") && !slices.Contains(out, "*") {
		out = append(out, "*")
	}
	return out
}

// add joins the routes of a VirtualService to a host. One that is bound to
// several servers of the listener counts once for each number that its
// matches could tell apart.
func (b *gatewayBuilder) add(h *hostRoutes, s *mesh.Server, vs *mesh.VirtualService) {
	if h.processed[vs] {
		if !asksForPort(vs) {
			return
		}
	}
	h.processed[vs] = true
	routes, findings := Routes(routerInput(b.View, s, vs))
	b.plan.Findings = append(b.plan.Findings, findings...)
	b.plan.Destinations = append(b.plan.Destinations, vs.Destinations...)
	h.owners = append(h.owners, vs.Objects()...)
	for _, r := range routes {
		if CatchAll(r) {
			h.catchAll = append(h.catchAll, r)
		} else {
			h.routes = append(h.routes, r)
		}
	}
}

// asksForPort tells whether some match looks at the port or the gateway, so
// that the routes differ between servers.
func asksForPort(vs *mesh.VirtualService) bool {
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
	routes := h.routes
	if len(h.catchAll) > 0 {
		routes = append(routes, h.catchAll[0])
	}
	if len(routes) == 0 && !h.needsTLS && !h.keep && !h.elsewhere {
		return false
	}
	vh := &routev3.VirtualHost{Name: config + "/" + h.host, Domains: []string{h.host}, Routes: routes}
	if h.elsewhere {
		vh.Routes = []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 421}},
		}}
	}
	if h.needsTLS {
		vh.RequireTls = routev3.VirtualHost_ALL
		if len(routes) == 0 { // the redirect happens before routes are looked at, but Envoy wants one to match
			vh.Routes = []*routev3.Route{{
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 404}},
			}}
		}
	}
	b.plan.VirtualHosts = append(b.plan.VirtualHosts, GatewayVirtualHost{VirtualHost: vh, Owners: h.owners})
	return true
}
