package gatewayapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// MaxAncestors is how many the API lets the status of a policy hold, of all controllers.
const MaxAncestors = 16

// BackendTLSPolicyStatus is what a policy is to be told of each Gateway that leads to its
// Services and, for the clients in the mesh, of each of them; false when there is no such
// policy. Generation is what was looked at.
func (w *View) BackendTLSPolicyStatus(ref object.Ref) (ancestors []gatewayv1.PolicyAncestorStatus, generation int64, ok bool) {
	p := w.BackendTLSPolicy(ref)
	if p == nil {
		return nil, 0, false
	}
	conditions := w.policyConditions(p)
	for _, g := range w.gatewaysTo(p) {
		ancestors = append(ancestors, ancestorOf(g.Ref, w.controllerOf(string(g.Spec.GatewayClassName)), conditions))
	}
	for _, t := range p.targets {
		if s := w.targetService(p, t); s != nil && !slices.ContainsFunc(ancestors, func(a gatewayv1.PolicyAncestorStatus) bool {
			return deref(a.AncestorRef.Kind, "") == "Service" && string(a.AncestorRef.Name) == s.Name
		}) {
			ancestors = append(ancestors, ancestorOf(s.Ref, MeshController, conditions))
		}
	}
	return ancestors[:min(len(ancestors), MaxAncestors)], p.generation, true
}

func ancestorOf(ref object.Ref, controller string, conditions []metav1.Condition) gatewayv1.PolicyAncestorStatus {
	group, kind := groupKind(ref.Kind)
	return gatewayv1.PolicyAncestorStatus{
		AncestorRef: gatewayv1.ParentReference{
			Group: (*gatewayv1.Group)(&group), Kind: (*gatewayv1.Kind)(&kind), Namespace: (*gatewayv1.Namespace)(&ref.Namespace), Name: gatewayv1.ObjectName(ref.Name),
		},
		ControllerName: gatewayv1.GatewayController(controller),
		Conditions:     slices.Clone(conditions),
	}
}

// gatewaysTo are the Gateways with routes to the Services of a policy, in order: not more
// than a status can hold.
func (w *View) gatewaysTo(p *BackendTLSPolicy) (out []*Gateway) {
	seen := map[object.Ref]struct{}{}
	looked := 0
	for _, service := range p.services() {
		most := maxLooked
		if !w.decidesFor(p, service) {
			most = min(most, looked+maxLookedInVain)
		}
		routes, _ := w.routesTo.Get(service)
		for i, r := range routes {
			if looked == most || i == 8*maxLooked {
				break
			}
			if !w.mayLead(r, service) {
				continue
			}
			for _, parent := range r.parents {
				ref, _ := r.parentOf(parent)
				if _, known := seen[ref]; known || !declaredBy(ref) || looked == most {
					continue
				}
				looked++
				problem, ours := w.attachProblem(r, parent)
				if !ours { // nor will it be for another route
					seen[ref] = struct{}{}
				}
				if !ours || problem != (attachProblem{}) {
					continue
				}
				seen[ref] = struct{}{}
				g := w.ServedBy(ref)
				if slices.Contains(out, g) { // by another of its ListenerSets
					continue
				}
				if out = append(out, g); len(out) == MaxAncestors {
					return out
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b *Gateway) int {
		return cmp.Or(cmp.Compare(a.Ref.Namespace, b.Ref.Namespace), cmp.Compare(a.Ref.Name, b.Ref.Name))
	})
	return out
}

// maxLooked is how many parents of routes are looked at for one policy: each policy asks anew
// whenever something of the Gateway API changes.
const maxLooked = 128

// maxLookedInVain is how many are looked at for a Service about which another policy decides:
// the API wants the Gateways told of the conflict too, and nobody bounds such policies.
const maxLookedInVain = 16

// decidesFor tells whether a policy decides about anything of a Service.
func (w *View) decidesFor(p *BackendTLSPolicy, service string) bool {
	of, _ := w.backendTLS.Get(service)
	for _, t := range of {
		if t.Policy == p.Ref {
			return true
		}
	}
	return false
}

// mayLead tells whether a route may lead to a Service: those of other namespaces take a
// ReferenceGrant.
func (w *View) mayLead(r *Route, service string) bool {
	namespace, name, _ := strings.Cut(service, "/")
	return namespace == r.Ref.Namespace || w.granted(r.Ref, "", string(object.KindService), namespace, name)
}

func (w *View) policyConditions(p *BackendTLSPolicy) []metav1.Condition {
	n := p.generation
	all, problems := w.authorities(p)
	problem := p.kind
	if problem == "" && len(problems) > 0 {
		problem = problems[0].message
	}
	resolved := condition(gatewayv1.BackendTLSPolicyConditionResolvedRefs, true, gatewayv1.BackendTLSPolicyReasonResolvedRefs, "all authorities that the policy names are there", n)
	switch {
	case p.kind != "":
		resolved = condition(gatewayv1.BackendTLSPolicyConditionResolvedRefs, false, gatewayv1.BackendTLSPolicyReasonInvalidKind, problem, n)
	case problem != "":
		resolved = condition(gatewayv1.BackendTLSPolicyConditionResolvedRefs, false, gatewayv1.BackendTLSPolicyReasonInvalidCACertificateRef, problem, n)
	}
	var lost []string
	var found bool
	for _, t := range p.targets {
		if winner := w.decides(p.Ref.Namespace, t); winner != nil && winner.Ref != p.Ref {
			lost = append(lost, fmt.Sprintf("policy %s is older and decides about %s", winner.Ref.Name, t))
		}
		if s := w.targetService(p, t); s != nil && s.Resolution != registry.ResolutionAlias && (t.port == "" || hasPort(s, t.port)) {
			found = true
		}
	}
	accepted := func(is bool, reason gatewayv1.PolicyConditionReason, message string) metav1.Condition {
		return condition(gatewayv1.PolicyConditionAccepted, is, reason, message, n)
	}
	first := accepted(true, gatewayv1.PolicyReasonAccepted, "the policy is in force")
	switch {
	case len(lost) > 0 && len(lost) == len(p.targets):
		first = accepted(false, gatewayv1.PolicyReasonConflicted, lost[0]+": merge the two")
	case p.invalid != "":
		first = accepted(false, gatewayv1.PolicyReasonInvalid, p.invalid)
	case !found:
		first = accepted(false, gatewayv1.PolicyReasonTargetNotFound, "there is no Service, or no port of it, that the policy names: correct targetRefs")
	case all == nil && !p.system:
		first = accepted(false, gatewayv1.BackendTLSPolicyReasonNoValidCACertificate, "no authority that the policy names is there: "+problem)
	case len(lost) > 0:
		first = accepted(true, gatewayv1.PolicyReasonAccepted, "the policy is in force, but for one target: "+lost[0])
	}
	return []metav1.Condition{first, resolved}
}
