package translate

import (
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/security"
)

// jwtClaim reads a "header" that stands for a claim of the request's token:
// "@request.auth.claims.a.b" or "@request.auth.claims[a][b]".
func jwtClaim(name string) (path []string, ok bool) {
	rest, ok := strings.CutPrefix(name, "@request.auth.claims")
	if !ok || rest == "" {
		return nil, false
	}
	if dotted, ok := strings.CutPrefix(rest, "."); ok {
		return strings.Split(dotted, "."), dotted != ""
	}
	for rest != "" {
		key, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]")
		if rest[0] != '[' || !ok || key == "" {
			return nil, false
		}
		path, rest = append(path, key), after
	}
	return path, true
}

// claimMatcher compares a claim that is a string, or a list with the string in it.
func claimMatcher(claim []string, s *networking.StringMatch, invert bool) *matcherv3.MetadataMatcher {
	m := &matcherv3.MetadataMatcher{Filter: security.JWTFilter, Invert: invert, Path: []*matcherv3.MetadataMatcher_PathSegment{resource.MetadataKey(security.JWTPayload)}}
	for _, c := range claim {
		m.Path = append(m.Path, resource.MetadataKey(c))
	}
	text := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: stringMatcher(s)}}
	m.Value = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_OrMatch{OrMatch: &matcherv3.OrMatcher{ValueMatchers: []*matcherv3.ValueMatcher{
		text,
		{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: text}}}},
	}}}}
	return m
}
