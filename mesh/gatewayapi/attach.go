package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// attachment is a route on a listener.
type attachment struct {
	route    *Route
	listener *listener
	hosts    []string // in common; "*": all
}

// attachProblem is why a reference to a parent attaches to nothing; the zero
// one is none.
type attachProblem struct {
	Reason  gatewayv1.RouteConditionReason
	Message string
}

// attach finds the listeners of a Gateway that a reference of a route attaches
// it to.
func (w *View) attach(r *Route, p gatewayv1.ParentReference, g *Gateway) (out []attachment, problem attachProblem) {
	var found, allowed bool
	for _, l := range g.listeners {
		if p.SectionName != nil && *p.SectionName != l.spec.Name || p.Port != nil && *p.Port != l.spec.Port {
			continue
		}
		found = true
		if !slices.Contains(l.kinds, r.Ref.Kind) || !w.admits(g, l, r.Ref.Namespace) {
			continue
		}
		allowed = true
		if hosts := commonHosts(l.hostname, r.Hostnames); len(hosts) > 0 {
			out = append(out, attachment{r, l, hosts})
		}
	}
	switch {
	case !found:
		return nil, attachProblem{gatewayv1.RouteReasonNoMatchingParent, fmt.Sprintf("Gateway %s/%s has no listener with this sectionName and port: correct the reference", g.Ref.Namespace, g.Ref.Name)}
	case !allowed:
		return nil, attachProblem{gatewayv1.RouteReasonNotAllowedByListeners, fmt.Sprintf("no listener of Gateway %s/%s allows routes of this kind from namespace %s: change allowedRoutes there", g.Ref.Namespace, g.Ref.Name, r.Ref.Namespace)}
	case len(out) == 0:
		return nil, attachProblem{gatewayv1.RouteReasonNoMatchingListenerHostname, fmt.Sprintf("no listener of Gateway %s/%s has a hostname in common with the route: change one of them", g.Ref.Namespace, g.Ref.Name)}
	}
	return out, attachProblem{}
}

// attachProblem is why a reference of the route has no effect; false when the
// parent is for other controllers, or there is none.
func (w *View) attachProblem(r *Route, p gatewayv1.ParentReference) (attachProblem, bool) {
	ref, ok := r.parentOf(p)
	if !ok {
		return attachProblem{}, false
	}
	if ref.Kind == object.KindKubeGateway {
		g := w.Served(ref)
		if g == nil {
			return attachProblem{}, false
		}
		_, problem := w.attach(r, p, g)
		return problem, true
	}
	var s *registry.Service
	if h := w.host(strings.ToLower(ref.Name + "." + ref.Namespace + ".svc." + object.Domain)); h != nil && h.Services[0].Kubernetes() {
		s = h.Services[0]
	}
	return attachToService(r, p, ref, s), true
}

// admits tells whether the listener takes routes of the namespace.
func (w *View) admits(g *Gateway, l *listener, namespace string) bool {
	switch l.from {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return namespace == g.Ref.Namespace
	case gatewayv1.NamespacesFromSelector:
		set := labels.Set{"kubernetes.io/metadata.name": namespace} // as the API server sets it
		for k, v := range w.Namespaces[namespace] {
			set[k] = v
		}
		return l.selector.Matches(set)
	}
	return false
}

// commonHosts are the hosts that a listener and a route (none: all) have in
// common.
func commonHosts(listener string, route []string) (out []string) {
	if len(route) == 0 {
		return []string{listener}
	}
	for _, h := range route {
		if host, ok := object.IntersectHosts(listener, h); ok && !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	return out
}

// routesOn are the routes on each listener of a Gateway, each once, in order
// of precedence.
func (w *View) routesOn(g *Gateway) map[*listener][]attachment {
	out := map[*listener][]attachment{}
	for _, r := range w.RoutesOf(g.Ref) {
		for _, p := range r.parents {
			if ref, ok := r.parentOf(p); !ok || ref != g.Ref {
				continue
			}
			attached, _ := w.attach(r, p, g)
			for _, a := range attached {
				if !slices.ContainsFunc(out[a.listener], func(o attachment) bool { return o.route == r }) {
					out[a.listener] = append(out[a.listener], a)
				}
			}
		}
	}
	return out
}

// ownHost tells whether requests for a host belong to the listener, and not to
// another of the Gateway's port that has a hostname closer to it.
func ownHost(g *Gateway, l *listener, host string) bool {
	best := l
	for _, o := range g.listeners {
		if o.serves() && o.spec.Port == l.spec.Port && o.sort() == l.sort() && object.HostMatches(o.hostname, host) && len(o.hostname) > len(best.hostname) {
			best = o
		}
	}
	return best == l
}
