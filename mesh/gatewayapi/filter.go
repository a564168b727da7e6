package gatewayapi

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// httpFilters reads the filters of a rule. Requests that would have to pass a
// filter that is not there get 500.
func (r *Route) httpFilters(rule *httpRule, filters []gatewayv1.HTTPRouteFilter) {
	for i, f := range filters {
		field := fmt.Sprintf("%s.filters[%d]", rule.origin.Field, i)
		switch {
		case f.Type == gatewayv1.HTTPRouteFilterRequestHeaderModifier && f.RequestHeaderModifier != nil:
			addRequestOperations(&rule.served.Headers, f.RequestHeaderModifier)
		case f.Type == gatewayv1.HTTPRouteFilterResponseHeaderModifier && f.ResponseHeaderModifier != nil:
			addResponseOperations(&rule.served.Headers, f.ResponseHeaderModifier)
		case f.Type == gatewayv1.HTTPRouteFilterRequestRedirect && f.RequestRedirect != nil:
			rule.served.Redirect = redirectOf(f.RequestRedirect)
		case f.Type == gatewayv1.HTTPRouteFilterURLRewrite && f.URLRewrite != nil:
			rule.served.Rewrite = rewriteOf(f.URLRewrite)
		case f.Type == gatewayv1.HTTPRouteFilterRequestMirror && f.RequestMirror != nil:
			rule.mirrors = append(rule.mirrors, mirrorOf(field+".requestMirror.backendRef", f.RequestMirror))
		case f.Type == gatewayv1.HTTPRouteFilterCORS && f.CORS != nil:
			rule.served.CorsPolicy = corsOf(f.CORS)
		default:
			r.refuse(rule, field, string(f.Type))
		}
	}
}

// refuse leaves a filter out, and with it all requests that would pass it.
func (r *Route) refuse(rule *httpRule, field, kind string) {
	r.unsupport(object.CodeUnsupported, field, "the filter %s is not supported or says nothing; requests of the rule get 500: remove it", kind)
	rule.refused = true
}

// backendFilters reads the filters of one backend.
func (r *Route) backendFilters(b *Backend, filters []gatewayv1.HTTPRouteFilter) {
	for i, f := range filters {
		switch {
		case f.Type == gatewayv1.HTTPRouteFilterRequestHeaderModifier && f.RequestHeaderModifier != nil:
			addRequestOperations(&b.headers, f.RequestHeaderModifier)
		case f.Type == gatewayv1.HTTPRouteFilterResponseHeaderModifier && f.ResponseHeaderModifier != nil:
			addResponseOperations(&b.headers, f.ResponseHeaderModifier)
		default:
			b.refused = true
			r.unsupport(object.CodeUnsupported, fmt.Sprintf("%s.filters[%d]", b.field, i),
				"the filter %s is not supported on a backend; the backend's share of requests gets 500: move it to the rule", f.Type)
		}
	}
}

func addRequestOperations(to **networking.Headers, f *gatewayv1.HTTPHeaderFilter) {
	if *to == nil {
		*to = &networking.Headers{}
	}
	(*to).Request = headerOperations(f)
}

func addResponseOperations(to **networking.Headers, f *gatewayv1.HTTPHeaderFilter) {
	if *to == nil {
		*to = &networking.Headers{}
	}
	(*to).Response = headerOperations(f)
}

func headerOperations(f *gatewayv1.HTTPHeaderFilter) *networking.Headers_HeaderOperations {
	values := func(l []gatewayv1.HTTPHeader) map[string]string {
		if len(l) == 0 {
			return nil
		}
		out := map[string]string{}
		for _, h := range l {
			if _, taken := out[string(h.Name)]; !taken {
				out[string(h.Name)] = h.Value
			}
		}
		return out
	}
	return &networking.Headers_HeaderOperations{Set: values(f.Set), Add: values(f.Add), Remove: f.Remove}
}

