package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// NoBackend is the host of destinations that stand for a backend which may not
// be used: nothing in the mesh has it, so that its share of requests gets 500.
const NoBackend = "no-backend.invalid"

// Backend is a place that a route sends requests to.
type Backend struct {
	field   string // "spec.rules[0].backendRefs[1]"
	ref     gatewayv1.BackendObjectReference
	weight  int32
	headers *networking.Headers
	percent float64 // of mirrors: how much is copied
	refused bool    // it asks for a filter that it cannot have
}

func newBackend(field string, b gatewayv1.BackendRef) Backend {
	out := Backend{field: field, ref: b.BackendObjectReference, weight: 1}
	if b.Weight != nil {
		out.weight = max(*b.Weight, 0)
	}
	return out
}

// namespace is that of the backend, for a route that may leave it out.
func (b Backend) namespace(route object.Ref) string {
	return deref(b.ref.Namespace, route.Namespace)
}

// A backendProblem is why a backend cannot be used; the zero one is none.
type BackendProblem struct {
	Reason  gatewayv1.RouteConditionReason
	Message string
	Missing object.Ref // see Finding.Missing
}

// Destination is where the backend of a route leads: NoBackend with the
// problem when the route may not lead there. Whether there is such a service
// is not asked. With mesh the route is for the clients of a Service, who reach
// every other without it too, so that no ReferenceGrant is asked for.
func (w *View) Destination(route object.Ref, b Backend, mesh bool) (*networking.Destination, BackendProblem) {
	group, kind := deref(b.ref.Group, ""), deref(b.ref.Kind, "Service")
	refuse := func(reason gatewayv1.RouteConditionReason, format string, args ...any) (*networking.Destination, BackendProblem) {
		return &networking.Destination{Host: NoBackend, Port: &networking.PortSelector{Number: 1}}, BackendProblem{reason, fmt.Sprintf(format, args...), object.Ref{}}
	}
	var host string
	switch {
	case group == "" && kind == "Service":
		host = strings.ToLower(string(b.ref.Name) + "." + b.namespace(route) + ".svc." + object.Domain)
	case group == "networking.istio.io" && kind == "Hostname":
		host = strings.ToLower(string(b.ref.Name))
	default:
		return refuse(gatewayv1.RouteReasonInvalidKind, "backends of kind %s are not supported: use a Service, or the kind Hostname of networking.istio.io", strings.TrimPrefix(group+"/"+kind, "/"))
	}
	if b.refused {
		return refuse(gatewayv1.RouteReasonInvalidKind, "a filter of the backend is not supported: use header modifiers only")
	}
	if b.ref.Port == nil || *b.ref.Port < 1 || *b.ref.Port > object.MaxPort {
		return refuse(gatewayv1.RouteReasonUnsupportedValue, "the backend has no port from 1 to 65535: give one")
	}
	if ns := b.namespace(route); !mesh && ns != route.Namespace && !w.granted(route, group, kind, ns, string(b.ref.Name)) {
		return refuse(gatewayv1.RouteReasonRefNotPermitted, "no ReferenceGrant in namespace %s allows it: add one there", ns)
	}
	return &networking.Destination{Host: host, Port: &networking.PortSelector{Number: uint32(*b.ref.Port)}}, BackendProblem{}
}

// backendProblem is why requests to the backend of a route get 500 now.
func (w *View) backendProblem(route object.Ref, b Backend, mesh bool) BackendProblem {
	d, problem := w.Destination(route, b, mesh)
	if problem != (BackendProblem{}) {
		return problem
	}
	h := w.host(d.Host)
	if h == nil {
		return BackendProblem{gatewayv1.RouteReasonBackendNotFound, fmt.Sprintf("there is no service %s: check the name and the namespace", d.Host), object.Ref{Kind: object.KindHost, Name: d.Host}}
	}
	if h.Services[0].Resolution != registry.ResolutionAlias && !slices.ContainsFunc(h.Services, func(s *registry.Service) bool { return s.Port(d.Port.Number) != nil }) {
		return BackendProblem{gatewayv1.RouteReasonBackendNotFound, fmt.Sprintf("service %s has no port %d: use one of its ports", d.Host, d.Port.Number), object.Ref{}}
	}
	return BackendProblem{}
}

// referenceGrant is a ReferenceGrant.
type referenceGrant struct {
	ref  object.Ref
	spec *gatewayv1.ReferenceGrantSpec
}

// granted tells whether a ReferenceGrant lets an object refer to one of
// another namespace.
func (w *View) granted(from object.Ref, group, kind, namespace, name string) bool {
	fromGroup, fromKind := groupKind(from.Kind)
	for _, g := range w.grants[namespace] {
		may := slices.ContainsFunc(g.spec.From, func(f gatewayv1.ReferenceGrantFrom) bool {
			return string(f.Group) == fromGroup && string(f.Kind) == fromKind && string(f.Namespace) == from.Namespace
		})
		if may && slices.ContainsFunc(g.spec.To, func(t gatewayv1.ReferenceGrantTo) bool {
			return string(t.Group) == group && string(t.Kind) == kind && (t.Name == nil || *t.Name == "" || string(*t.Name) == name)
		}) {
			return true
		}
	}
	return false
}

// groupKind splits a Kind that carries its group; others are of the core group.
func groupKind(k object.Kind) (group, kind string) {
	group, kind, ok := strings.Cut(string(k), "/")
	if !ok {
		return "", string(k)
	}
	return group, kind
}
