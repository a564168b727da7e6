package translate

import (
	"maps"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// GatewayHost is everything that may shape one virtual host of a router.
type GatewayHost struct {
	Name        string        // of the virtual host, and of the resource
	Domain      string        // a host or wildcard
	Rules       []*RouteInput // those that serve it, in order of precedence
	RequiresTLS bool          // requests in plain text are redirected
	Elsewhere   bool          // its requests belong to another server, and are sent there by 421
	Owners      []object.Ref  // the objects that the rules are of
}

// Equal tells whether the two become the same virtual host.
func (h GatewayHost) Equal(o GatewayHost) bool {
	return h.Name == o.Name && h.Domain == o.Domain && h.RequiresTLS == o.RequiresTLS && h.Elsewhere == o.Elsewhere &&
		slices.Equal(h.Owners, o.Owners) && slices.EqualFunc(h.Rules, o.Rules, (*RouteInput).equal)
}

func (in *RouteInput) equal(o *RouteInput) bool {
	return in == o || in.VirtualService == o.VirtualService && in.Gateway == o.Gateway && in.Port == o.Port && in.Source == o.Source && in.Config == o.Config &&
		maps.Equal(in.Destinations, o.Destinations)
}

// JoinRoutes are the routes of several VirtualServices of one host, as a virtual host that
// has nothing else. Of routes that take every request the first is there, as the last of
// all, so that it hides nothing.
func JoinRoutes(rules []*RouteInput) (*routev3.VirtualHost, []object.Finding) {
	vh := &routev3.VirtualHost{}
	var findings []object.Finding
	var last *routev3.Route
	hosts, of := dynamicHosts{}, map[*routev3.Route]object.Ref{}
	for _, in := range rules {
		routes, found := Routes(*in)
		findings = append(findings, found...)
		hosts.addOf(in)
		for _, r := range routes {
			of[r] = in.VirtualService.Ref
			if !CatchAll(r) {
				vh.Routes = append(vh.Routes, r)
			} else if last == nil {
				last = r
			}
		}
	}
	if last != nil {
		vh.Routes = append(vh.Routes, last)
	}
	retriedOnce(vh)
	findings = append(findings, hosts.refuseInside(vh, func(r *routev3.Route) object.Ref { return of[r] })...)
	return vh, findings
}

// Frame is the virtual host in two parts, which its routes come between: what the fields
// before them say, and what those after them do. joined is what its rules became.
func (h GatewayHost) Frame(joined *routev3.VirtualHost) (before, after *routev3.VirtualHost) {
	before = &routev3.VirtualHost{Name: h.Name, Domains: []string{h.Domain}}
	after = &routev3.VirtualHost{RetryPolicy: joined.GetRetryPolicy()}
	if h.Elsewhere {
		before.Routes = answerAll(421)
	}
	if h.RequiresTLS {
		after.RequireTls = routev3.VirtualHost_ALL
		if len(joined.GetRoutes()) == 0 { // the redirect happens before routes are looked at, but Envoy wants one to match
			before.Routes = answerAll(404)
		}
	}
	return before, after
}

// answerAll answers every request.
func answerAll(status uint32) []*routev3.Route {
	return []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: status}},
	}}
}
