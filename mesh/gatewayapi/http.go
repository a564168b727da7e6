package gatewayapi

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// httpRule is a rule of an HTTPRoute or GRPCRoute in the terms of VirtualServices.
type httpRule struct {
	origin object.Origin
	// matches are at least one. Prefixes are whole segments of the path,
	// without "/" at the end; all paths are a match without uri.
	matches []*networking.HTTPMatchRequest
	// served is what becomes of the requests, but for match, route and mirrors.
	served   *networking.HTTPRoute
	backends []Backend
	mirrors  []Backend
	refused  bool // all requests get 500: the rule asks for something that it cannot have
}

func parseHTTPRoute(o *gatewayv1.HTTPRoute) *Route {
	r := newRoute(object.KindHTTPRoute, &o.ObjectMeta, &o.Spec.CommonRouteSpec, o.Spec.Hostnames)
	for i := range o.Spec.Rules {
		in := &o.Spec.Rules[i]
		rule := httpRule{origin: object.Origin{Ref: r.Ref, Field: fmt.Sprintf("spec.rules[%d]", i)}, served: &networking.HTTPRoute{Name: deref(in.Name, "")}}
		for j, m := range in.Matches {
			if match, ok := r.httpMatch(fmt.Sprintf("%s.matches[%d]", rule.origin.Field, j), m); ok {
				rule.matches = append(rule.matches, match)
			}
		}
		if len(in.Matches) == 0 {
			rule.matches = []*networking.HTTPMatchRequest{{}}
		}
		r.httpFilters(&rule, in.Filters)
		r.httpTimes(&rule, in)
		for j, b := range in.BackendRefs {
			field := fmt.Sprintf("%s.backendRefs[%d]", rule.origin.Field, j)
			backend := newBackend(field, b.BackendRef)
			r.backendFilters(&backend, b.Filters)
			rule.backends = append(rule.backends, backend)
		}
		r.noSession(rule.origin.Field, in.SessionPersistence)
		r.addRule(rule)
	}
	return r
}

// noSession tells that the session persistence of a rule is not served.
func (r *Route) noSession(field string, s *gatewayv1.SessionPersistence) {
	if s != nil {
		r.find(object.CodeUnsupported, field+".sessionPersistence", "session persistence is not supported; the field is ignored: use a DestinationRule with consistentHash")
	}
}

// httpMatch reads a match; false when it cannot be served.
func (r *Route) httpMatch(field string, m gatewayv1.HTTPRouteMatch) (*networking.HTTPMatchRequest, bool) {
	out := &networking.HTTPMatchRequest{}
	if m.Path != nil {
		value := deref(m.Path.Value, "/")
		switch t := deref(m.Path.Type, string(gatewayv1.PathMatchPathPrefix)); gatewayv1.PathMatchType(t) {
		case gatewayv1.PathMatchExact:
			out.Uri = exact(value)
		case gatewayv1.PathMatchRegularExpression:
			out.Uri = regex(value)
		case gatewayv1.PathMatchPathPrefix:
			if prefix := strings.TrimRight(value, "/"); prefix != "" {
				out.Uri = &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: prefix}}
			}
		default:
			r.unsupport(object.CodeUnsupported, field+".path.type", "%q is not supported; the match is left out: use Exact, PathPrefix or RegularExpression", t)
			return nil, false
		}
		if !strings.HasPrefix(value, "/") && out.Uri.GetRegex() == "" {
			r.find(object.CodeInvalid, field+".path.value", "%q does not begin with /, so that no request has it; the match is left out", value)
			return nil, false
		}
	}
	if m.Method != nil {
		out.Method = exact(string(*m.Method))
	}
	for i, h := range m.Headers {
		if !addMatch(&out.Headers, strings.ToLower(string(h.Name)), deref(h.Type, "Exact"), h.Value) {
			r.unsupport(object.CodeUnsupported, fmt.Sprintf("%s.headers[%d].type", field, i), "%q is not supported; the match is left out: use Exact or RegularExpression", *h.Type)
			return nil, false
		}
	}
	for i, q := range m.QueryParams {
		if !addMatch(&out.QueryParams, string(q.Name), deref(q.Type, "Exact"), q.Value) {
			r.unsupport(object.CodeUnsupported, fmt.Sprintf("%s.queryParams[%d].type", field, i), "%q is not supported; the match is left out: use Exact or RegularExpression", *q.Type)
			return nil, false
		}
	}
	return out, true
}

// addMatch adds the match of a header or parameter; of several with one name
// the first counts. False: no such type.
func addMatch(to *map[string]*networking.StringMatch, name, kind, value string) bool {
	match := exact(value)
	switch kind {
	case "Exact":
	case "RegularExpression":
		match = regex(value)
	default:
		return false
	}
	if *to == nil {
		*to = map[string]*networking.StringMatch{}
	}
	if (*to)[name] == nil {
		(*to)[name] = match
	}
	return true
}

func exact(text string) *networking.StringMatch {
	return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: text}}
}

func regex(text string) *networking.StringMatch {
	return &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: text}}
}

// unsupport reports something that keeps a part of the route from being served.
func (r *Route) unsupport(code object.Code, field, format string, args ...any) {
	r.find(code, field, format, args...)
	if r.unsupported == "" {
		r.unsupported = field + ": " + fmt.Sprintf(format, args...)
	}
}

