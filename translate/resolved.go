package translate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// dynamicHosts are the hosts of services whose names proxies resolve (resolution
// DYNAMIC_DNS).
type dynamicHosts map[string]bool

func (d dynamicHosts) add(services ...*registry.Service) {
	for _, s := range services {
		if s != nil && s.Resolution == registry.ResolutionDynamicDNS {
			d[s.Host] = true
		}
	}
}

// addOf adds those that the routes may lead to, or did while they are kept.
func (d dynamicHosts) addOf(in *RouteInput) {
	for _, to := range in.Destinations {
		d.add(to.Service)
		d.add(to.Kept.Services()...)
	}
}

func (d dynamicHosts) has(cluster string) bool {
	return d[cluster[strings.LastIndexByte(cluster, '|')+1:]]
}

// leads tells whether requests of a route go to one of the services, and whether copies of
// them do.
func (d dynamicHosts) leads(r *routev3.Route) (requests, copies bool) {
	a := r.GetRoute()
	requests = d.has(a.GetCluster())
	for _, c := range a.GetWeightedClusters().GetClusters() {
		requests = requests || d.has(c.GetName())
	}
	for _, m := range a.GetRequestMirrorPolicies() {
		copies = copies || d.has(m.GetCluster())
	}
	return requests, copies
}

// writesInside tells whether a route writes a host of notResolved for one of the services.
func (d dynamicHosts) writesInside(r *routev3.Route) bool {
	a := r.GetRoute()
	if isNotResolved(a.GetHostRewriteLiteral()) {
		return true
	}
	for _, c := range a.GetWeightedClusters().GetClusters() {
		if d.has(c.GetName()) && isNotResolved(c.GetHostRewriteLiteral()) {
			return true
		}
	}
	return false
}

// alone tells whether the virtual host sends requests nowhere else.
func (d dynamicHosts) alone(vh *routev3.VirtualHost) bool {
	for _, r := range vh.Routes {
		if requests, _ := d.leads(r); r.GetRoute() != nil && !requests {
			return false
		}
	}
	return true
}

// maxGuarded is how many routes of one VirtualService to such services may stand beside
// routes to others: each takes a proxy a second route, and a condition for each expression.
const maxGuarded = 200

// refuseInside refuses requests whose host is one of notResolved where a route would have
// the proxy resolve it: the name, and the port, are whatever the client wrote, and the
// name's owner decides where it leads. A route that writes such a host itself refuses all:
// Envoy resolves that when it tries again. Requests to other services go there as before,
// without copies of them. of is the VirtualService of a route.
func (d dynamicHosts) refuseInside(vh *routev3.VirtualHost, of func(*routev3.Route) object.Ref) (findings []object.Finding) {
	if len(d) == 0 {
		return nil
	}
	var routes []*routev3.Route
	alone := d.alone(vh)
	if alone {
		for _, c := range hostConditions(false) {
			routes = append(routes, refused(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}, Headers: c}))
		}
	}
	guarded := map[object.Ref]int{}
	for _, r := range vh.Routes {
		requests, copies := d.leads(r)
		if requests && d.writesInside(r) {
			routes = append(routes, refused(r.Match))
			continue
		}
		if !requests && !copies || alone {
			routes = append(routes, r)
			continue
		}
		otherwise := refused(proto.CloneOf(r.Match))
		if !requests {
			otherwise = proto.CloneOf(r)
			a := otherwise.GetRoute()
			a.RequestMirrorPolicies = slices.DeleteFunc(a.RequestMirrorPolicies, func(m *routev3.RouteAction_RequestMirrorPolicy) bool { return d.has(m.GetCluster()) })
		}
		ref := of(r)
		if guarded[ref]++; guarded[ref] <= maxGuarded {
			r.Match.Headers = append(r.Match.Headers, hostConditions(true)[0]...)
			routes = append(routes, r)
		} else if guarded[ref] == maxGuarded+1 {
			findings = append(findings, object.Finding{Object: ref, Field: "spec.http", Code: object.CodeInvalid, Message: fmt.Sprintf(
				"more than %d of its routes lead to names that proxies resolve, beside routes of %s that lead elsewhere; those after them answer 403: write them for hosts of their own", maxGuarded, vhostName(vh))})
		}
		routes = append(routes, otherwise)
	}
	vh.Routes = routes
	return findings
}

// vhostName names a virtual host for people.
func vhostName(vh *routev3.VirtualHost) string {
	if len(vh.Domains) == 0 {
		return "the host"
	}
	return vh.Domains[0]
}

func refused(m *routev3.RouteMatch) *routev3.Route {
	return &routev3.Route{
		Name: "not_resolved", Match: m,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 403}},
	}
}

// isNotResolved tells whether a host is one of notResolved.
func isNotResolved(host string) bool {
	return host != "" && slices.ContainsFunc(notResolvedHere, func(re *regexp.Regexp) bool { return re.MatchString(host) })
}

// notResolvedHere are notResolved as this program reads them.
var notResolvedHere = func() (out []*regexp.Regexp) {
	for _, r := range notResolved {
		out = append(out, regexp.MustCompile("^(?:"+r+")$"))
	}
	return out
}()
