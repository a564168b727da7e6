package gatewayapi

import (
	"fmt"
	"regexp"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func parseGRPCRoute(o *gatewayv1.GRPCRoute) *Route {
	r := newRoute(object.KindGRPCRoute, &o.ObjectMeta, &o.Spec.CommonRouteSpec, o.Spec.Hostnames)
	for i := range o.Spec.Rules {
		in := &o.Spec.Rules[i]
		rule := httpRule{origin: object.Origin{Ref: r.Ref, Field: fmt.Sprintf("spec.rules[%d]", i)}, served: &networking.HTTPRoute{Name: deref(in.Name, "")}}
		for j, m := range in.Matches {
			if match, ok := r.grpcMatch(fmt.Sprintf("%s.matches[%d]", rule.origin.Field, j), m); ok {
				rule.matches = append(rule.matches, match)
			}
		}
		if len(in.Matches) == 0 {
			rule.matches = []*networking.HTTPMatchRequest{{}}
		}
		r.httpFilters(&rule, asHTTPFilters(in.Filters))
		for j, b := range in.BackendRefs {
			backend := newBackend(fmt.Sprintf("%s.backendRefs[%d]", rule.origin.Field, j), b.BackendRef)
			r.backendFilters(&backend, asHTTPFilters(b.Filters))
			rule.backends = append(rule.backends, backend)
		}
		r.noSession(rule.origin.Field, in.SessionPersistence)
		r.addRule(rule)
	}
	return r
}

// grpcMatch reads a match of a service and method, which are the two segments
// of the path of a call; false when it cannot be served.
func (r *Route) grpcMatch(field string, m gatewayv1.GRPCRouteMatch) (*networking.HTTPMatchRequest, bool) {
	out := &networking.HTTPMatchRequest{}
	if c := m.Method; c != nil {
		service, method := deref(c.Service, ""), deref(c.Method, "")
		switch t := deref(c.Type, string(gatewayv1.GRPCMethodMatchExact)); gatewayv1.GRPCMethodMatchType(t) {
		case gatewayv1.GRPCMethodMatchExact:
			out.Uri = exactCall(service, method)
		case gatewayv1.GRPCMethodMatchRegularExpression:
			out.Uri = regex("/" + anySegment(service) + "/" + anySegment(method))
		default:
			r.unsupport(object.CodeUnsupported, field+".method.type", "%q is not supported; the match is left out: use Exact or RegularExpression", t)
			return nil, false
		}
	}
	for i, h := range m.Headers {
		if !addMatch(&out.Headers, strings.ToLower(string(h.Name)), deref(h.Type, "Exact"), h.Value) {
			r.unsupport(object.CodeUnsupported, fmt.Sprintf("%s.headers[%d].type", field, i), "%q is not supported; the match is left out: use Exact or RegularExpression", *h.Type)
			return nil, false
		}
	}
	return out, true
}

func exactCall(service, method string) *networking.StringMatch {
	switch {
	case service != "" && method != "":
		return exact("/" + service + "/" + method)
	case service != "":
		return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: "/" + service}}
	case method != "":
		return regex("/[^/]+/" + regexp.QuoteMeta(method))
	}
	return nil
}

// anySegment is a regular expression for a segment, or that for all.
func anySegment(text string) string {
	if text == "" {
		return "[^/]+"
	}
	return "(?:" + text + ")"
}

// asHTTPFilters reads the filters that both kinds of routes have.
func asHTTPFilters(in []gatewayv1.GRPCRouteFilter) []gatewayv1.HTTPRouteFilter {
	out := make([]gatewayv1.HTTPRouteFilter, 0, len(in))
	for _, f := range in {
		out = append(out, gatewayv1.HTTPRouteFilter{
			Type: gatewayv1.HTTPRouteFilterType(f.Type), RequestHeaderModifier: f.RequestHeaderModifier, ResponseHeaderModifier: f.ResponseHeaderModifier,
			RequestMirror: f.RequestMirror, ExtensionRef: f.ExtensionRef,
		})
	}
	return out
}
