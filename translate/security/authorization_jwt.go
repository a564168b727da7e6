package security

import (
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// requestPrincipal reads "ISSUER/SUBJECT" with wildcards. Issuers may hold
// slashes themselves, so that every slash may be the one between the two.
func requestPrincipal(v string) (*rbacv3.Principal, error) {
	if v == "" {
		return nil, errEmpty
	}
	both := func(issuer, subject *matcherv3.StringMatcher) *rbacv3.Principal {
		return andPrincipals([]*rbacv3.Principal{claimText(issuer, "iss"), claimText(subject, "sub")})
	}
	if v == "*" {
		return both(regexMatch(".+"), regexMatch(".+")), nil
	}
	var any []*rbacv3.Principal
	prefix, suffix := strings.HasSuffix(v, "*"), strings.HasPrefix(v, "*")
	switch {
	case suffix && !strings.Contains(v, "/"):
		any = append(any, both(regexMatch(".+"), stringMatch(v, false)))
	case prefix:
		any = append(any, both(stringMatch(v, false), regexMatch(".+")))
	}
	for i := range len(v) {
		if v[i] != '/' {
			continue
		}
		issuer, subject := v[:i], v[i+1:]
		if issuer != "" && subject != "" {
			any = append(any, both(stringMatch(issuer, false), stringMatch(subject, false)))
		}
	}
	if len(any) == 0 { // no issuer and subject make this up
		return notPrincipal(anyPrincipal()), nil
	}
	return orPrincipals(any), nil
}

// claim matches a claim that is a text or a list of texts; deeper claims by
// their path.
func claim(v string, path ...string) *rbacv3.Principal {
	text := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: stringMatch(v, false)}}
	return claimValue(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_OrMatch{OrMatch: &matcherv3.OrMatcher{
		ValueMatchers: []*matcherv3.ValueMatcher{text, {MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{
			MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: text},
		}}}},
	}}}, path)
}

func claimText(m *matcherv3.StringMatcher, path ...string) *rbacv3.Principal {
	return claimValue(&matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: m}}, path)
}

// claimValue looks where the JWT filter puts the claims of valid tokens.
func claimValue(m *matcherv3.ValueMatcher, path []string) *rbacv3.Principal {
	at := []*matcherv3.MetadataMatcher_PathSegment{}
	for _, key := range append([]string{JWTPayload}, path...) {
		at = append(at, &matcherv3.MetadataMatcher_PathSegment{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key}})
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_SourcedMetadata{SourcedMetadata: &rbacv3.SourcedMetadata{
		MetadataMatcher: &matcherv3.MetadataMatcher{Filter: JWTFilter, Path: at, Value: m},
	}}}
}
