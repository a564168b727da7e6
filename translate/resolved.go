package translate

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/mesh/registry"
)

// refuseInside refuses requests whose host is one of notResolved, where a route would have
// the proxy resolve it (resolution DYNAMIC_DNS): the name, and the port, are whatever the
// client wrote, and the name's owner decides where it leads. Routes to other services take
// such requests as before.
func refuseInside(vh *routev3.VirtualHost, services map[string]bool) {
	if len(services) == 0 {
		return
	}
	var routes []*routev3.Route
	for _, r := range vh.Routes {
		if goesTo(r, services) {
			match := proto.CloneOf(r.Match)
			match.Headers = append(match.Headers, hostNotResolved())
			routes = append(routes, &routev3.Route{
				Name: "not_resolved", Match: match,
				Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 403}},
			})
		}
		routes = append(routes, r)
	}
	vh.Routes = routes
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
