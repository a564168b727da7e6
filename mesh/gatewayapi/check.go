package gatewayapi

import (
	"fmt"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Check is World.CheckReferences for Gateways and routes of the Gateway API:
// nothing about those that are for other controllers.
func (w *View) Check(obj any) (out []object.Finding) {
	if o, ok := obj.(*gatewayv1.Gateway); ok {
		if w.controllerOf(string(o.Spec.GatewayClassName)) == "" {
			return nil
		}
		g := parseGateway(o)
		out = append(out, g.Findings...)
		if problem := w.ForeignAddress(g); problem != "" {
			out = append(out, object.Finding{Object: g.Ref, Field: "spec.addresses", Code: object.CodeUnreferenced, Message: problem})
		}
		out = append(out, w.FrontendFindings(g)...)
		for _, l := range g.listeners {
			if _, problem := w.certificates(g, l); problem != (listenerProblem{}) {
				message := strings.TrimPrefix(problem.Message, l.field+".tls.")
				out = append(out, object.Finding{Object: g.Ref, Field: l.field + ".tls", Code: object.CodeUnreferenced, Message: message + "; until then the listener is not served"})
			}
		}
		return out
	}
	if o, ok := obj.(*gatewayv1.BackendTLSPolicy); ok {
		return w.PolicyFindings(parseBackendTLSPolicy(o))
	}
	r := ParseRoute(obj)
	if r == nil {
		return nil
	}
	out = w.RouteFindings(r)
	if out == nil && len(r.parents) > 0 && !w.serves(r) {
		return w.missingGateways(r)
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

// missingGateways says which Gateways of a route's parents do not exist, for any
// controller.
func (w *View) missingGateways(r *Route) (out []object.Finding) {
	for i, p := range r.parents {
		ref, ok := r.parentOf(p)
		if !ok || ref.Kind != object.KindKubeGateway {
			continue
		}
		if w.Gateway(ref) == nil {
			out = append(out, object.Finding{Object: r.Ref, Field: fmt.Sprintf("spec.parentRefs[%d]", i), Code: object.CodeUnreferenced,
				Message: fmt.Sprintf("there is no Gateway %s/%s; until there is, nothing is routed by it", ref.Namespace, ref.Name), Missing: ref})
		}
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
		if ref, _ := r.parentOf(p); ref.Kind == object.KindKubeGateway && w.Served(ref) != nil {
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