// redirectOf reads a redirect. Without a port it keeps that of the listener,
// unless the scheme is given, which implies one.
func redirectOf(f *gatewayv1.HTTPRequestRedirectFilter) *networking.HTTPRedirect {
	out := &networking.HTTPRedirect{Scheme: deref(f.Scheme, ""), Authority: deref(f.Hostname, ""), RedirectCode: 302}
	if f.StatusCode != nil {
		out.RedirectCode = uint32(max(*f.StatusCode, 0))
	}
	switch {
	case f.Port != nil:
		out.RedirectPort = &networking.HTTPRedirect_Port{Port: uint32(max(*f.Port, 0))}
	case out.Scheme == "":
		out.RedirectPort = &networking.HTTPRedirect_DerivePort{DerivePort: networking.HTTPRedirect_FROM_REQUEST_PORT}
	}
	if p := f.Path; p != nil {
		switch p.Type {
		case gatewayv1.FullPathHTTPPathModifier:
			out.Uri = deref(p.ReplaceFullPath, "/")
		case gatewayv1.PrefixMatchHTTPPathModifier:
			out.PrefixRewrite = rooted(deref(p.ReplacePrefixMatch, "/"))
		}
	}
	return out
}

// rooted is a path that stands for nothing at least by "/".
func rooted(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

func rewriteOf(f *gatewayv1.HTTPURLRewriteFilter) *networking.HTTPRewrite {
	out := &networking.HTTPRewrite{Authority: deref(f.Hostname, "")}
	if p := f.Path; p != nil {
		switch p.Type {
		case gatewayv1.FullPathHTTPPathModifier:
			out.UriRegexRewrite = &networking.RegexRewrite{Match: "^/.*$", Rewrite: strings.ReplaceAll(rooted(deref(p.ReplaceFullPath, "/")), `\`, `\\`)}
		case gatewayv1.PrefixMatchHTTPPathModifier:
			out.Uri = rooted(deref(p.ReplacePrefixMatch, "/"))
		}
	}
	return out
}

func mirrorOf(field string, f *gatewayv1.HTTPRequestMirrorFilter) Backend {
	b := Backend{field: field, ref: f.BackendRef, percent: 100}
	switch {
	case f.Percent != nil:
		b.percent = float64(*f.Percent)
	case f.Fraction != nil:
		denominator := int32(100)
		if f.Fraction.Denominator != nil {
			denominator = *f.Fraction.Denominator
		}
		if denominator > 0 {
			b.percent = min(100, 100*float64(f.Fraction.Numerator)/float64(denominator))
		}
	}
	return b
}

// corsOf reads a CORS filter. Preflight requests of other origins are
// answered by nobody but the proxy.
func corsOf(f *gatewayv1.HTTPCORSFilter) *networking.CorsPolicy {
	out := &networking.CorsPolicy{UnmatchedPreflights: networking.CorsPolicy_IGNORE}
	for _, o := range f.AllowOrigins {
		origin := string(o)
		match := exact(origin)
		if strings.Contains(origin, "*") {
			match = regex(strings.ReplaceAll(regexp.QuoteMeta(origin), `\*`, ".*"))
		}
		out.AllowOrigins = append(out.AllowOrigins, match)
	}
	for _, m := range f.AllowMethods {
		out.AllowMethods = append(out.AllowMethods, string(m))
	}
	for _, h := range f.AllowHeaders {
		out.AllowHeaders = append(out.AllowHeaders, string(h))
	}
	for _, h := range f.ExposeHeaders {
		out.ExposeHeaders = append(out.ExposeHeaders, string(h))
	}
	if f.AllowCredentials != nil {
		out.AllowCredentials = wrapperspb.Bool(*f.AllowCredentials)
	}
	if f.MaxAge > 0 {
		out.MaxAge = &durationpb.Duration{Seconds: int64(f.MaxAge)}
	}
	return out
}
