package security

import (
	"slices"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	securityapi "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestEmptyPartsOfRules: a part of a rule that is there and says nothing lets nobody in
// by an ALLOW, and lets nobody past a DENY.
func TestEmptyPartsOfRules(t *testing.T) {
	from := func(s ...*securityapi.Source) *securityapi.Rule {
		r := &securityapi.Rule{}
		for _, x := range s {
			r.From = append(r.From, &securityapi.Rule_From{Source: x})
		}
		return r
	}
	to := func(o *securityapi.Operation) *securityapi.Rule {
		return &securityapi.Rule{To: []*securityapi.Rule_To{{Operation: o}}}
	}
	when := func(c *securityapi.Condition) *securityapi.Rule {
		return &securityapi.Rule{When: []*securityapi.Condition{c}}
	}
	for name, rule := range map[string]*securityapi.Rule{
		"from without source":      from(nil),
		"source":                   from(&securityapi.Source{}),
		"sources":                  from(&securityapi.Source{}, nil),
		"principal":                from(&securityapi.Source{Principals: []string{""}}),
		"blank namespaces":         from(&securityapi.Source{Namespaces: []string{" ", "\t"}}),
		"to without operation":     to(nil),
		"operation":                to(&securityapi.Operation{}),
		"path":                     to(&securityapi.Operation{Paths: []string{""}}),
		"blank method":             to(&securityapi.Operation{Methods: []string{" "}}),
		"excluded host":            to(&securityapi.Operation{NotHosts: []string{""}}),
		"condition":                when(&securityapi.Condition{}),
		"condition without values": when(&securityapi.Condition{Key: "source.principal"}),
		"condition with blanks":    when(&securityapi.Condition{Key: "request.headers[x]", Values: []string{"", " "}}),
		"unknown key":              when(&securityapi.Condition{Key: "source.principl", Values: []string{"a"}}),
		"value of no form":         from(&securityapi.Source{IpBlocks: []string{"10.0.0.0/33"}}),
	} {
		for _, tcp := range []bool{false, true} {
			for _, action := range []securityapi.AuthorizationPolicy_Action{securityapi.AuthorizationPolicy_ALLOW, securityapi.AuthorizationPolicy_DENY, 7} {
				p := &mesh.AuthorizationPolicy{Spec: &securityapi.AuthorizationPolicy{Action: action, Rules: []*securityapi.Rule{rule}}}
				a := sortPolicies(AuthorizationInput{Policies: mesh.ListOf(p), Config: mesh.DefaultConfig()}, tcp)
				switch {
				case action != securityapi.AuthorizationPolicy_DENY:
					if a.allow.real == nil || len(a.allow.real) > 0 {
						t.Errorf("%s (TCP: %v), action %v: allowed %v", name, tcp, action, a.allow.real)
					}
				case !matchesAll(a.deny.real):
					t.Errorf("%s (TCP: %v): denied only %v", name, tcp, a.deny.real)
				}
				if len(a.findings) == 0 && !tcp {
					t.Errorf("%s, action %v: nobody hears of it", name, action)
				}
			}
		}
	}
}

// matchesAll tells whether a rule has no conditions left.
func matchesAll(rules map[string]*rbacv3.Policy) bool {
	for _, r := range rules {
		if len(r.Principals) == 1 && anybody(r.Principals[0]) && len(r.Permissions) == 1 && anything(r.Permissions[0]) {
			return true
		}
	}
	return false
}

func anybody(p *rbacv3.Principal) bool {
	return p.GetAny() || slices.ContainsFunc(p.GetOrIds().GetIds(), anybody)
}

func anything(p *rbacv3.Permission) bool {
	return p.GetAny() || slices.ContainsFunc(p.GetOrRules().GetRules(), anything)
}

// TestOneWrongValueOfMany: beside a value that cannot be read an ALLOW keeps to the
// others, and a DENY takes in what the value may have meant.
func TestOneWrongValueOfMany(t *testing.T) {
	rules := []*securityapi.Rule{{From: []*securityapi.Rule_From{{Source: &securityapi.Source{IpBlocks: []string{"10.0.0.1", "10.0.0"}}}}}}
	allow := &mesh.AuthorizationPolicy{Spec: &securityapi.AuthorizationPolicy{Rules: rules}}
	deny := &mesh.AuthorizationPolicy{Spec: &securityapi.AuthorizationPolicy{Rules: rules, Action: securityapi.AuthorizationPolicy_DENY}}
	a := sortPolicies(AuthorizationInput{Policies: mesh.ListOf(allow, deny), Config: mesh.DefaultConfig()}, false)
	if !matchesAll(a.deny.real) {
		t.Errorf("denied only %v", a.deny.real)
	}
	if len(a.allow.real) != 1 || matchesAll(a.allow.real) {
		t.Errorf("allowed %v", a.allow.real)
	}
}

// TestDryRunIsPlain: a policy whose annotation nobody can read is in force, as is one of an
// action that has no dry run.
func TestDryRunIsPlain(t *testing.T) {
	for _, c := range []struct {
		text    string
		action  securityapi.AuthorizationPolicy_Action
		inForce bool
		found   bool
	}{
		{"true", securityapi.AuthorizationPolicy_DENY, false, false},
		{"false", securityapi.AuthorizationPolicy_DENY, true, false},
		{"yes", securityapi.AuthorizationPolicy_DENY, true, true},
		{"", securityapi.AuthorizationPolicy_DENY, true, true},
		{"true", securityapi.AuthorizationPolicy_CUSTOM, true, true},
	} {
		p := &mesh.AuthorizationPolicy{Annotations: map[string]string{dryRunAnnotation: c.text}, Spec: &securityapi.AuthorizationPolicy{
			Action: c.action, Rules: []*securityapi.Rule{{}},
		}}
		in := AuthorizationInput{Policies: mesh.ListOf(p), Config: mesh.DefaultConfig()}
		a := sortPolicies(in, false)
		if got := len(a.deny.real) > 0 || len(a.custom) > 0; got != c.inForce {
			t.Errorf("%q of %v: in force: %v", c.text, c.action, got)
		}
		found := false
		for _, f := range a.findings {
			found = found || f.Field == "metadata.annotations["+dryRunAnnotation+"]" && f.Code == object.CodeInvalid
		}
		if found != c.found {
			t.Errorf("%q of %v: %v", c.text, c.action, a.findings)
		}
	}
}
