package traffic

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// coversMatch tells whether every request that b matches is matched by a. It
// says no where it cannot tell.
func coversMatch(a, b *networking.HTTPMatchRequest) bool {
	if a.Port != 0 && a.Port != b.Port || a.SourceNamespace != "" && a.SourceNamespace != b.SourceNamespace {
		return false
	}
	for k, v := range a.SourceLabels {
		if b.SourceLabels[k] != v {
			return false
		}
	}
	if len(a.Gateways) > 0 && (len(b.Gateways) == 0 || slices.ContainsFunc(b.Gateways, func(g string) bool { return !slices.Contains(a.Gateways, g) })) {
		return false
	}
	for k, v := range a.WithoutHeaders {
		if w, ok := b.WithoutHeaders[k]; !ok || !sameText(v, w) {
			return false
		}
	}
	return coversURI(a, b) && coversText(a.Scheme, b.Scheme) && coversText(a.Method, b.Method) && coversText(a.Authority, b.Authority) &&
		coversAll(a.Headers, b.Headers) && coversAll(a.QueryParams, b.QueryParams)
}

func coversURI(a, b *networking.HTTPMatchRequest) bool {
	if anyPath(a.Uri) {
		return true
	}
	if a.IgnoreUriCase == b.IgnoreUriCase {
		return b.Uri != nil && coversText(a.Uri, b.Uri)
	}
	return false
}

func anyPath(s *networking.StringMatch) bool {
	switch m := s.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		return m.Prefix == "" || m.Prefix == "/"
	case *networking.StringMatch_Regex:
		return m.Regex == ".*"
	case *networking.StringMatch_Exact:
		return false
	}
	return true
}

func coversAll(a, b map[string]*networking.StringMatch) bool {
	for k, v := range a {
		w, ok := b[k]
		if !ok || w == nil || v == nil || !coversText(v, w) {
			return false
		}
	}
	return true
}

// coversText tells whether a matches whatever b does; nil asks for nothing.
func coversText(a, b *networking.StringMatch) bool {
	if a == nil {
		return true
	}
	if b == nil {
		return false
	}
	switch m := a.MatchType.(type) {
	case *networking.StringMatch_Prefix:
		switch n := b.MatchType.(type) {
		case *networking.StringMatch_Prefix:
			return strings.HasPrefix(n.Prefix, m.Prefix)
		case *networking.StringMatch_Exact:
			return strings.HasPrefix(n.Exact, m.Prefix)
		}
		return m.Prefix == ""
	case nil:
		return true
	}
	return sameText(a, b)
}

func sameText(a, b *networking.StringMatch) bool {
	switch m := a.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		n, ok := b.GetMatchType().(*networking.StringMatch_Exact)
		return ok && m.Exact == n.Exact
	case *networking.StringMatch_Prefix:
		n, ok := b.GetMatchType().(*networking.StringMatch_Prefix)
		return ok && m.Prefix == n.Prefix
	case *networking.StringMatch_Regex:
		n, ok := b.GetMatchType().(*networking.StringMatch_Regex)
		return ok && m.Regex == n.Regex
	}
	return b.GetMatchType() == nil
}
