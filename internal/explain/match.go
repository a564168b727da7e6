package explain

import (
	"fmt"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// matches tells whether the request meets the match, and if not, why.
func (w *walk) matches(m *routev3.RouteMatch) (met bool, reason string) {
	if !w.matchesPath(m) {
		return false, fmt.Sprintf("the path is not %s", pathWords(m))
	}
	for _, h := range m.GetHeaders() {
		if !w.matchesHeader(h) {
			not := " not"
			if h.InvertMatch {
				not = ""
			}
			return false, fmt.Sprintf("header %s is%s as in %q", h.Name, not, headerWords(h))
		}
	}
	for _, q := range m.GetQueryParameters() {
		value, there := w.query(q.Name)
		if s := q.GetStringMatch(); !there || s != nil && !matchesText(s, value) {
			return false, fmt.Sprintf("query parameter %s does not match", q.Name)
		}
	}
	if len(m.GetDynamicMetadata()) > 0 {
		return false, "it asks for claims of a token, which are not followed here"
	}
	return true, ""
}

// matchesPath follows envoy.config.route.v3.RouteMatch: only a prefix is
// compared with the query as well.
func (w *walk) matchesPath(m *routev3.RouteMatch) bool {
	full := w.Path
	path, _, _ := strings.Cut(full, "?")
	fold := func(s string) string { return s }
	if m.GetCaseSensitive() != nil && !m.CaseSensitive.Value {
		fold = strings.ToLower
	}
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Path:
		return fold(path) == fold(p.Path)
	case *routev3.RouteMatch_Prefix:
		return strings.HasPrefix(fold(full), fold(p.Prefix))
	case *routev3.RouteMatch_PathSeparatedPrefix:
		rest, ok := strings.CutPrefix(fold(path), fold(p.PathSeparatedPrefix))
		return ok && (rest == "" || rest[0] == '/')
	case *routev3.RouteMatch_SafeRegex:
		return matchesRegex(p.SafeRegex, path)
	}
	return false
}

// matchesHeader follows envoy.config.route.v3.HeaderMatcher: a header that is
// missing meets no comparison, not even an inverted one, unless it is taken
// for an empty one.
func (w *walk) matchesHeader(h *routev3.HeaderMatcher) bool {
	value, there := w.header(h.Name)
	if p, ok := h.HeaderMatchSpecifier.(*routev3.HeaderMatcher_PresentMatch); ok || h.HeaderMatchSpecifier == nil {
		wanted := p == nil || p.PresentMatch
		return (there || h.TreatMissingHeaderAsEmpty) == wanted != h.InvertMatch
	}
	if !there && !h.TreatMissingHeaderAsEmpty {
		return false
	}
	return matchesText(h.GetStringMatch(), value) != h.InvertMatch
}

func matchesText(s *matcherv3.StringMatcher, value string) bool {
	fold := func(t string) string { return t }
	if s.GetIgnoreCase() {
		fold = strings.ToLower
	}
	switch p := s.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return fold(value) == fold(p.Exact)
	case *matcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(fold(value), fold(p.Prefix))
	case *matcherv3.StringMatcher_Suffix:
		return strings.HasSuffix(fold(value), fold(p.Suffix))
	case *matcherv3.StringMatcher_Contains:
		return strings.Contains(fold(value), fold(p.Contains))
	case *matcherv3.StringMatcher_SafeRegex:
		return matchesRegex(p.SafeRegex, value)
	}
	return false
}

// matchesRegex compares all of the text; Go's expressions are those of RE2.
func matchesRegex(m *matcherv3.RegexMatcher, text string) bool {
	re, err := regexp.Compile(`^(?s:` + m.GetRegex() + `)$`)
	return err == nil && re.MatchString(text)
}
