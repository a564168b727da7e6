package security

import (
	"fmt"
	"slices"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"google.golang.org/protobuf/proto"
	securityapi "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// ruleBuilder turns one rule of a policy into one of Envoy's: the client must
// be one of `from`, the operation one of `to`, and every `when` must hold.
type ruleBuilder struct {
	*authorization
	policy *mesh.AuthorizationPolicy
	rule   int
	// broad is for actions that restrict by what they match: what cannot be looked at, since
	// only HTTP has it or nobody can read it, counts as matched. For the others it does not match.
	broad bool
}

// build is nil when the rule can never match; all that keeps it from it is told.
func (b *ruleBuilder) build(r *securityapi.Rule) *rbacv3.Policy {
	var who []*rbacv3.Principal
	for i, f := range r.GetFrom() {
		if p, ok := b.source(f.GetSource(), fmt.Sprintf("from[%d].source", i)); ok {
			who = append(who, p)
		}
	}
	var what []*rbacv3.Permission
	for i, t := range r.GetTo() {
		if p, ok := b.operation(t.GetOperation(), fmt.Sprintf("to[%d].operation", i)); ok {
			what = append(what, p)
		}
	}
	never := len(r.GetFrom()) > 0 && len(who) == 0 || len(r.GetTo()) > 0 && len(what) == 0
	var principals []*rbacv3.Principal
	var permissions []*rbacv3.Permission
	if len(who) > 0 {
		principals = append(principals, orPrincipals(who))
	}
	if len(what) > 0 {
		permissions = append(permissions, orPermissions(what))
	}
	for i, c := range r.GetWhen() {
		p, q, ok := b.condition(c, fmt.Sprintf("when[%d]", i))
		never = never || !ok
		if p != nil {
			principals = append(principals, p)
		}
		if q != nil {
			permissions = append(permissions, q)
		}
	}
	if never {
		return nil
	}
	return &rbacv3.Policy{
		Principals:  []*rbacv3.Principal{andPrincipals(principals)},
		Permissions: []*rbacv3.Permission{andPermissions(permissions)},
	}
}

// source is who a client has to be; false when nobody can be.
func (b *ruleBuilder) source(s *securityapi.Source, at string) (*rbacv3.Principal, bool) {
	if saysNothing(s) {
		return anyPrincipal(), b.empty(at)
	}
	var all []*rbacv3.Principal
	ok := true
	field := func(name string, requests bool, values, nots []string, one func(string) (*rbacv3.Principal, error)) {
		b.unmatched(at+"."+name, name, slices.Concat(values, nots)...)
		p, fits := matching(b, at+"."+name, requests, values, nots, one, orPrincipals, notPrincipal)
		ok = ok && fits
		all = append(all, p...)
	}
	field("principals", false, s.GetPrincipals(), s.GetNotPrincipals(), b.principal)
	field("requestPrincipals", true, s.GetRequestPrincipals(), s.GetNotRequestPrincipals(), requestPrincipal)
	field("namespaces", false, s.GetNamespaces(), s.GetNotNamespaces(), sourceNamespace)
	field("serviceAccounts", false, s.GetServiceAccounts(), s.GetNotServiceAccounts(), b.serviceAccount)
	field("trustDomains", false, s.GetTrustDomains(), s.GetNotTrustDomains(), trustDomain)
	field("ipBlocks", false, s.GetIpBlocks(), s.GetNotIpBlocks(), directIP)
	field("remoteIpBlocks", false, s.GetRemoteIpBlocks(), s.GetNotRemoteIpBlocks(), remoteIP)
	return andPrincipals(all), ok
}

// operation is what a client may do; false when that is nothing.
func (b *ruleBuilder) operation(o *securityapi.Operation, at string) (*rbacv3.Permission, bool) {
	if saysNothing(o) {
		return anyPermission(), b.empty(at)
	}
	var all []*rbacv3.Permission
	ok := true
	field := func(name string, requests bool, values, nots []string, one func(string) (*rbacv3.Permission, error)) {
		b.unmatched(at+"."+name, name, slices.Concat(values, nots)...)
		p, fits := matching(b, at+"."+name, requests, values, nots, one, orPermissions, notPermission)
		ok = ok && fits
		all = append(all, p...)
	}
	field("hosts", true, o.GetHosts(), o.GetNotHosts(), hostPermission)
	field("ports", false, o.GetPorts(), o.GetNotPorts(), portPermission)
	field("methods", true, o.GetMethods(), o.GetNotMethods(), methodPermission)
	field("paths", true, o.GetPaths(), o.GetNotPaths(), pathPermission)
	return andPermissions(all), ok
}

// matching is the conditions that one field and its negation make; false when
// they can never hold. requests is for fields that only HTTP has.
func matching[T any](b *ruleBuilder, field string, requests bool, values, nots []string, one func(string) (T, error), or func([]T) T, not func(T) T) ([]T, bool) {
	if len(values) == 0 && len(nots) == 0 {
		return nil, true
	}
	if requests && b.tcp {
		return nil, b.broad
	}
	yes, no := understood(b, field, values, one), understood(b, field, nots, one)
	switch {
	case b.broad && len(yes) < len(values):
		yes = nil // it may be what was meant
	case !b.broad && (len(values) > 0 && len(yes) == 0 || len(no) < len(nots)):
		return nil, false
	}
	var out []T
	if len(yes) > 0 {
		out = append(out, or(yes))
	}
	if len(no) > 0 {
		out = append(out, not(or(no)))
	}
	return out, true
}

// understood are the values that mean something.
func understood[T any](b *ruleBuilder, field string, values []string, one func(string) (T, error)) (out []T) {
	for _, v := range values {
		t, err := one(v)
		if strings.TrimSpace(v) == "" {
			err = errEmpty
		}
		if err != nil {
			b.invalid(field, fmt.Sprintf("%q: %v", v, err))
			continue
		}
		out = append(out, t)
	}
	return out
}

// saysNothing tells whether a part of a rule is there and has no fields. Whoever leaves a
// part out means everybody; whoever wrote an empty one meant something else.
func saysNothing(m proto.Message) bool { return proto.Size(m) == 0 }

// empty reports a part of a rule that says nothing, and tells whether it matches.
func (b *ruleBuilder) empty(at string) bool {
	b.invalid(at, "it says nothing; give one of its fields, or leave out the whole list where nothing is to be restricted")
	return b.broad
}

// invalid reports a part of a rule that cannot be read. The rule never lets more
// through for it.
func (b *ruleBuilder) invalid(field, what string) {
	instead := "the value matches nothing, and the rule matches nothing where no other value is left or an exclusion is missing"
	if b.broad {
		instead = "it counts as matching everything, so that the rule applies to more than it says"
	}
	f := object.Finding{
		Object: b.policy.Ref, Field: fmt.Sprintf("spec.rules[%d].%s", b.rule, field), Code: object.CodeInvalid,
		Message: what + "; until it is corrected " + instead,
	}
	if !slices.Contains(b.findings, f) {
		b.findings = append(b.findings, f)
	}
}

// condition is what one `when` asks of the client or of the operation.
func (b *ruleBuilder) condition(c *securityapi.Condition, at string) (p *rbacv3.Principal, q *rbacv3.Permission, ok bool) {
	key := c.GetKey()
	principal := func(requests bool, one func(string) (*rbacv3.Principal, error)) (*rbacv3.Principal, *rbacv3.Permission, bool) {
		l, ok := matching(b, at, requests, c.GetValues(), c.GetNotValues(), one, orPrincipals, notPrincipal)
		return andPrincipals(l), nil, ok
	}
	permission := func(one func(string) (*rbacv3.Permission, error)) (*rbacv3.Principal, *rbacv3.Permission, bool) {
		l, ok := matching(b, at, false, c.GetValues(), c.GetNotValues(), one, orPermissions, notPermission)
		return nil, andPermissions(l), ok
	}
	if len(c.GetValues())+len(c.GetNotValues()) == 0 {
		return nil, nil, b.empty(at)
	}
	switch {
	case strings.HasPrefix(key, "request.headers["):
		names, good := brackets(strings.TrimPrefix(key, "request.headers"))
		if good && len(names) == 1 && headerName.MatchString(names[0]) {
			return principal(true, func(v string) (*rbacv3.Principal, error) { return headerPrincipal(names[0], v), nil })
		}
	case strings.HasPrefix(key, "request.auth.claims["):
		names, good := brackets(strings.TrimPrefix(key, "request.auth.claims"))
		if good {
			return principal(true, func(v string) (*rbacv3.Principal, error) { return claim(v, names...), nil })
		}
	case strings.HasPrefix(key, filterKeys):
		filter, rest, _ := strings.Cut(strings.TrimPrefix(key, "experimental."), "[")
		if name, good := strings.CutSuffix(rest, "]"); good && name != "" && filter != strings.TrimPrefix(filterKeys, "experimental.") {
			b.unwritten(at+".key", filter)
			return permission(func(v string) (*rbacv3.Permission, error) { return filterMetadata(filter, name, v), nil })
		}
	case key == "request.auth.principal":
		return principal(true, requestPrincipal)
	case key == "request.auth.audiences":
		return principal(true, func(v string) (*rbacv3.Principal, error) { return claim(v, "aud"), nil })
	case key == "request.auth.presenter":
		return principal(true, func(v string) (*rbacv3.Principal, error) { return claim(v, "azp"), nil })
	case key == "source.ip":
		return principal(false, directIP)
	case key == "remote.ip":
		return principal(false, remoteIP)
	case key == "source.namespace":
		return principal(false, sourceNamespace)
	case key == "source.serviceAccount":
		return principal(false, b.serviceAccount)
	case key == "source.principal":
		b.unmatched(at, "principals", slices.Concat(c.GetValues(), c.GetNotValues())...)
		return principal(false, b.principal)
	case key == "source.trustDomain":
		return principal(false, trustDomain)
	case key == "destination.ip":
		return permission(destinationIP)
	case key == "destination.port":
		return permission(portPermission)
	case key == "connection.sni":
		return permission(sniPermission)
	}
	b.invalid(at+".key", fmt.Sprintf("%q is not an attribute that conditions know", key))
	return nil, nil, b.broad
}

// brackets reads "[a][b]" as a and b.
func brackets(s string) (names []string, ok bool) {
	for s != "" {
		if s[0] != '[' {
			return nil, false
		}
		name, rest, found := strings.Cut(s[1:], "]")
		if !found || name == "" {
			return nil, false
		}
		names, s = append(names, name), rest
	}
	return names, len(names) > 0
}
