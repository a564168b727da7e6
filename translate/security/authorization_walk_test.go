package security

import (
	"strings"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	securityapi "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
)

// prober tells of each leaf of a rule whether it matches one request.
type prober bool

func (c prober) principal(p *rbacv3.Principal) bool {
	switch x := p.Identifier.(type) {
	case *rbacv3.Principal_Any:
		return true
	case *rbacv3.Principal_AndIds:
		for _, q := range x.AndIds.Ids {
			if !c.principal(q) {
				return false
			}
		}
		return true
	case *rbacv3.Principal_OrIds:
		for _, q := range x.OrIds.Ids {
			if c.principal(q) {
				return true
			}
		}
		return false
	case *rbacv3.Principal_NotId:
		return !c.principal(x.NotId)
	}
	return bool(c)
}

func (c prober) permission(p *rbacv3.Permission) bool {
	switch x := p.Rule.(type) {
	case *rbacv3.Permission_Any:
		return true
	case *rbacv3.Permission_AndRules:
		for _, q := range x.AndRules.Rules {
			if !c.permission(q) {
				return false
			}
		}
		return true
	case *rbacv3.Permission_OrRules:
		for _, q := range x.OrRules.Rules {
			if c.permission(q) {
				return true
			}
		}
		return false
	case *rbacv3.Permission_NotRule:
		return !c.permission(x.NotRule)
	}
	return bool(c)
}

// passes tells whether the filters of a policy let the request through.
func (c prober) passes(rule *securityapi.Rule, action securityapi.AuthorizationPolicy_Action, tcp bool) bool {
	p := &mesh.AuthorizationPolicy{Spec: &securityapi.AuthorizationPolicy{Action: action, Rules: []*securityapi.Rule{rule}}}
	a := sortPolicies(AuthorizationInput{Policies: mesh.ListOf(p), Config: mesh.DefaultConfig()}, tcp)
	matches := func(rules map[string]*rbacv3.Policy) bool {
		for _, r := range rules {
			if c.permission(r.Permissions[0]) && c.principal(r.Principals[0]) {
				return true
			}
		}
		return false
	}
	return !matches(a.deny.real) && (a.allow.real == nil || matches(a.allow.real))
}

// goodValues are values of fields that do not take every text.
var goodValues = map[string]string{"ip_blocks": "10.0.0.1", "remote_ip_blocks": "10.0.0.1", "ports": "80", "hosts": "a.example", "paths": "/a", "methods": "GET", "service_accounts": "a/b", "request_principals": "a/b"}

// TestNoFieldOfARuleOpens walks all fields of sources, operations and conditions. Of a rule
// that stops a request by one field, no missing, empty or blank value and no value without
// meaning lets the request through.
func TestNoFieldOfARuleOpens(t *testing.T) {
	rules := map[string]func() (*securityapi.Rule, proto.Message){
		"source": func() (*securityapi.Rule, proto.Message) {
			s := &securityapi.Source{}
			return &securityapi.Rule{From: []*securityapi.Rule_From{{Source: s}}}, s
		},
		"operation": func() (*securityapi.Rule, proto.Message) {
			o := &securityapi.Operation{}
			return &securityapi.Rule{To: []*securityapi.Rule_To{{Operation: o}}}, o
		},
		"condition": func() (*securityapi.Rule, proto.Message) {
			c := &securityapi.Condition{Key: "source.namespace"}
			return &securityapi.Rule{When: []*securityapi.Condition{c}}, c
		},
	}
	walked := 0
	for what, make := range rules {
		_, message := make()
		fields := message.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			if !f.IsList() {
				continue
			}
			walked++
			name := string(f.Name())
			good := goodValues[strings.TrimPrefix(name, "not_")]
			if good == "" {
				good = "a"
			}
			defects := map[string][]string{"missing": nil, "empty": {""}, "blank": {" ", "\t"}, "empty beside it": {good, ""}}
			if strings.Contains(name, "ip_blocks") || strings.Contains(name, "ports") {
				defects["nonsense"] = []string{"nonsense"}
			}
			for defect, values := range defects {
				for _, action := range []securityapi.AuthorizationPolicy_Action{securityapi.AuthorizationPolicy_ALLOW, securityapi.AuthorizationPolicy_DENY} {
					for _, tcp := range []bool{false, true} {
						set := func(values []string) *securityapi.Rule {
							rule, m := make()
							l := m.ProtoReflect().Mutable(f).List()
							for _, v := range values {
								l.Append(protoreflect.ValueOfString(v))
							}
							if l.Len() == 0 {
								m.ProtoReflect().Clear(f)
							}
							return rule
						}
						for _, c := range []prober{false, true} {
							if !c.passes(set([]string{good}), action, tcp) && c.passes(set(values), action, tcp) {
								t.Errorf("%s.%s %s (%s, TCP: %v, leaves match: %v): the request passes", what, name, defect, action, tcp, c)
							}
						}
					}
				}
			}
		}
	}
	if walked < 20 {
		t.Errorf("only %d fields walked", walked)
	}
}
