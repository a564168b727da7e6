package translate

import (
	"maps"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// applies tells whether any request of the clients at hand can meet the match:
// what it says of the gateway, the port and the source is decided here, once,
// and not for each request.
// servesRequests tells whether any of the http rules is for the client and the port.
func (in RouteInput) servesRequests() bool {
	b := &routeBuilder{RouteInput: in}
	return slices.ContainsFunc(in.VirtualService.Spec.Http, func(r *networking.HTTPRoute) bool {
		return len(r.Match) == 0 || slices.ContainsFunc(r.Match, b.applies)
	})
}

func (b *routeBuilder) applies(m *networking.HTTPMatchRequest) bool {
	return b.appliesTo(m.GetPort(), m.GetGateways(), m.GetSourceLabels(), m.GetSourceNamespace())
}

func (b *routeBuilder) appliesTo(port uint32, gateways []string, labels map[string]string, namespace string) bool {
	if port != 0 && port != b.Port || namespace != "" && namespace != b.Source.Namespace {
		return false
	}
	bound := func(g string) bool { return traffic.ResolveGateway(g, b.VirtualService.Namespace) == b.Gateway }
	if len(gateways) > 0 && !slices.ContainsFunc(gateways, bound) {
		return false
	}
	if len(labels) == 0 {
		return true
	}
	have := mesh.Scope{Labels: b.Source.Labels}.LabelMap()
	for k, v := range labels {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// match maps the part of a match that is about the request itself. Prefixes of
// the Gateway API are whole segments of the path.
func (b *routeBuilder) match(m *networking.HTTPMatchRequest) *routev3.RouteMatch {
	out := routeMatch(m)
	if p, ok := out.PathSpecifier.(*routev3.RouteMatch_Prefix); ok && b.VirtualService.GatewayAPI && p.Prefix != "/" {
		out.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: p.Prefix}
	}
	return out
}

// routeMatch maps the part of a match that is about the request itself.
func routeMatch(m *networking.HTTPMatchRequest) *routev3.RouteMatch {
	out := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	switch u := m.GetUri().GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: u.Exact}
	case *networking.StringMatch_Prefix:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: u.Prefix}
	case *networking.StringMatch_Regex:
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: regexMatcher(u.Regex)}
	}
	if m.GetIgnoreUriCase() && m.GetUri().GetRegex() == "" {
		out.CaseSensitive = wrapperspb.Bool(false)
	}
	for _, pseudo := range []struct {
		name  string
		value *networking.StringMatch
	}{{":method", m.GetMethod()}, {":authority", m.GetAuthority()}, {":scheme", m.GetScheme()}} {
		if pseudo.value != nil {
			out.Headers = append(out.Headers, headerMatcher(pseudo.name, pseudo.value))
		}
	}
	addHeaderMatchers(out, m)
	for _, name := range slices.Sorted(maps.Keys(m.GetQueryParams())) {
		out.QueryParameters = append(out.QueryParameters, queryMatcher(name, m.QueryParams[name]))
	}
	return out
}

func addHeaderMatchers(out *routev3.RouteMatch, m *networking.HTTPMatchRequest) {
	for _, name := range slices.Sorted(maps.Keys(m.GetHeaders())) {
		if claim, ok := jwtClaim(name); ok {
			out.DynamicMetadata = append(out.DynamicMetadata, claimMatcher(claim, m.Headers[name], false))
			continue
		}
		out.Headers = append(out.Headers, headerMatcher(name, m.Headers[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetWithoutHeaders())) {
		if claim, ok := jwtClaim(name); ok {
			out.DynamicMetadata = append(out.DynamicMetadata, claimMatcher(claim, m.WithoutHeaders[name], true))
			continue
		}
		h := headerMatcher(name, m.WithoutHeaders[name])
		h.InvertMatch = true
		if _, present := h.HeaderMatchSpecifier.(*routev3.HeaderMatcher_PresentMatch); !present {
			h.TreatMissingHeaderAsEmpty = true // a header that is missing does not have the value either
		}
		out.Headers = append(out.Headers, h)
	}
}

// headerMatcher compares a header, whose lines Envoy joins by commas.
func headerMatcher(name string, s *networking.StringMatch) *routev3.HeaderMatcher {
	h := &routev3.HeaderMatcher{Name: strings.ToLower(name)}
	if anyValue(s) {
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
	} else {
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: stringMatcher(s)}
	}
	return h
}

func queryMatcher(name string, s *networking.StringMatch) *routev3.QueryParameterMatcher {
	q := &routev3.QueryParameterMatcher{Name: name}
	if anyValue(s) {
		q.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
	} else {
		q.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: stringMatcher(s)}
	}
	return q
}

// anyValue tells whether every value will do, if only there is one: an empty
// match, the regex "*" of old, or what comes to the same.
func anyValue(s *networking.StringMatch) bool {
	switch m := s.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		return m.Prefix == ""
	case *networking.StringMatch_Regex:
		return m.Regex == "*" || m.Regex == ".*" || m.Regex == ""
	case *networking.StringMatch_Exact:
		return false
	}
	return true
}

// stringMatcher maps a match that is not anyValue; regexes must match all of
// the value.
func stringMatcher(s *networking.StringMatch) *matcherv3.StringMatcher {
	switch m := s.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: m.Exact}}
	case *networking.StringMatch_Prefix:
		if m.Prefix != "" {
			return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: m.Prefix}}
		}
	case *networking.StringMatch_Regex:
		if m.Regex != "*" && m.Regex != "" {
			return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regexMatcher(m.Regex)}}
		}
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regexMatcher(".*")}}
}

// regexMatcher compares all of a text with a regular expression. Envoy refuses
// those that RE2 compiles to more than a hundred instructions unless its
// bootstrap says otherwise, or the matcher, by a field that is deprecated and
// therefore set only where it is needed.
func regexMatcher(text string) *matcherv3.RegexMatcher {
	m := &matcherv3.RegexMatcher{Regex: text}
	if traffic.RegexCost(text) > freeRegex {
		//nolint:staticcheck // there is no other way for proxies whose bootstrap is not ours
		m.EngineType = &matcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &matcherv3.RegexMatcher_GoogleRE2{MaxProgramSize: wrapperspb.UInt32(maxProgramSize)}}
	}
	return m
}

const (
	freeRegex      = 60      // below Envoy's limit, since the cost is an estimate
	maxProgramSize = 1 << 20 // more than mesh lets through
)
