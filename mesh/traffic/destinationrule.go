package traffic

import (
	"fmt"
	"slices"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Subset is a named part of a service's endpoints (DestinationRule.subsets).
type Subset struct {
	Name   string
	Labels map[string]string // of the endpoints; empty: all
	Policy *networking.TrafficPolicy
}

// DestinationRule is the rule for one host: one object, or those of one
// namespace for the same host merged. It never changes.
type DestinationRule struct {
	Refs      []object.Ref // oldest first; the first one gave Policy unless it has none
	Namespace string
	Host      string // fully qualified, may be a wildcard
	Created   time.Time
	ExportTo  object.Visibility
	Selector  map[string]string // workloadSelector: the client's labels; nil: every client
	Policy    *networking.TrafficPolicy
	Weight    int // of the policy, see bounds.PolicyWeight
	Subsets   []*Subset

	perPort int // see PerPort
}

// PerPort is for how many clusters the rule of one object counts at each port of a host, the
// port's own aside: one for each subset, and more for what large policies say in them.
func (r *DestinationRule) PerPort() int { return r.perPort }

// Bare is the rule as it is in force where too many clusters would come of it: without
// subsets, and of a policy that is not a plain one with the TLS settings only.
func (r *DestinationRule) Bare() *DestinationRule {
	out := *r
	if out.Subsets = nil; r.Weight > 0 {
		out.Policy, out.Weight = bounds.LeanPolicy(r.Policy), 0
	}
	return &out
}

// Multiplies tells whether there is more to the rule than its Bare form has.
func (r *DestinationRule) Multiplies() bool { return len(r.Subsets) > 0 || r.Weight > 0 }

// Ref is the object that leads the rule.
func (r *DestinationRule) Ref() object.Ref { return r.Refs[0] }

// Subset finds a subset by name; nil when the rule (which may be nil) does not
// define it.
func (r *DestinationRule) Subset(name string) *Subset {
	if r == nil {
		return nil
	}
	for _, s := range r.Subsets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// ParseDestinationRule reads a DestinationRule; nil when it is for no host.
func ParseDestinationRule(o *networkingv1.DestinationRule, domain string) (*DestinationRule, []object.Finding) {
	ref := object.Ref{Kind: object.KindDestinationRule, Namespace: o.Namespace, Name: o.Name}
	spec, findings := checkDestinationRule(ref, &o.Spec)
	bad := func(field, format string, args ...any) {
		findings = append(findings, object.Finding{Object: ref, Field: field, Code: object.CodeInvalid, Message: fmt.Sprintf(format, args...)})
	}
	if spec.Host == "" {
		bad("spec.host", "the host is empty; the rule is ignored: name the service's host")
		return nil, findings
	}
	if object.EndsWithinLabel(spec.Host) {
		findings = append(findings, object.Finding{Object: ref, Field: "spec.host", Code: object.CodeUnsupported,
			Message: fmt.Sprintf("%s ends within a label; the rule counts for a service of that very host alone: write *. before the name", spec.Host)})
	}
	r := &DestinationRule{
		Refs: []object.Ref{ref}, Namespace: o.Namespace, Host: object.ResolveHost(spec.Host, o.Namespace, domain), Created: o.CreationTimestamp.Time,
		ExportTo: spec.ExportTo, Policy: spec.TrafficPolicy, Weight: bounds.PolicyWeight(spec.TrafficPolicy),
	}
	if spec.WorkloadSelector != nil {
		r.Selector = spec.WorkloadSelector.MatchLabels
	}
	r.perPort = r.Weight
	for i, s := range spec.Subsets {
		switch {
		case s == nil || s.Name == "":
			bad(fmt.Sprintf("spec.subsets[%d].name", i), "the subset has no name; it is left out")
		case r.Subset(s.Name) != nil:
			bad(fmt.Sprintf("spec.subsets[%d].name", i), "subset %q is defined twice; the first one counts: give each a name of its own", s.Name)
		default:
			r.Subsets = append(r.Subsets, &Subset{Name: s.Name, Labels: s.Labels, Policy: s.TrafficPolicy})
			r.perPort += 1 + r.Weight + bounds.PolicyWeight(s.TrafficPolicy)
		}
	}
	return r, findings
}

// maxCompared is how many rules with selectors, for one host, are compared with one
// another to tell which are never in force.
const maxCompared = 200

// MergeDestinationRules joins the rules of one namespace for one host as
// Istio does: in order of age, rules that are exported alike become one, whose
// top-level policy is the first that is given and whose subsets are all
// distinct ones. Rules with a workloadSelector stay by themselves and come
// first.
func MergeDestinationRules(rules []*DestinationRule) ([]*DestinationRule, []object.Finding) {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b *DestinationRule) int { return object.Older(a.Created, a.Ref(), b.Created, b.Ref()) })
	var selected, plain []*DestinationRule
	copied := map[int]bool{} // of plain, those that no longer are the rule of one object
	var findings []object.Finding
	for _, r := range rules {
		if len(r.Selector) > 0 {
			if len(selected) >= maxCompared { // in force as well, and nothing is told of it
				selected = append(selected, r)
				continue
			}
			if i := slices.IndexFunc(selected, func(x *DestinationRule) bool { return object.Selects(x.Selector, r.Selector) }); i >= 0 {
				findings = append(findings, object.Finding{Object: r.Ref(), Field: "spec.workloadSelector", Code: object.CodeConflict, Winner: selected[i].Ref(),
					Message: "an older rule for the same host selects all clients that this one selects; this one is never in force: put both into one object, or change a selector"})
			}
			selected = append(selected, r)
			continue
		}
		i := slices.IndexFunc(plain, func(p *DestinationRule) bool { return p.ExportTo.Equal(r.ExportTo) })
		if i < 0 {
			if len(plain) > 0 {
				findings = append(findings, object.Finding{Object: r.Ref(), Field: "spec.exportTo", Code: object.CodeConflict, Winner: plain[0].Ref(),
					Message: "an older rule for the same host has another exportTo, so that the two are not merged; clients to which both are exported follow the older one alone: give both the same exportTo, or put them into one object"})
			}
			plain = append(plain, r)
			continue
		}
		if !copied[i] {
			first := *plain[i]
			first.Refs, first.Subsets = slices.Clone(first.Refs), slices.Clone(first.Subsets)
			plain[i], copied[i] = &first, true
		}
		merged := plain[i]
		merged.Refs = append(merged.Refs, r.Ref())
		if merged.Policy == nil {
			merged.Policy, merged.Weight = r.Policy, r.Weight
		} else if r.Policy != nil {
			findings = append(findings, object.Finding{Object: r.Ref(), Field: "spec.trafficPolicy", Code: object.CodeConflict, Winner: merged.Ref(),
				Message: "an older rule for the same host has a trafficPolicy already; this one is ignored: put both into one object"})
		}
		for _, s := range r.Subsets {
			if len(merged.Subsets) >= bounds.MaxSubsets {
				findings = append(findings, object.Finding{Object: r.Ref(), Field: "spec.subsets", Code: object.CodeInvalid, Winner: merged.Ref(),
					Message: fmt.Sprintf("the rules for the same host have more than %d subsets together; those from %s on are left out: define fewer", bounds.MaxSubsets, s.Name)})
				break
			}
			if merged.Subset(s.Name) != nil {
				findings = append(findings, object.Finding{Object: r.Ref(), Field: "spec.subsets[" + s.Name + "]", Code: object.CodeConflict, Winner: merged.Ref(),
					Message: "an older rule for the same host defines the subset already; this definition is ignored"})
				continue
			}
			merged.Subsets = append(merged.Subsets, s)
		}
	}
	return append(selected, plain...), findings
}

// AsksLocality tells whether the rule (which may be nil) makes endpoints
// depend on where the client runs: by locality settings, or by outlier
// detection, with which the mesh's locality failover starts.
func (r *DestinationRule) AsksLocality() bool {
	if r == nil {
		return false
	}
	if len(AsksOfPolicy(r.Policy)) > 0 {
		return true
	}
	return slices.ContainsFunc(r.Subsets, func(s *Subset) bool { return len(AsksOfPolicy(s.Policy)) > 0 })
}

// Balances tells whether the rule (which may be nil) sets a load balancer.
func (r *DestinationRule) Balances() bool {
	if r == nil || r.Policy == nil {
		return false
	}
	return r.Policy.LoadBalancer != nil ||
		slices.ContainsFunc(r.Policy.PortLevelSettings, func(p *networking.TrafficPolicy_PortTrafficPolicy) bool { return p.LoadBalancer != nil })
}
