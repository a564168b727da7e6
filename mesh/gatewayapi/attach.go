package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

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

// attach finds the listeners that a reference of a route to what declares them attaches
// it to.
func (w *View) attach(r *Route, p gatewayv1.ParentReference, d *declarer, listeners []*listener) (out []attachment, problem attachProblem) {
	var found, allowed bool
	for _, l := range listeners {
		if p.SectionName != nil && *p.SectionName != l.spec.Name || p.Port != nil && *p.Port != l.spec.Port {
			continue
		}
		found = true
		if !slices.Contains(l.kinds, r.Ref.Kind) || !w.admits(l, r.Ref.Namespace) {
			continue
		}
		allowed = true
		if hosts := commonHosts(l.hostname, r.Hostnames); len(hosts) > 0 {
			out = append(out, attachment{r, l, hosts})
		}
	}
	switch {
	case !found:
		return nil, attachProblem{gatewayv1.RouteReasonNoMatchingParent, fmt.Sprintf("%s has no listener with this sectionName and port: correct the reference", d.called())}
	case !allowed:
		return nil, attachProblem{gatewayv1.RouteReasonNotAllowedByListeners, fmt.Sprintf("no listener of %s allows routes of this kind from namespace %s: change allowedRoutes there", d.called(), r.Ref.Namespace)}
	case len(out) == 0:
		return nil, attachProblem{gatewayv1.RouteReasonNoMatchingListenerHostname, fmt.Sprintf("no listener of %s has a hostname in common with the route: change one of them", d.called())}
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
	if declaredBy(ref) {
		g := w.ServedBy(ref)
		if g == nil {
			return attachProblem{}, false
		}
		d, listeners := g.declaredIn(ref)
		if d == nil {
			return attachProblem{gatewayv1.RouteReasonNoMatchingParent, fmt.Sprintf("ListenerSet %s/%s is not attached to its Gateway: see its status", ref.Namespace, ref.Name)}, true
		}
		_, problem := w.attach(r, p, d, listeners)
		return problem, true
	}
	var s *registry.Service
	if h := w.host(strings.ToLower(ref.Name + "." + ref.Namespace + ".svc." + object.Domain)); h != nil && h.Services[0].Kubernetes() {
		s = h.Services[0]
	}
	return attachToService(r, p, ref, s), true
}

// ServedBy finds the Gateway, of those that this control plane serves, that is meant by
// what declares listeners; nil when there is none.
func (w *View) ServedBy(ref object.Ref) *Gateway {
	if ref.Kind == object.KindListenerSet {
		s := w.ListenerSet(ref)
		if s == nil {
			return nil
		}
		ref = s.parent
	}
	return w.Served(ref)
}

// declaredIn are the listeners of the Gateway that an object declares; nil when it is a
// ListenerSet that is not attached.
func (g *Gateway) declaredIn(ref object.Ref) (*declarer, []*listener) {
	if ref == g.Ref {
		return &g.declarer, g.own()
	}
	if s := g.attached(ref); s != nil {
		return &s.declarer, s.listeners
	}
	return nil, nil
}

// own are the listeners that the Gateway itself declares.
func (g *Gateway) own() []*listener {
	n := len(g.listeners)
	for _, s := range g.sets {
		n -= len(s.listeners)
	}
	return g.listeners[:n]
}

// admits tells whether the listener takes routes of the namespace.
func (w *View) admits(l *listener, namespace string) bool {
	return within(l.from, l.selector, l.of.Ref.Namespace, namespace, w.Namespaces)
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

// routesOn are the routes on each listener that an object declares, each once, in order
// of precedence.
func (w *View) routesOn(d *declarer, listeners []*listener) map[*listener][]attachment {
	out := map[*listener][]attachment{}
	for _, r := range w.RoutesOf(d.Ref) {
		for _, p := range r.parents {
			if ref, ok := r.parentOf(p); !ok || ref != d.Ref {
				continue
			}
			attached, _ := w.attach(r, p, d, listeners)
			for _, a := range attached {
				if !slices.ContainsFunc(out[a.listener], func(o attachment) bool { return o.route == r }) {
					out[a.listener] = append(out[a.listener], a)
				}
			}
		}
	}
	return out
}
