package security

import (
	"fmt"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// filterKeys begin conditions on what a filter of Envoy wrote of the connection or the
// request, "experimental.envoy.filters.network.NAME[KEY]".
const filterKeys = "experimental.envoy.filters."

// unwritten tells that a condition looks at what no filter writes that proxies are given.
func (b *ruleBuilder) unwritten(field, filter string) {
	f := object.Finding{
		Object: b.policy.Ref, Field: fmt.Sprintf("spec.rules[%d].%s", b.rule, field), Code: object.CodeUnsupported,
		Message: fmt.Sprintf("no proxy is given a filter that writes metadata of %s; the values never match: use an attribute of the request or the connection", filter),
	}
	for _, known := range b.findings {
		if known == f {
			return
		}
	}
	b.findings = append(b.findings, f)
}

// filterMetadata matches a text that a filter wrote, or with brackets, "[v]", a list with
// the text in it.
func filterMetadata(filter, name, v string) *rbacv3.Permission {
	m := &matcherv3.MetadataMatcher{Filter: filter, Path: []*matcherv3.MetadataMatcher_PathSegment{resource.MetadataKey(name)}}
	inner, list := v, strings.HasPrefix(v, "[") && strings.HasSuffix(v, "]")
	if list {
		inner = v[1 : len(v)-1]
	}
	text := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: stringMatch(inner, false)}}
	if m.Value = text; list {
		m.Value = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: text}}}}
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_SourcedMetadata{SourcedMetadata: &rbacv3.SourcedMetadata{MetadataMatcher: m}}}
}
