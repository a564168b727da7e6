package security

import (
	"strings"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	securityapi "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

func TestPathTemplate(t *testing.T) {
	for in, want := range map[string]string{
		"/{*}": "/*", "/a/{*}/b": "/a/*/b", "/a/{**}": "/a/**", "/{*}/{**}": "/*/**", "/a/{**}/b": "/a/**/b", "/{*}/": "/*/",
		"{*}": "", "/a{*}": "", "/{name}": "", "/{**}/{*}": "", "/{**}/{**}": "", "/a//{*}": "", "/ä/{*}": "", "/{*": "", "/a*/{*}": "",
	} {
		got, err := pathTemplate(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestBrackets(t *testing.T) {
	for in, want := range map[string]int{"[a]": 1, "[a][b]": 2, "[a.b]": 1, "": 0, "[]": 0, "a": 0, "[a": 0, "[a]b": 0} {
		names, ok := brackets(in)
		if ok != (want > 0) || ok && len(names) != want {
			t.Errorf("%s: %q, %v; want %d names", in, names, ok, want)
		}
	}
}

// TestWhatOnlyHTTPHas shows what becomes of rules about requests on plain TCP
// (row 115): who is allowed by one is not, who is denied by one is.
func TestWhatOnlyHTTPHas(t *testing.T) {
	methods := &securityapi.Operation{Methods: []string{"GET"}}
	ports := &securityapi.Operation{Ports: []string{"80"}}
	both := &securityapi.Operation{Methods: []string{"GET"}, Ports: []string{"80"}}
	for _, c := range []struct {
		name    string
		action  securityapi.AuthorizationPolicy_Action
		to      []*securityapi.Operation
		matches bool // whether the rule can match at all
		port    bool // whether it still looks at the port
	}{
		{"allow by method", securityapi.AuthorizationPolicy_ALLOW, []*securityapi.Operation{methods}, false, false},
		{"allow by method and port", securityapi.AuthorizationPolicy_ALLOW, []*securityapi.Operation{both}, false, false},
		{"allow by method or port", securityapi.AuthorizationPolicy_ALLOW, []*securityapi.Operation{methods, ports}, true, true},
		{"deny by method", securityapi.AuthorizationPolicy_DENY, []*securityapi.Operation{methods}, true, false},
		{"deny by method and port", securityapi.AuthorizationPolicy_DENY, []*securityapi.Operation{both}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule := &securityapi.Rule{}
			for _, o := range c.to {
				rule.To = append(rule.To, &securityapi.Rule_To{Operation: o})
			}
			p := &mesh.AuthorizationPolicy{Spec: &securityapi.AuthorizationPolicy{Action: c.action, Rules: []*securityapi.Rule{rule}}}
			a := sortPolicies(AuthorizationInput{Policies: mesh.ListOf(p), Config: mesh.DefaultConfig()}, true)
			rules := a.allow.real
			if c.action == securityapi.AuthorizationPolicy_DENY {
				rules = a.deny.real
			}
			if len(rules) == 1 != c.matches {
				t.Fatalf("%d rules", len(rules))
			}
			for _, r := range rules {
				if got := r.Permissions[0].GetDestinationPort() == 80; got != c.port {
					t.Errorf("permission %v", r.Permissions[0])
				}
			}
		})
	}
}

// TestRequestPrincipalSplits: issuers hold slashes, so that the one between
// issuer and subject has to be looked for.
func TestRequestPrincipalSplits(t *testing.T) {
	for value, want := range map[string]int{"a/b": 1, "https://a/b": 3, "*": 1, "a*": 1, "*b": 1, "a/*": 2, "*/b": 1, "plain": 0} {
		p, err := requestPrincipal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.ValidateAll(); err != nil {
			t.Errorf("%s: %v", value, err)
		}
		got := 1
		switch p.Identifier.(type) {
		case *rbacv3.Principal_OrIds:
			got = len(p.GetOrIds().Ids)
		case *rbacv3.Principal_NotId:
			got = 0
		}
		if got != want {
			t.Errorf("%s: %d ways to read it, want %d: %v", value, got, want, p)
		}
	}
}

// FuzzAuthorization: whatever a policy says, what is made of it is valid, and
// an ALLOW policy that cannot be understood allows nothing.
func FuzzAuthorization(f *testing.F) {
	for _, v := range []string{"*", "a*", "*a", "", "**", "cluster.local/ns/a/sa/b", "10.0.0.0/8", "fe80::1%eth0", "80", "/{*}/x", "request.headers[:a]", "request.auth.claims[a][b]", "\x00", "iss/sub"} {
		f.Add(v, v, true)
		f.Add(v, "x", false)
	}
	f.Fuzz(func(t *testing.T, value, key string, deny bool) {
		one := []string{value}
		spec := &securityapi.AuthorizationPolicy{Selector: &typev1.WorkloadSelector{}, Rules: []*securityapi.Rule{{
			From: []*securityapi.Rule_From{
				{Source: &securityapi.Source{Principals: one, NotPrincipals: one}},
				{Source: &securityapi.Source{RequestPrincipals: one, Namespaces: one, ServiceAccounts: one, TrustDomains: one}},
				{Source: &securityapi.Source{IpBlocks: one, NotRemoteIpBlocks: one}},
			},
			To:   []*securityapi.Rule_To{{Operation: &securityapi.Operation{Hosts: one, Methods: one, Ports: []string{"80", value}}}, {Operation: &securityapi.Operation{Paths: one, NotPaths: one}}},
			When: []*securityapi.Condition{{Key: key, Values: one, NotValues: one}},
		}, {From: []*securityapi.Rule_From{{Source: &securityapi.Source{Principals: one}}}}, {To: []*securityapi.Rule_To{{Operation: &securityapi.Operation{Paths: one}}}}}}
		if deny {
			spec.Action = securityapi.AuthorizationPolicy_DENY
		}
		p := &mesh.AuthorizationPolicy{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Name: "a"}, Spec: spec}
		for _, tcp := range []bool{false, true} {
			a := sortPolicies(AuthorizationInput{Policies: mesh.ListOf(p), Config: mesh.DefaultConfig()}, tcp)
			for _, s := range a.steps() {
				if err := s.rules.ValidateAll(); err != nil {
					t.Error(err)
				}
			}
			if !deny && a.allow.real == nil {
				t.Error("an ALLOW policy counts for nothing")
			}
		}
	})
}

// TestPolicyOnFilters compares what a filter wrote, and nothing of a rule is left out for it.
func TestPolicyOnFilters(t *testing.T) {
	for v, want := range map[string]string{
		"update":   `value:{string_match:{exact:"update"}}`,
		"[update]": `value:{list_match:{one_of:{string_match:{exact:"update"}}}}`,
		"[up*]":    `value:{list_match:{one_of:{string_match:{prefix:"up"}}}}`,
	} {
		m := filterMetadata("envoy.filters.http.grader", "grade", v).GetSourcedMetadata().GetMetadataMatcher()
		text := strings.ReplaceAll(m.String(), "  ", " ")
		if !strings.Contains(text, want) || m.Filter != "envoy.filters.http.grader" || len(m.Path) != 1 || m.Path[0].GetKey() != "grade" || m.ValidateAll() != nil {
			t.Errorf("%s: %s", v, text)
		}
	}
}
