package traffic

import (
	"fmt"
	"strconv"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// checkVirtualService leaves out what no proxy could serve, with a finding for
// each: a rule as a whole where serving the rest of it would do something that
// nobody asked for, else the part. The spec itself is not modified, and comes
// back as it is when nothing is left out.
func checkVirtualService(ref object.Ref, spec *networking.VirtualService) (*networking.VirtualService, origins, []object.Finding) {
	c := &ruleCheck{ref: ref}
	out := &networking.VirtualService{Hosts: spec.Hosts, Gateways: spec.Gateways, ExportTo: spec.ExportTo}
	var o origins
	out.Http, o.http = checkRules(c, "spec.http", spec.Http, checkHTTPRule)
	out.Tcp, o.tcp = checkRules(c, "spec.tcp", spec.Tcp, checkTCPRule)
	out.Tls, o.tls = checkRules(c, "spec.tls", spec.Tls, checkTLSRule)
	c.shadowed(out.Http, o.http)
	c.shadowedTCP(out.Tcp, o.tcp)
	c.shadowedTLS(out.Tls, o.tls)
	if !c.changed {
		return spec, origins{}, c.findings
	}
	return out, o, c.findings
}

// checkRules checks one list of rules.
func checkRules[T comparable](c *ruleCheck, list string, rules []T, check func(*ruleCheck, T) T) ([]T, []object.Origin) {
	var none T
	out := make([]T, 0, len(rules))
	from := make([]object.Origin, 0, len(rules))
	for i, rule := range rules {
		c.field, c.unusable = list+"["+strconv.Itoa(i)+"]", false
		if rule == none {
			c.reject("", "it is empty")
			c.changed = true
			continue
		}
		served := check(c, rule)
		if served != rule || c.unusable {
			c.changed = true
		}
		if !c.unusable {
			out = append(out, served)
			from = append(from, object.Origin{Ref: c.ref, Field: c.field})
		}
	}
	return out, from
}

// ruleCheck gathers what is wrong with the rules of one VirtualService.
type ruleCheck struct {
	ref      object.Ref
	field    string // of the rule at hand
	api      bool   // the rules are of the Gateway API, where a redirect may say nothing but its code
	unusable bool   // the rule at hand cannot be served
	changed  bool   // something is left out
	regexes  int    // instructions of the regular expressions until now
	findings []object.Finding
}

// report says something about a part of the rule, which is served.
func (c *ruleCheck) report(code object.Code, field, format string, args ...any) {
	c.findings = append(c.findings, object.Finding{Object: c.ref, Field: c.field + field, Code: code, Message: fmt.Sprintf(format, args...)})
}

// reject leaves the rule at hand out. The message says what is wrong and, after
// a colon, the remedy.
func (c *ruleCheck) reject(field, format string, args ...any) {
	c.unusable = true
	c.report(object.CodeInvalid, field, "the rule is left out, "+format, args...)
}

// shadowed reports rules that no request reaches, because an earlier match
// takes all that theirs would.
func (c *ruleCheck) shadowed(rules []*networking.HTTPRoute, from []object.Origin) {
	type earlier struct {
		match *networking.HTTPMatchRequest
		field string
	}
	var seen []earlier
	find := func(m *networking.HTTPMatchRequest) string {
		for _, e := range seen {
			if coversMatch(e.match, m) {
				return e.field
			}
		}
		return ""
	}
	for i, r := range rules {
		matches := r.Match
		if len(matches) == 0 {
			matches = []*networking.HTTPMatchRequest{{}}
		}
		c.field = from[i].Field
		for j, m := range matches {
			field := ""
			if len(r.Match) > 0 {
				field = ".match[" + strconv.Itoa(j) + "]"
			}
			if by := find(m); by != "" {
				c.report(object.CodeShadowed, field, "never used, because %s takes these requests first: move it up or remove it", by)
			} else if len(seen) < maxShadows {
				seen = append(seen, earlier{match: m, field: c.field + field})
			}
		}
	}
}

// maxShadows bounds the search for rules that are never used, which compares
// each match with all before it.
const maxShadows = 256
