package security

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// neverMatches says why no request has a value that can be read; "" when some may. The
// API takes such values, and a policy is then wider or narrower than its owner meant.
func neverMatches(field, v string) string {
	switch field {
	case "principals":
		if strings.HasPrefix(v, "spiffe://") {
			return "principals are compared without spiffe://, so that no client has it: write it as " + strings.TrimPrefix(v, "spiffe://")
		}
	case "paths":
		if !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "*") {
			return "paths begin with /, so that no request has it: write it as /" + v
		}
	case "methods":
		if up := strings.ToUpper(v); up != v && slices.Contains(requestMethods, strings.TrimSuffix(up, "*")) {
			return "methods are compared letter by letter, and no client writes it so: write it as " + up
		}
	case "hosts":
		if strings.Contains(v, "/") {
			return "a host has neither a scheme nor a path, so that no request has it: write the name alone"
		}
	}
	return ""
}

var requestMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// unmatched tells of values that no request has, in a field of the rule.
func (b *ruleBuilder) unmatched(field, kind string, values ...string) {
	for _, v := range values {
		why := neverMatches(kind, v)
		if why == "" {
			continue
		}
		f := object.Finding{Object: b.policy.Ref, Field: fmt.Sprintf("spec.rules[%d].%s", b.rule, field), Code: object.CodeUnreferenced, Message: fmt.Sprintf("%q: %s", v, why)}
		if !slices.Contains(b.findings, f) {
			b.findings = append(b.findings, f)
		}
	}
}
