package translate

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// ruleInputs are what a router's rules are translated from. Rules that no server makes
// differ are one input for all servers, so that their routes are made once.
type ruleInputs struct {
	known        map[ruleOn]*RouteInput
	destinations map[*traffic.VirtualService]map[string]Destination
	reached      map[*RouteInput]reach
}

// ruleOn is rules on a server, or on all: then there is no gateway.
type ruleOn struct {
	rules   *traffic.VirtualService
	gateway string
	port    uint32
}

// reach is whose requests rules answer: some, or all.
type reach struct{ some, all bool }

func newRuleInputs() ruleInputs {
	return ruleInputs{map[ruleOn]*RouteInput{}, map[*traffic.VirtualService]map[string]Destination{}, map[*RouteInput]reach{}}
}

// of is what the routes of a VirtualService are made of on a server.
func (r ruleInputs) of(v *mesh.View, s *traffic.Server, vs *traffic.VirtualService) *RouteInput {
	if in := r.known[ruleOn{rules: vs}]; in != nil {
		return in
	}
	on := ruleOn{vs, s.Gateway.Name, s.Number}
	if in := r.known[on]; in != nil {
		return in
	}
	in := routerInput(v, s, vs)
	if to, known := r.destinations[vs]; known {
		in.Destinations = to
	} else if r.destinations[vs] = in.Destinations; !in.dependsOnServer() {
		on = ruleOn{rules: vs}
	}
	r.known[on] = &in
	return &in
}

// dependsOnServer tells whether the routes may be others on a server of another port or
// Gateway.
func (in RouteInput) dependsOnServer() bool {
	if asksForPort(in.VirtualService) {
		return true
	}
	depends := false
	for _, r := range in.VirtualService.Spec.Http {
		depends = depends || r.Redirect != nil
	}
	traffic.EachDestination(in.VirtualService.Spec, func(d *networking.Destination) {
		if d.GetPort().GetNumber() == 0 { // it is the server's unless the service has but one
			to := in.Destinations[object.ResolveHost(d.GetHost(), in.VirtualService.Namespace, object.Domain)]
			depends = depends || to.Kept != nil || onlyPort(to.Service) == 0 || to.Service.Resolution == registry.ResolutionAlias
		}
	})
	return depends
}

// reach tells whether the rules answer some request, and whether they answer all.
func (r ruleInputs) reach(in *RouteInput) (some, all bool) {
	known, ok := r.reached[in]
	if !ok {
		known = in.reach()
		r.reached[in] = known
	}
	return known.some, known.all
}

// anyPath tells whether a match may take every path; CatchAll knows what else it asks for.
func anyPath(uri *networking.StringMatch) bool {
	return uri.GetExact() == "" && (uri.GetPrefix() == "" || uri.GetPrefix() == "/") && (uri.GetRegex() == "" || uri.GetRegex() == ".*")
}

// reach is what Routes would tell.
func (in RouteInput) reach() (out reach) {
	b := &routeBuilder{RouteInput: in}
	for _, rule := range in.VirtualService.Spec.Http {
		if len(rule.Match) == 0 {
			return reach{true, true}
		}
		for _, m := range rule.Match {
			if !b.applies(m) {
				continue
			}
			out.some = true
			if anyPath(m.GetUri()) && CatchAll(&routev3.Route{Match: b.match(m)}) {
				out.all = true
				return out
			}
		}
	}
	return out
}
