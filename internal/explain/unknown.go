package explain

import (
	"net/http"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// tokens says what a filter that checks tokens may find that is not followed here; empty:
// the request bears none, and needs none.
func (w *walk) tokens(f *hcmv3.HttpFilter) string {
	config := &jwtv3.JwtAuthentication{}
	if f.GetTypedConfig().UnmarshalTo(config) != nil {
		return "The request may need a token, and tokens are not checked here."
	}
	for _, p := range config.Providers {
		if w.bears(p) {
			return "The request bears a token, and tokens are not checked here."
		}
	}
	for _, r := range config.Rules {
		if q := r.GetRequires(); q != nil && !withoutToken(q) {
			return "A RequestAuthentication requires a token, and the request bears none where it looks for one."
		}
	}
	return ""
}

// bears tells whether the request has something where the provider looks for a token: by
// default in Authorization and the parameter access_token.
func (w *walk) bears(p *jwtv3.JwtProvider) bool {
	headers, parameters := []string{}, p.FromParams
	for _, h := range p.FromHeaders {
		headers = append(headers, h.Name)
	}
	if len(p.FromHeaders)+len(p.FromParams)+len(p.FromCookies) == 0 {
		if scheme, _, _ := strings.Cut(w.Request.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "bearer") {
			return true
		}
		parameters = []string{"access_token"}
	}
	for _, name := range headers {
		if _, there := w.header(name); there {
			return true
		}
	}
	for _, name := range parameters {
		if _, there := w.query(name); there {
			return true
		}
	}
	cookies := &http.Request{Header: w.Request.Header}
	for _, name := range p.FromCookies {
		if _, err := cookies.Cookie(name); err == nil {
			return true
		}
	}
	return false
}

// withoutToken tells whether a request without a token meets the requirement.
func withoutToken(q *jwtv3.JwtRequirement) bool {
	switch r := q.GetRequiresType().(type) {
	case *jwtv3.JwtRequirement_AllowMissing, *jwtv3.JwtRequirement_AllowMissingOrFailed:
		return true
	case *jwtv3.JwtRequirement_RequiresAny:
		for _, x := range r.RequiresAny.GetRequirements() {
			if withoutToken(x) {
				return true
			}
		}
	case *jwtv3.JwtRequirement_RequiresAll:
		for _, x := range r.RequiresAll.GetRequirements() {
			if !withoutToken(x) {
				return false
			}
		}
		return true
	}
	return false
}

// written are beginnings of headers that proxies on the way write, whatever the client
// sends; added are headers that clients or proxies add where the request says nothing of
// them.
var (
	written = []string{"x-forwarded-", "forwarded", "x-envoy-", "x-request-id", "x-real-ip", "x-b3-", "b3", "traceparent", "tracestate", "baggage",
		"grpc-trace-bin", "x-cloud-trace-context", "x-datadog-", "x-amzn-trace-id", "x-ot-span-context", "sw8", "uber-trace-id", "via", "te", "upgrade", "connection", "keep-alive", "transfer-encoding", "content-length", "early-data"}
	added = map[string]bool{"user-agent": true, "accept": true, "accept-encoding": true}
)

// hasHeader tells whether a request has a header as a policy wants it. Nothing is known of
// those that proxies write, and of values that they put together.
func (w *walk) hasHeader(h *routev3.HeaderMatcher) truth {
	name := strings.ToLower(h.Name)
	value, told := w.header(name)
	if added[name] && !told || told && strings.Contains(value, "%") && !strings.HasPrefix(name, ":") {
		return unknown
	}
	for _, beginning := range written {
		if name == beginning || strings.HasSuffix(beginning, "-") && strings.HasPrefix(name, beginning) {
			return unknown
		}
	}
	return truthOf(w.matchesHeader(h))
}