// httpTimes reads timeouts and retries.
func (r *Route) httpTimes(rule *httpRule, in *gatewayv1.HTTPRouteRule) {
	duration := func(field string, d *gatewayv1.Duration) *durationpb.Duration {
		if d == nil {
			return nil
		}
		v, err := time.ParseDuration(string(*d))
		if err != nil || v < 0 {
			r.find(object.CodeInvalid, rule.origin.Field+field, "%q is no duration; the field is ignored: write for example 10s or 500ms", *d)
			return nil
		}
		if v == 0 {
			return nil // none at all
		}
		return durationpb.New(v)
	}
	if t := in.Timeouts; t != nil {
		rule.served.Timeout = duration(".timeouts.request", t.Request)
		if each := duration(".timeouts.backendRequest", t.BackendRequest); each != nil {
			rule.served.Retries = &networking.HTTPRetry{Attempts: defaultAttempts, PerTryTimeout: each}
		}
	}
	retry := in.Retry
	if retry == nil {
		return
	}
	out := &networking.HTTPRetry{Attempts: defaultAttempts, PerTryTimeout: rule.served.Retries.GetPerTryTimeout(), Backoff: duration(".retry.backoff", retry.Backoff)}
	if retry.Attempts != nil {
		out.Attempts = int32(min(max(*retry.Attempts, 0), maxAttempts))
	}
	on := []string{"connect-failure", "refused-stream", "reset", "unavailable", "cancelled"} // reset: also what took longer than backendRequest
	for _, code := range retry.Codes {
		on = append(on, fmt.Sprint(int(code)))
	}
	out.RetryOn = strings.Join(on, ",")
	rule.served.Retries = out
}

const (
	defaultAttempts = 2   // of retries, as in VirtualServices
	maxAttempts     = 255 // more would not be waited for
)

// addRule adds a rule after the checks that rules of VirtualServices go
// through. What they leave out is a finding.
func (r *Route) addRule(rule httpRule) {
	if len(rule.matches) == 0 {
		return // all of them are left out
	}
	probe := rule.served
	probe.Match = rule.matches
	for range rule.mirrors {
		probe.Mirrors = append(probe.Mirrors, &networking.HTTPMirrorPolicy{Destination: &networking.Destination{Host: NoBackend}})
	}
	for _, b := range rule.backends {
		probe.Route = append(probe.Route, &networking.HTTPRouteDestination{Destination: &networking.Destination{Host: NoBackend}, Weight: 1, Headers: b.headers})
	}
	if len(probe.Route) == 0 && probe.Redirect == nil {
		probe.DirectResponse = &networking.HTTPDirectResponse{Status: 500}
	}
	served := traffic.CheckAPIRule(r.Ref, rule.origin.Field, probe)
	for _, f := range served.Findings {
		f.Field = fieldOf(rule.origin.Field, f.Field)
		r.Findings = append(r.Findings, f)
	}
	rule.refused = rule.refused || served.Unusable
	rule.matches = served.Matches
	if len(rule.matches) == 0 {
		return
	}
	checked := served.Rule
	for i := range rule.backends {
		rule.backends[i].headers = checked.Route[i].Headers
	}
	checked.Match, checked.Route, checked.Mirrors, checked.DirectResponse = nil, nil, nil, nil // httpRule makes them
	rule.served = checked
	r.http = append(r.http, rule)
}

// listIndex begins a part of a field's path with a list's place.
var listIndex = regexp.MustCompile(`^\.(match|route)(\[\d+\])`)

// fieldOf is what the Gateway API calls a field of a VirtualService's rule.
func fieldOf(rule, field string) string {
	rest := strings.TrimPrefix(field, rule)
	if m := listIndex.FindStringSubmatch(rest); m != nil {
		return rule + map[string]string{"match": ".matches", "route": ".backendRefs"}[m[1]] + m[2]
	}
	switch {
	case strings.HasPrefix(rest, ".timeout"):
		return rule + ".timeouts.request"
	case strings.HasPrefix(rest, ".retries"):
		return rule + ".retry"
	case rest == "":
		return rule
	}
	return rule + ".filters"
}

// compareMatches orders matches by precedence: an exact path, the longest
// prefix, a regular expression, any path; then a method, the most headers, the
// most query parameters.
func compareMatches(a, b *networking.HTTPMatchRequest) int {
	aRank, aLength := pathRank(a)
	bRank, bLength := pathRank(b)
	method := func(m *networking.HTTPMatchRequest) int {
		if m.Method != nil {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(bRank, aRank), cmp.Compare(bLength, aLength), cmp.Compare(method(b), method(a)),
		cmp.Compare(len(b.Headers), len(a.Headers)), cmp.Compare(len(b.QueryParams), len(a.QueryParams)))
}

func pathRank(m *networking.HTTPMatchRequest) (rank, length int) {
	switch u := m.GetUri().GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return 3, len(u.Exact)
	case *networking.StringMatch_Prefix:
		return 2, len(u.Prefix)
	case *networking.StringMatch_Regex:
		return 1, len(u.Regex)
	}
	return 0, 0
}
