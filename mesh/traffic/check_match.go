package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// matches leaves out each match that cannot be compared; the rule is left out
// with the last of them, since without any it would take every request.
func (c *httpCheck) matches() {
	var kept []*networking.HTTPMatchRequest
	for i, m := range c.in.Match {
		if c.match(".match["+strconv.Itoa(i)+"]", m) {
			kept = append(kept, m)
		}
	}
	switch {
	case len(kept) == len(c.in.Match):
	case len(kept) == 0:
		c.unusable = true
	default:
		c.edit().Match = kept
	}
}

func (c *ruleCheck) match(field string, m *networking.HTTPMatchRequest) bool {
	before := len(c.findings)
	bad := func(sub, format string, args ...any) {
		c.report(object.CodeInvalid, field+sub, "%s; the match is left out", fmt.Sprintf(format, args...))
	}
	if m == nil {
		bad("", "it is empty")
		return false
	}
	for _, s := range []struct {
		name  string
		match *networking.StringMatch
	}{{".uri", m.Uri}, {".scheme", m.Scheme}, {".method", m.Method}, {".authority", m.Authority}} {
		c.text(bad, s.name, s.match, s.name != ".uri")
	}
	for _, h := range []struct {
		name   string
		values map[string]*networking.StringMatch
	}{{".headers", m.Headers}, {".withoutHeaders", m.WithoutHeaders}} {
		for _, name := range slices.Sorted(maps.Keys(h.values)) {
			if !strings.HasPrefix(name, "@request.auth.claims") && !headerName(strings.TrimPrefix(name, ":")) {
				bad(h.name, "%q is not the name of a header: use letters, digits and hyphens", name)
			}
			c.text(bad, h.name+"["+name+"]", h.values[name], true)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.QueryParams)) {
		if name == "" {
			bad(".queryParams", "a parameter has no name")
		}
		c.text(bad, ".queryParams["+name+"]", m.QueryParams[name], true)
	}
	if m.Port > 65535 {
		bad(".port", "%d is no port: write one up to 65535", m.Port)
	}
	sourceLabels(bad, m.SourceLabels)
	return len(c.findings) == before
}

// text checks a match of one text. many is whether the regex "*" stands for
// any value, as it did before regexes were checked.
func (c *ruleCheck) text(bad func(sub, format string, args ...any), field string, s *networking.StringMatch, many bool) {
	switch m := s.GetMatchType().(type) {
	case *networking.StringMatch_Regex:
		if many && (m.Regex == "*" || m.Regex == "") {
			return
		}
		if _, err := c.checkRegex(m.Regex); err != nil {
			bad(field+".regex", "%v: write a regular expression in RE2 syntax, which has no lookaround and no backreferences", err)
		}
	case *networking.StringMatch_Exact:
		if control(m.Exact) {
			bad(field+".exact", "no request holds control characters")
		}
	case *networking.StringMatch_Prefix:
		if control(m.Prefix) {
			bad(field+".prefix", "no request holds control characters")
		}
	}
}

// sourceLabels checks labels that no Pod could have.
func sourceLabels(bad func(sub, format string, args ...any), labels map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if errs := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(labels[k])...); len(errs) > 0 {
			bad(".sourceLabels", "no workload can have the label %q with the value %q", k, labels[k])
		}
	}
}
