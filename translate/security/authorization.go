package security

import (
	"fmt"
	"strconv"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	securityapi "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// dryRunAnnotation makes an AuthorizationPolicy count what it would do and do
// nothing, when "true".
const dryRunAnnotation = "istio.io/dry-run"

// AuthorizationInput is everything that shapes what a workload lets clients do.
type AuthorizationInput struct {
	// Policies are those that apply to the workload
	// (mesh.World.AuthorizationPoliciesOf).
	Policies mesh.List[*mesh.AuthorizationPolicy]
	// Backends are services that are known to stand behind the external
	// authorization providers of the mesh.
	Backends mesh.List[mesh.Backend]
	Config   *mesh.Config
}

// AuthorizationHTTP are the filters that let requests through or refuse them,
// in Istio's order: external authorization (CUSTOM), then DENY, then ALLOW,
// then AUDIT. As soon as there is one ALLOW policy, a request that none of
// them allows is refused. What cannot be understood is a finding.
func AuthorizationHTTP(in AuthorizationInput) ([]*hcmv3.HttpFilter, []object.Finding) {
	a := sortPolicies(in, false)
	var out []*hcmv3.HttpFilter
	for _, c := range a.custom {
		out = append(out, c.httpFilters(a)...)
	}
	for _, s := range a.steps() {
		out = append(out, resource.HTTPFilter("envoy.filters.http.rbac", &httprbacv3.RBAC{
			Rules: s.rules, ShadowRules: s.shadow, ShadowRulesStatPrefix: s.shadowPrefix,
		}))
	}
	return out, a.findings
}

// AuthorizationTCP are the filters that let connections through or close them.
// Rules that speak of requests cannot be checked: an ALLOW rule that does
// never matches, a DENY rule matches without looking at it.
func AuthorizationTCP(in AuthorizationInput) ([]*listenerv3.Filter, []object.Finding) {
	a := sortPolicies(in, true)
	var out []*listenerv3.Filter
	for _, c := range a.custom {
		out = append(out, c.networkFilters(a)...)
	}
	for _, s := range a.steps() {
		out = append(out, resource.NetworkFilter("envoy.filters.network.rbac", &tcprbacv3.RBAC{
			StatPrefix: "tcp.", Rules: s.rules, ShadowRules: s.shadow, ShadowRulesStatPrefix: s.shadowPrefix,
		}))
	}
	return out, a.findings
}

// authorization is the policies of a workload by what they do.
type authorization struct {
	in       AuthorizationInput
	tcp      bool
	custom   []*customCheck // by first appearance of their provider
	deny     ruleSet
	allow    ruleSet
	audit    ruleSet
	findings []object.Finding
}

// ruleSet is the rules of one action; nil maps where no policy has it.
type ruleSet struct {
	real, dry map[string]*rbacv3.Policy
}

func (s *ruleSet) of(dry bool) map[string]*rbacv3.Policy {
	set := &s.real
	if dry {
		set = &s.dry
	}
	if *set == nil {
		*set = map[string]*rbacv3.Policy{}
	}
	return *set
}

// step is one RBAC filter.
type step struct {
	rules, shadow *rbacv3.RBAC
	shadowPrefix  string
}

func sortPolicies(in AuthorizationInput, tcp bool) *authorization {
	a := &authorization{in: in, tcp: tcp}
	for _, p := range in.Policies.Slice() {
		dry := a.dryRun(p)
		switch p.Spec.GetAction() {
		case securityapi.AuthorizationPolicy_DENY:
			a.rules(p, a.deny.of(dry), true)
		case securityapi.AuthorizationPolicy_ALLOW:
			a.rules(p, a.allow.of(dry), false)
		case securityapi.AuthorizationPolicy_AUDIT:
			a.rules(p, a.audit.of(dry), true)
		case securityapi.AuthorizationPolicy_CUSTOM:
			a.rules(p, a.customOf(p).rules, true)
		default:
			a.found(p, "spec.action", object.CodeInvalid, "%d is no action; nothing is allowed where the policy applies: use ALLOW, DENY, AUDIT or CUSTOM", p.Spec.GetAction())
			a.allow.of(false)
		}
		if len(p.Spec.GetRules()) == 0 && p.Spec.GetAction() != securityapi.AuthorizationPolicy_ALLOW {
			a.found(p, "spec.rules", object.CodeInvalid, "there are no rules, so that %s never applies: add rules, an empty one ({}) for all that the policy selects", p.Spec.GetAction())
		}
	}
	return a
}

// dryRun tells whether a policy only counts what it would do. One that does not say so
// in a way that everybody reads alike is in force.
func (a *authorization) dryRun(p *mesh.AuthorizationPolicy) bool {
	text, given := p.Annotations[dryRunAnnotation]
	if !given {
		return false
	}
	field := "metadata.annotations[" + dryRunAnnotation + "]"
	dry, err := strconv.ParseBool(text)
	switch action := p.Spec.GetAction(); {
	case err != nil:
		a.found(p, field, object.CodeInvalid, `%q is neither "true" nor "false"; the policy is in force: correct the value`, text)
	case dry && action != securityapi.AuthorizationPolicy_ALLOW && action != securityapi.AuthorizationPolicy_DENY:
		a.found(p, field, object.CodeInvalid, "%s has no dry run; the policy is in force: take the annotation away", action)
		return false
	}
	return dry
}

// rules adds the rules of a policy to a set; for broad see ruleBuilder.
func (a *authorization) rules(p *mesh.AuthorizationPolicy, set map[string]*rbacv3.Policy, broad bool) {
	for i, r := range p.Spec.GetRules() {
		b := &ruleBuilder{authorization: a, policy: p, rule: i, broad: broad}
		if rule := b.build(r); rule != nil {
			set[fmt.Sprintf("ns[%s]-policy[%s]-rule[%d]", p.Namespace, p.Ref.Name, i)] = rule
		}
	}
}

func (a *authorization) steps() []step {
	var out []step
	add := func(action rbacv3.RBAC_Action, s ruleSet, prefix string) {
		st := step{rules: rbacOf(action, s.real), shadow: rbacOf(action, s.dry)}
		if st.shadow != nil {
			st.shadowPrefix = prefix
		}
		if st.rules != nil || st.shadow != nil {
			out = append(out, st)
		}
	}
	add(rbacv3.RBAC_DENY, a.deny, "istio_dry_run_deny_")
	add(rbacv3.RBAC_ALLOW, a.allow, "istio_dry_run_allow_")
	add(rbacv3.RBAC_LOG, a.audit, "")
	return out
}

// rbacOf is nil when no policy has the action, and also when its policies say
// nothing and that is as good as none; an ALLOW policy without rules allows
// nothing.
func rbacOf(action rbacv3.RBAC_Action, rules map[string]*rbacv3.Policy) *rbacv3.RBAC {
	if rules == nil || len(rules) == 0 && action != rbacv3.RBAC_ALLOW {
		return nil
	}
	return &rbacv3.RBAC{Action: action, Policies: rules}
}

func (a *authorization) found(p *mesh.AuthorizationPolicy, field string, code object.Code, format string, args ...any) {
	a.findings = append(a.findings, object.Finding{Object: p.Ref, Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
}
