package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Check is World.CheckReferences for Gateways and routes of the Gateway API:
// nothing about those that are for other controllers.
func (w *View) Check(obj any) (out []object.Finding) {
	switch o := obj.(type) {
	case *gatewayv1.Gateway:
		return w.checkGateway(parseGateway(o))
	case *gatewayv1.ListenerSet:
		return w.checkListenerSet(parseListenerSet(o))
	case *gatewayv1.BackendTLSPolicy:
		return w.PolicyFindings(parseBackendTLSPolicy(o))
	}
	r := ParseRoute(obj)
	if r == nil {
		return nil
	}
	out = w.RouteFindings(r)
	if out == nil && len(r.parents) > 0 && !w.serves(r) {
		return w.missingParents(r)
	}
	for _, b := range r.Backends() {
		if problem := w.backendProblem(r.Ref, b, w.onlyMesh(r)); problem.Reason == gatewayv1.RouteReasonBackendNotFound {
			code := object.CodeHostNotFound
			if problem.Missing == (object.Ref{}) {
				code = object.CodePortNotFound
			}
			out = append(out, object.Finding{Object: r.Ref, Field: b.field, Code: code, Message: problem.Message + "; its share of requests gets 500", Missing: problem.Missing})
		}
	}
	return out
}

// checkGateway is Check for a Gateway: as it would be with the ListenerSets that are there.
func (w *View) checkGateway(declared *Gateway) []object.Finding {
	if w.controllerOf(string(declared.Spec.GatewayClassName)) == "" {
		return nil
	}
	g := declared.settle(w.allowed(declared, w.Namespaces))
	return append(w.gatewayFindings(g), w.unreferenced(g.own())...)
}

// checkListenerSet is Check for a ListenerSet: as it would be in its place among those of
// its Gateway.
func (w *View) checkListenerSet(set *ListenerSet) []object.Finding {
	if set.parent == (object.Ref{}) {
		return set.Findings
	}
	g := w.Gateway(set.parent)
	if g == nil {
		return append(set.Findings, object.Finding{Object: set.Ref, Field: "spec.parentRef", Code: object.CodeUnreferenced, Missing: set.parent,
			Message: fmt.Sprintf("there is no Gateway %s/%s; until there is, no listener is opened: check the name", set.parent.Namespace, set.parent.Name)})
	}
	if w.Served(set.parent) == nil {
		return nil
	}
	if !g.allows(set.Ref.Namespace, w.Namespaces) {
		return append(set.Findings, object.Finding{Object: set.Ref, Field: "spec.parentRef", Code: object.CodeUnreferenced, Message: w.detached(set, g)})
	}
	others := slices.DeleteFunc(w.allowed(g, w.Namespaces), func(s *ListenerSet) bool { return s.Ref == set.Ref })
	i, _ := slices.BinarySearchFunc(others, set, olderSet)
	settled := g.declared.settle(slices.Insert(others, i, set)).attached(set.Ref)
	return append(settled.Findings, w.unreferenced(settled.listeners)...)
}

// unreferenced are the listeners whose certificates their owner may not have.
func (w *View) unreferenced(listeners []*listener) (out []object.Finding) {
	for _, l := range listeners {
		if _, problem := w.certificates(l); problem != (listenerProblem{}) {
			message := strings.TrimPrefix(problem.Message, l.field+".tls.")
			out = append(out, object.Finding{Object: l.of.Ref, Field: l.field + ".tls", Code: object.CodeUnreferenced, Message: message + "; until then the listener is not served"})
		}
	}
	return out
}

// ListenerFindings are what is wrong with a Gateway that this control plane serves, or with
// a ListenerSet for one.
func (w *View) ListenerFindings(ref object.Ref) []object.Finding {
	g := w.ServedBy(ref)
	switch {
	case ref.Kind == object.KindKubeGateway && g != nil:
		return w.gatewayFindings(g)
	case ref.Kind == object.KindKubeGateway:
		return nil
	}
	set := w.ListenerSet(ref)
	switch {
	case set == nil:
		return nil
	case g == nil && set.parent != (object.Ref{}):
		return nil // for another controller, or for a Gateway that may come
	case g == nil:
		return set.Findings
	}
	if in := g.attached(ref); in != nil {
		return in.Findings
	}
	return append(slices.Clip(set.Findings), object.Finding{Object: ref, Field: "spec.parentRef", Code: object.CodeUnreferenced, Message: w.detached(set, g)})
}

// gatewayFindings are what is wrong with a Gateway itself.
func (w *View) gatewayFindings(g *Gateway) []object.Finding {
	out := slices.Clip(g.Findings)
	if problem := w.ForeignAddress(g); problem != "" {
		out = append(out, object.Finding{Object: g.Ref, Field: "spec.addresses", Code: object.CodeUnreferenced, Message: problem})
	}
	if _, problem := w.clientCertificateRef(g); problem != (certificateProblem{}) {
		out = append(out, object.Finding{Object: g.Ref, Field: clientCertificateField, Code: object.CodeUnreferenced, Message: problem.Message + "; until then servers are shown no certificate"})
	}
	return append(out, w.FrontendFindings(g)...)
}

// missingParents says which Gateways and ListenerSets of a route's parents do not exist,
// for any controller.
func (w *View) missingParents(r *Route) (out []object.Finding) {
	for i, p := range r.parents {
		ref, ok := r.parentOf(p)
		if !ok || !declaredBy(ref) || w.Gateway(ref) != nil || w.ListenerSet(ref) != nil {
			continue
		}
		_, kind := groupKind(ref.Kind)
		out = append(out, object.Finding{Object: r.Ref, Field: fmt.Sprintf("spec.parentRefs[%d]", i), Code: object.CodeUnreferenced,
			Message: fmt.Sprintf("there is no %s %s/%s; until there is, nothing is routed by it", kind, ref.Namespace, ref.Name), Missing: ref})
	}
	return out
}

// serves tells whether a parent of the route is this control plane's.
func (w *View) serves(r *Route) bool {
	for _, p := range r.parents {
		if _, ours := w.attachProblem(r, p); ours {
			return true
		}
	}
	return false
}

// onlyMesh tells whether the route is for the clients of Services alone.
func (w *View) onlyMesh(r *Route) bool {
	for _, p := range r.parents {
		if ref, _ := r.parentOf(p); declaredBy(ref) && w.ServedBy(ref) != nil {
			return false
		}
	}
	return true
}

// RouteFindings are what is wrong with a route, but for that which comes and
// goes with its backends; none of routes that are for other controllers.
func (w *View) RouteFindings(r *Route) (out []object.Finding) {
	if !w.serves(r) {
		return nil
	}
	for i, p := range r.parents {
		if problem, _ := w.attachProblem(r, p); problem != (attachProblem{}) {
			out = append(out, object.Finding{Object: r.Ref, Field: fmt.Sprintf("spec.parentRefs[%d]", i), Code: object.CodeUnreferenced, Message: problem.Message})
		}
	}
	for _, backend := range r.Backends() {
		_, problem := w.Destination(r.Ref, backend, w.onlyMesh(r))
		if problem == (BackendProblem{}) {
			continue
		}
		code := object.CodeInvalid
		if problem.Reason == gatewayv1.RouteReasonRefNotPermitted {
			code = object.CodeUnreferenced // for an object of the other namespace to mend
		}
		out = append(out, object.Finding{Object: r.Ref, Field: backend.field, Code: code, Message: problem.Message + "; its share of requests gets 500", Missing: problem.Missing})
	}
	return append(out, r.Findings...)
}
