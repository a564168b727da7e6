package translate

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// Routes makes the routes of a VirtualService's http rules for one listener
// port: one for each match that the client can have, in the order of the
// rules, up to the first that takes every request. No routes mean that no rule
// is for this client. Routes to hosts, subsets or ports that do not exist are
// made, and answer 503; findings say so.
func Routes(in RouteInput) ([]*routev3.Route, []object.Finding) {
	b := &routeBuilder{RouteInput: in}
	for i, rule := range in.VirtualService.Spec.Http {
		b.rule(rule, in.VirtualService.HTTPOrigin(i))
		if n := len(b.routes); n > 0 && CatchAll(b.routes[n-1]) {
			break
		}
	}
	return b.routes, b.findings
}

// CatchAll tells whether the route takes every request, so that none after it
// is ever used.
func CatchAll(r *routev3.Route) bool {
	m := r.GetMatch()
	if len(m.GetHeaders())+len(m.GetQueryParameters())+len(m.GetDynamicMetadata()) > 0 {
		return false
	}
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		return p.Prefix == "/" || p.Prefix == ""
	case *routev3.RouteMatch_SafeRegex:
		return p.SafeRegex.GetRegex() == ".*"
	}
	return false
}

// DefaultRoute leads every request to the service: what a host does that no
// VirtualService speaks of.
func DefaultRoute(service *registry.Service, port uint32, d Destination, cfg *mesh.Config) *routev3.Route {
	host := service.Host
	t := target{
		cluster: resource.OutboundCluster(host, port, ""), host: host, port: port,
		hash: hashPolicies(d.Rule, "", port),
	}
	action := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: t.cluster},
		HashPolicy:       t.hash,
		RetryPolicy:      retryPolicy(nil, len(t.hash) > 0, cfg),
	}
	setTimeout(action, nil)
	r := &routev3.Route{
		Name:   "default",
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: action},
	}
	r.Decorator = decorator(t.address(), r.Match)
	perFilter(r, SessionFilter, session(service))
	return r
}

// routeBuilder gathers the routes of one VirtualService.
type routeBuilder struct {
	RouteInput
	routes   []*routev3.Route
	findings []object.Finding
}

func (b *routeBuilder) find(o object.Origin, field string, code object.Code, message string) {
	b.findings = append(b.findings, object.Finding{Object: o.Ref, Field: o.Field + field, Code: code, Message: message})
}

// findMissing reports that nothing has a host.
func (b *routeBuilder) findMissing(o object.Origin, field, host, message string) {
	b.findings = append(b.findings, object.Finding{Object: o.Ref, Field: o.Field + field, Code: object.CodeHostNotFound, Message: message, Missing: object.Ref{Kind: object.KindHost, Name: host}})
}

func (b *routeBuilder) rule(rule *networking.HTTPRoute, o object.Origin) {
	matches := rule.Match
	if len(matches) == 0 {
		matches = []*networking.HTTPMatchRequest{{}}
	}
	var to *targets
	for _, m := range matches {
		if !b.applies(m) {
			continue
		}
		if to == nil {
			to = b.targets(rule, o)
		}
		r := b.route(rule, m, to, o)
		b.routes = append(b.routes, r)
		if CatchAll(r) {
			return
		}
	}
}

// route is the route of one match of a rule. A rule redirects, answers or
// routes; redirects come first, as in Istio.
func (b *routeBuilder) route(rule *networking.HTTPRoute, m *networking.HTTPMatchRequest, to *targets, o object.Origin) *routev3.Route {
	r := &routev3.Route{
		Name:       routeName(rule.Name, m.Name),
		Match:      b.match(m),
		Metadata:   originMetadata(b.VirtualService, o),
		StatPrefix: m.StatPrefix,
	}
	headers := headerMutationsOf(rule.Headers)
	switch {
	case rule.Redirect != nil:
		to := redirect(rule.Redirect, b.Port)
		if b.VirtualService.GatewayAPI && rule.Redirect.PrefixRewrite != "" {
			to.PathRewriteSpecifier = &routev3.RedirectAction_RegexRewrite{RegexRewrite: replacePrefix(m.GetUri().GetPrefix(), rule.Redirect.PrefixRewrite)}
		}
		r.Action = &routev3.Route_Redirect{Redirect: to}
	case rule.DirectResponse != nil:
		r.Action = &routev3.Route_DirectResponse{DirectResponse: directResponse(rule.DirectResponse)}
	default:
		action := b.action(rule, m, to, &headers)
		r.Action = &routev3.Route_Route{Route: action}
		named := b.VirtualService.Ref
		if b.VirtualService.GatewayAPI {
			named = o.Ref
		}
		r.Decorator = decorator(to.name(named), r.Match)
	}
	headers.applyToRoute(r)
	perFilter(r, FaultFilter, fault(rule.Fault))
	perFilter(r, CORSFilter, cors(rule.CorsPolicy))
	if c := r.GetRoute().GetCluster(); c != "" {
		for _, t := range to.route {
			if t.cluster == c {
				perFilter(r, SessionFilter, t.session)
				break
			}
		}
	}
	return r
}

func routeName(rule, match string) string {
	if rule == "" || match == "" {
		return rule + match
	}
	return rule + "." + match
}

// originMetadata says in a route which rule it comes from, in the form that
// istioctl and Kiali read, and with the rule's place beside.
func originMetadata(of *traffic.VirtualService, o object.Origin) *corev3.Metadata {
	config := "/apis/networking.istio.io/v1/namespaces/" + of.Namespace + "/virtual-service/" + of.Ref.Name
	vs := of.Ref
	if of.GatewayAPI {
		vs = o.Ref
		group, kind, _ := strings.Cut(string(vs.Kind), "/")
		config = "/apis/" + group + "/v1/namespaces/" + vs.Namespace + "/" + strings.ToLower(kind) + "/" + vs.Name
	}
	fields := map[string]*structpb.Value{
		"config": structpb.NewStringValue(config),
		"rule":   structpb.NewStringValue(strings.TrimPrefix(o.Field, "spec.")),
	}
	if o.Ref != vs {
		fields["delegate"] = structpb.NewStringValue(o.Ref.Namespace + "/" + o.Ref.Name)
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": {Fields: fields}}}
}

// decorator names the spans of a route: where it leads, and what it matches.
func decorator(to string, m *routev3.RouteMatch) *routev3.Decorator {
	path := "/*"
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		path = p.Prefix + "*"
	case *routev3.RouteMatch_PathSeparatedPrefix:
		path = p.PathSeparatedPrefix + "/*"
	case *routev3.RouteMatch_Path:
		path = p.Path
	case *routev3.RouteMatch_SafeRegex:
		path = p.SafeRegex.GetRegex()
	}
	return &routev3.Decorator{Operation: to + path}
}
