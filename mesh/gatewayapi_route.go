package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// The names by which controllers of the Gateway API are told apart.
const (
	// IstioController is what GatewayClasses of people who come from Istio say.
	IstioController = "istio.io/gateway-controller"
	// FairwayController is this control plane's own.
	FairwayController = "fairway-mesh.github.io/gateway-controller"
)

// groupGatewayAPI is the API group of all its kinds.
const groupGatewayAPI = "gateway.networking.k8s.io"

// apiIndex is all that is known of the Gateway API. It never changes.
type apiIndex struct {
	gateways persist.Map[string, *apiGateway] // by "namespace/name"
	routes   persist.Map[string, *apiRoute]   // by Ref.String
	routesOf persist.Map[string, []*apiRoute] // by the Ref.String of each parent, in order of precedence
	classes  map[string]*apiClass             // by name
	grants   map[string][]*referenceGrant     // by namespace
}

// apiRoute is an HTTPRoute, GRPCRoute, TLSRoute or TCPRoute, read once. It
// never changes.
type apiRoute struct {
	ref        object.Ref
	generation int64
	created    time.Time
	parents    []gatewayv1.ParentReference
	hostnames  []string // in lower case, each once; empty: all
	http       []apiRule
	l4         []apiL4Rule // of TLSRoute and TCPRoute
	// unsupported is the first thing that the route asks for and cannot have;
	// empty: nothing.
	unsupported string
	findings    []object.Finding
}

// apiL4Rule is a rule of a TLSRoute or TCPRoute.
type apiL4Rule struct {
	origin   object.Origin
	backends []apiBackend
}

// newAPIRoute reads what all kinds of routes have.
func newAPIRoute(kind object.Kind, m *metav1.ObjectMeta, spec *gatewayv1.CommonRouteSpec, hostnames []gatewayv1.Hostname) *apiRoute {
	r := &apiRoute{ref: object.Ref{Kind: kind, Namespace: m.Namespace, Name: m.Name}, generation: m.Generation, created: m.CreationTimestamp.Time, parents: spec.ParentRefs}
	for i, h := range hostnames {
		host := strings.ToLower(string(h))
		if !object.ValidHost(host) {
			r.find(object.CodeInvalid, fmt.Sprintf("spec.hostnames[%d]", i), "%q is no host; it is left out: use a DNS name or a wildcard such as *.example.com", h)
			continue
		}
		if !slices.Contains(r.hostnames, host) {
			r.hostnames = append(r.hostnames, host)
		}
	}
	if len(hostnames) > 0 && len(r.hostnames) == 0 {
		r.parents = nil // it would else serve every host
	}
	if spec.UseDefaultGateways != "" && spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeNone {
		r.find(object.CodeUnsupported, "spec.useDefaultGateways", "default Gateways are not supported; the field is ignored: name the Gateway in parentRefs")
	}
	return r
}

func (r *apiRoute) find(code object.Code, field, format string, args ...any) {
	r.findings = append(r.findings, object.Finding{Object: r.ref, Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
}

// olderAPIRoute is the order of precedence of routes that match alike: by age,
// then by "namespace/name".
func olderAPIRoute(a, b *apiRoute) int {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.ref.Namespace, b.ref.Namespace), cmp.Compare(a.ref.Name, b.ref.Name), cmp.Compare(a.ref.Kind, b.ref.Kind))
}

// parentOf is the object that a reference of the route names, a KindKubeGateway
// or a KindService; false for other kinds.
func (r *apiRoute) parentOf(p gatewayv1.ParentReference) (object.Ref, bool) {
	ns := r.ref.Namespace
	if p.Namespace != nil && *p.Namespace != "" {
		ns = string(*p.Namespace)
	}
	group, kind := deref(p.Group, groupGatewayAPI), deref(p.Kind, "Gateway")
	switch {
	case group == groupGatewayAPI && kind == "Gateway":
		return object.Ref{Kind: object.KindKubeGateway, Namespace: ns, Name: string(p.Name)}, true
	case group == "" && kind == "Service":
		return object.Ref{Kind: object.KindService, Namespace: ns, Name: string(p.Name)}, true
	}
	return object.Ref{}, false
}

// parentRefs are the objects that the route is attached to or wants to be,
// each once.
func (r *apiRoute) parentRefs() (out []object.Ref) {
	if r == nil {
		return nil
	}
	for _, p := range r.parents {
		if ref, ok := r.parentOf(p); ok && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// crosses tells whether any backend of the route is of another namespace, so
// that ReferenceGrants decide about it.
func (r *apiRoute) crosses() bool {
	return slices.ContainsFunc(r.backends(), func(b apiBackend) bool { return b.namespace(r.ref) != r.ref.Namespace })
}

// backends are all of the route, mirrors included.
func (r *apiRoute) backends() (out []apiBackend) {
	for _, rule := range r.http {
		out = append(out, rule.backends...)
		out = append(out, rule.mirrors...)
	}
	for _, rule := range r.l4 {
		out = append(out, rule.backends...)
	}
	return out
}

// parseAPIRoute reads a route of any kind; nil for anything else.
func parseAPIRoute(obj any) *apiRoute {
	switch o := obj.(type) {
	case *gatewayv1.HTTPRoute:
		return parseHTTPRoute(o)
	case *gatewayv1.GRPCRoute:
		return parseGRPCRoute(o)
	case *gatewayv1.TLSRoute:
		return parseTLSRoute(o)
	case *gatewayv1.TCPRoute:
		return parseTCPRoute(o)
	}
	return nil
}

// parseL4Route reads a TLSRoute or TCPRoute.
func parseL4Route(kind object.Kind, m *metav1.ObjectMeta, spec *gatewayv1.CommonRouteSpec, hostnames []gatewayv1.Hostname, rules [][]gatewayv1.BackendRef) *apiRoute {
	r := newAPIRoute(kind, m, spec, hostnames)
	for i, refs := range rules {
		rule := apiL4Rule{origin: object.Origin{Ref: r.ref, Field: fmt.Sprintf("spec.rules[%d]", i)}}
		for j, b := range refs {
			rule.backends = append(rule.backends, newAPIBackend(fmt.Sprintf("%s.backendRefs[%d]", rule.origin.Field, j), b))
		}
		r.l4 = append(r.l4, rule)
	}
	return r
}

func parseTLSRoute(o *gatewayv1.TLSRoute) *apiRoute {
	var rules [][]gatewayv1.BackendRef
	for _, r := range o.Spec.Rules {
		rules = append(rules, r.BackendRefs)
	}
	return parseL4Route(object.KindTLSRoute, &o.ObjectMeta, &o.Spec.CommonRouteSpec, o.Spec.Hostnames, rules)
}

func parseTCPRoute(o *gatewayv1.TCPRoute) *apiRoute {
	var rules [][]gatewayv1.BackendRef
	for _, r := range o.Spec.Rules {
		rules = append(rules, r.BackendRefs)
	}
	return parseL4Route(object.KindTCPRoute, &o.ObjectMeta, &o.Spec.CommonRouteSpec, nil, rules)
}

// deref is the text behind a pointer, or a default.
func deref[T ~string](p *T, otherwise string) string {
	if p == nil {
		return otherwise
	}
	return string(*p)
}
