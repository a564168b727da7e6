package gatewayapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// The names by which controllers of the Gateway API are told apart.
const (
	// IstioController is what GatewayClasses of people who come from Istio say.
	IstioController = "istio.io/gateway-controller"
	// FairwayController is this control plane's own.
	FairwayController = "fairway-mesh.github.io/gateway-controller"
)

// Group is the API group of all its kinds.
const Group = "gateway.networking.k8s.io"

// Route is an HTTPRoute, GRPCRoute, TLSRoute or TCPRoute, read once. It
// never changes.
type Route struct {
	Ref        object.Ref
	generation int64
	created    time.Time
	parents    []gatewayv1.ParentReference
	Hostnames  []string // in lower case, each once; empty: all
	http       []httpRule
	l4         []l4Rule // of TLSRoute and TCPRoute
	// unsupported is the first thing that the route asks for and cannot have;
	// empty: nothing.
	unsupported string
	Findings    []object.Finding
}

// l4Rule is a rule of a TLSRoute or TCPRoute.
type l4Rule struct {
	origin   object.Origin
	backends []Backend
}

// newRoute reads what all kinds of routes have.
func newRoute(kind object.Kind, m *metav1.ObjectMeta, spec *gatewayv1.CommonRouteSpec, hostnames []gatewayv1.Hostname) *Route {
	r := &Route{Ref: object.Ref{Kind: kind, Namespace: m.Namespace, Name: m.Name}, generation: m.Generation, created: m.CreationTimestamp.Time, parents: spec.ParentRefs}
	for i, h := range hostnames {
		host := strings.ToLower(string(h))
		if !object.ValidHost(host) {
			r.find(object.CodeInvalid, fmt.Sprintf("spec.hostnames[%d]", i), "%q is no host; it is left out: use a DNS name or a wildcard such as *.example.com", h)
			continue
		}
		if !slices.Contains(r.Hostnames, host) {
			r.Hostnames = append(r.Hostnames, host)
		}
	}
	if len(hostnames) > 0 && len(r.Hostnames) == 0 {
		r.parents = nil // it would else serve every host
	}
	if spec.UseDefaultGateways != "" && spec.UseDefaultGateways != gatewayv1.GatewayDefaultScopeNone {
		r.find(object.CodeUnsupported, "spec.useDefaultGateways", "default Gateways are not supported; the field is ignored: name the Gateway in parentRefs")
	}
	return r
}

func (r *Route) find(code object.Code, field, format string, args ...any) {
	r.Findings = append(r.Findings, object.Finding{Object: r.Ref, Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
}

// olderRoute is the order of precedence of routes that match alike: by age,
// then by "namespace/name".
func olderRoute(a, b *Route) int {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.Ref.Namespace, b.Ref.Namespace), cmp.Compare(a.Ref.Name, b.Ref.Name), cmp.Compare(a.Ref.Kind, b.Ref.Kind))
}

// parentOf is the object that a reference of the route names, a KindKubeGateway, a
// KindListenerSet or a KindService; false for other kinds.
func (r *Route) parentOf(p gatewayv1.ParentReference) (object.Ref, bool) {
	ns := r.Ref.Namespace
	if p.Namespace != nil && *p.Namespace != "" {
		ns = string(*p.Namespace)
	}
	group, kind := deref(p.Group, Group), deref(p.Kind, "Gateway")
	switch {
	case group == Group && kind == "Gateway":
		return object.Ref{Kind: object.KindKubeGateway, Namespace: ns, Name: string(p.Name)}, true
	case group == Group && kind == "ListenerSet":
		return object.Ref{Kind: object.KindListenerSet, Namespace: ns, Name: string(p.Name)}, true
	case group == "" && kind == "Service":
		return object.Ref{Kind: object.KindService, Namespace: ns, Name: string(p.Name)}, true
	}
	return object.Ref{}, false
}

// Parents are the objects that the route is attached to or wants to be,
// each once.
func (r *Route) Parents() (out []object.Ref) {
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
func (r *Route) crosses() bool {
	return slices.ContainsFunc(r.Backends(), func(b Backend) bool { return b.namespace(r.Ref) != r.Ref.Namespace })
}

// Backends are all of the route, mirrors included.
func (r *Route) Backends() (out []Backend) {
	for _, rule := range r.http {
		out = append(out, rule.backends...)
		out = append(out, rule.mirrors...)
	}
	for _, rule := range r.l4 {
		out = append(out, rule.backends...)
	}
	return out
}

// services are the keys of the Services that a route leads to, each once; none of nil.
func (r *Route) services() (out []string) {
	if r == nil {
		return nil
	}
	seen := map[string]struct{}{}
	for _, b := range r.Backends() {
		key := b.namespace(r.Ref) + "/" + string(b.ref.Name)
		if _, known := seen[key]; known || deref(b.ref.Group, "") != "" || deref(b.ref.Kind, "Service") != "Service" {
			continue
		}
		seen[key] = struct{}{}
		out = append(out, key)
	}
	return out
}

// ParseRoute reads a route of any kind; nil for anything else.
func ParseRoute(obj any) *Route {
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
func parseL4Route(kind object.Kind, m *metav1.ObjectMeta, spec *gatewayv1.CommonRouteSpec, hostnames []gatewayv1.Hostname, rules [][]gatewayv1.BackendRef) *Route {
	r := newRoute(kind, m, spec, hostnames)
	for i, refs := range rules {
		rule := l4Rule{origin: object.Origin{Ref: r.Ref, Field: fmt.Sprintf("spec.rules[%d]", i)}}
		for j, b := range refs {
			rule.backends = append(rule.backends, newBackend(fmt.Sprintf("%s.backendRefs[%d]", rule.origin.Field, j), b))
		}
		r.l4 = append(r.l4, rule)
	}
	return r
}

func parseTLSRoute(o *gatewayv1.TLSRoute) *Route {
	var rules [][]gatewayv1.BackendRef
	for _, r := range o.Spec.Rules {
		rules = append(rules, r.BackendRefs)
	}
	return parseL4Route(object.KindTLSRoute, &o.ObjectMeta, &o.Spec.CommonRouteSpec, o.Spec.Hostnames, rules)
}

func parseTCPRoute(o *gatewayv1.TCPRoute) *Route {
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
