package translate

import (
	"regexp"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/mesh/registry"
)

// refuseInside refuses requests whose host is one of notResolved, where a route would have
// the proxy resolve it (resolution DYNAMIC_DNS): the name, and the port, are whatever the
// client wrote, and the name's owner decides where it leads. A route that writes such a host
// itself refuses all: Envoy resolves that when it tries again. Routes to other services take
// such requests as before.
func refuseInside(vh *routev3.VirtualHost, services map[string]bool) {
	if len(services) == 0 {
		return
	}
	var routes []*routev3.Route
	for _, r := range vh.Routes {
		switch {
		case !goesTo(r, services):
			routes = append(routes, r)
		case slices.ContainsFunc(rewritten(r), leadsInside):
			routes = append(routes, refused(r.Match))
		default:
			refusal := refused(proto.CloneOf(r.Match))
			r.Match.Headers = append(r.Match.Headers, resolvable()...)
			routes = append(routes, r, refusal)
		}
	}
	vh.Routes = routes
}

func refused(m *routev3.RouteMatch) *routev3.Route {
	return &routev3.Route{
		Name: "not_resolved", Match: m,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 403}},
	}
}

// leadsInside tells whether a host is one of notResolved.
func leadsInside(host string) bool {
	return slices.ContainsFunc(insides, func(re *regexp.Regexp) bool { return re.MatchString(host) })
}

// insides are notResolved as this program reads them.
var insides = func() (out []*regexp.Regexp) {
	for _, r := range notResolved {
		out = append(out, regexp.MustCompile("^(?:"+r+")$"))
	}
	return out
}()

// rewritten are the hosts that a route puts in place of the request's.
func rewritten(r *routev3.Route) (out []string) {
	a := r.GetRoute()
	if host := a.GetHostRewriteLiteral(); host != "" {
		out = append(out, host)
	}
	for _, c := range a.GetWeightedClusters().GetClusters() {
		if host := c.GetHostRewriteLiteral(); host != "" {
			out = append(out, host)
		}
	}
	return out
}

// resolvedServices adds the hosts of services whose names proxies resolve to those known.
func resolvedServices(known map[string]bool, services ...*registry.Service) map[string]bool {
	for _, s := range services {
		if s != nil && s.Resolution == registry.ResolutionDynamicDNS {
			if known == nil {
				known = map[string]bool{}
			}
			known[s.Host] = true
		}
	}
	return known
}

// resolvedServices adds those that the routes may lead to, or did while they are kept.
func (in *RouteInput) resolvedServices(known map[string]bool) map[string]bool {
	for _, d := range in.Destinations {
		known = resolvedServices(known, d.Service)
		known = resolvedServices(known, d.Kept.Services()...)
	}
	return known
}

// goesTo tells whether requests of a route, or copies of them, go to one of the services.
func goesTo(r *routev3.Route, services map[string]bool) bool {
	of := func(cluster string) bool { return services[cluster[strings.LastIndexByte(cluster, '|')+1:]] }
	a := r.GetRoute()
	if of(a.GetCluster()) {
		return true
	}
	for _, c := range a.GetWeightedClusters().GetClusters() {
		if of(c.GetName()) {
			return true
		}
	}
	for _, m := range a.GetRequestMirrorPolicies() {
		if of(m.GetCluster()) {
			return true
		}
	}
	return false
}
