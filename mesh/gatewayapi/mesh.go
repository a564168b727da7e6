package gatewayapi

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// attachToService tells why a route with a Service as its parent has no
// effect on the Service's clients.
func attachToService(r *Route, p gatewayv1.ParentReference, ref object.Ref, s *registry.Service) attachProblem {
	switch {
	case s == nil:
		return attachProblem{gatewayv1.RouteReasonNoMatchingParent, fmt.Sprintf("there is no Service %s/%s: check the name and the namespace", ref.Namespace, ref.Name)}
	case p.SectionName != nil && !slices.ContainsFunc(s.Ports, func(port registry.Port) bool { return port.Name == string(*p.SectionName) }):
		return attachProblem{gatewayv1.RouteReasonNoMatchingParent, fmt.Sprintf("Service %s/%s has no port %s: correct sectionName", ref.Namespace, ref.Name, *p.SectionName)}
	case p.Port != nil && s.Port(uint32(max(*p.Port, 0))) == nil:
		return attachProblem{gatewayv1.RouteReasonNoMatchingParent, fmt.Sprintf("Service %s/%s has no port %d: correct the reference", ref.Namespace, ref.Name, *p.Port)}
	}
	return attachProblem{}
}

// ServiceRoutes are the rules that routes make for the clients of a Service,
// which may be nil: one VirtualService of the Service's namespace for all, and
// for each other namespace with routes one for the clients there.
func (w *View) ServiceRoutes(ref object.Ref, s *registry.Service) (out []*traffic.VirtualService) {
	if s == nil {
		return nil
	}
	var namespaces []string
	of := map[string][]*Route{}
	for _, r := range w.RoutesOf(ref) {
		if of[r.Ref.Namespace] == nil {
			namespaces = append(namespaces, r.Ref.Namespace)
		}
		of[r.Ref.Namespace] = append(of[r.Ref.Namespace], r)
	}
	slices.Sort(namespaces)
	for _, ns := range namespaces {
		if v := w.serviceRoute(ref, s, of[ns]); v != nil {
			v.ExportTo = object.Visibility{"*"}
			if ns != s.Namespace {
				v.ExportTo = object.Visibility{"."}
			}
			out = append(out, v)
		}
	}
	return out
}

// serviceRoute joins the routes of one namespace for a Service; nil when none
// of them is attached to it.
func (w *View) serviceRoute(ref object.Ref, s *registry.Service, routes []*Route) *traffic.VirtualService {
	var out *traffic.VirtualService
	for _, port := range append([]registry.Port{{}}, s.Ports...) { // those for one port beside those for all
		var here []*Route
		for _, r := range routes {
			if slices.ContainsFunc(r.parents, func(p gatewayv1.ParentReference) bool {
				parent, ok := r.parentOf(p)
				return ok && parent == ref && attachToService(r, p, ref, s) == attachProblem{} && portOf(p, s) == port.Number
			}) {
				here = append(here, r)
			}
		}
		if len(here) == 0 {
			continue
		}
		v := w.merge(here, merging{host: s.Host, port: port.Number, names: true, mesh: true})
		v.Gateways = []string{object.MeshGateway}
		if out == nil {
			out = v
			continue
		}
		join(out, v)
	}
	if out != nil {
		out.Cost = bounds.CostOfRules(out.Spec)
	}
	return out
}

// portOf is the port of the Service that a reference is for; 0: all.
func portOf(p gatewayv1.ParentReference, s *registry.Service) uint32 {
	if p.Port != nil {
		return uint32(max(*p.Port, 0))
	}
	if p.SectionName != nil {
		for _, port := range s.Ports {
			if port.Name == string(*p.SectionName) {
				return port.Number
			}
		}
	}
	return 0
}

// join adds the rules of a VirtualService made of routes to those of another, in order.
func join(v, o *traffic.VirtualService) {
	var http []mergedRule
	for _, x := range []*traffic.VirtualService{v, o} {
		for i, r := range x.Spec.Http {
			http = append(http, mergedRule{r, x.HTTPOrigin(i)})
		}
	}
	slices.SortStableFunc(http, func(a, b mergedRule) int { return compareMatches(a.Match[0], b.Match[0]) })
	v.ClearHTTP()
	for _, e := range http {
		v.AddHTTP(e.HTTPRoute, e.origin)
	}
	for i, r := range o.Spec.Tcp {
		v.AddTCP(r, o.TCPOrigin(i))
	}
	for i, r := range o.Spec.Tls {
		v.AddTLS(r, o.TLSOrigin(i))
	}
	for _, s := range o.Sources {
		if !slices.Contains(v.Sources, s) {
			v.Sources = append(v.Sources, s)
		}
	}
	for _, d := range o.Destinations {
		if !slices.Contains(v.Destinations, d) {
			v.Destinations = append(v.Destinations, d)
		}
	}
}
