package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// policyRule is a rule of a namespace whose policy names so many servers.
func policyRule(namespace, name, host string, servers int) Change {
	c := subsetRule(name, host, 0)
	o := c.Object.(*networkingv1.DestinationRule)
	c.Ref.Namespace, o.Namespace = namespace, namespace
	tls := &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE, Sni: "sni.example"}
	for i := range servers {
		tls.SubjectAltNames = append(tls.SubjectAltNames, fmt.Sprintf("server-%04d.%s", i, name))
	}
	o.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: tls, LoadBalancer: &networking.LoadBalancerSettings{LbPolicy: &networking.LoadBalancerSettings_Simple{Simple: networking.LoadBalancerSettings_RANDOM}}}
	return c
}

// TestLargePoliciesOfManyHosts: a cluster says the policy of its rule, so that one of some KiB
// for a wildcard is megabytes. Past the bound it is not in force, and what it guards stays
// closed.
func TestLargePoliciesOfManyHosts(t *testing.T) {
	few, many, others := entriesIn("shop", "few.e", 2, 2), entriesIn("shop", "many.e", 250, 8), entriesIn("bank", "bank.e", 250, 8)
	wide := Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("fairway: {exportedResources: 100000}")}
	b := newBuilder()
	var w *World
	step := func(c ...Change) {
		b.apply(c)
		w, _ = b.finish()
	}
	policy := func(from, host string) *networking.TrafficPolicy {
		t.Helper()
		v := w.View(Scope{Role: RoleSidecar, Namespace: from})
		s, _ := v.Service(host)
		r := v.Rule(s)
		if r == nil {
			t.Fatalf("%s has no rule in %s", host, from)
		}
		return r.Policy
	}
	whole := func(p *networking.TrafficPolicy) bool { return p.LoadBalancer != nil && len(p.Tls.SubjectAltNames) > 1 }
	closed := func(p *networking.TrafficPolicy) bool {
		return p.LoadBalancer == nil && p.Tls.GetMode() == networking.ClientTLSSettings_SIMPLE && slices.Equal(p.Tls.SubjectAltNames, []string{"too-large.invalid"})
	}
	found := func(ref object.Ref) bool {
		return slices.ContainsFunc(slices.Collect(w.Findings()), func(f object.Finding) bool {
			return f.Field == "spec.trafficPolicy" && f.Object == ref && strings.Contains(f.Message, "no server") || f.Object == ref && strings.Contains(f.Message, "trust no server")
		})
	}
	large, newer, plain := policyRule("shop", "large", "*.few.e.example", 400), policyRule("shop", "newer", "*.many.e.example", 400), policyRule("shop", "plain", "*.many.e.example", 10)
	step(wide, few, many, others, large, newer)
	if !whole(policy("shop", "h0.few.e.example")) || found(large.Ref) {
		t.Error("a large policy for a few hosts is not in force")
	}
	if p := policy("bank", "h0.many.e.example"); !closed(p) || !found(newer.Ref) {
		t.Errorf("a large policy for 2,000 clusters: %v, found %t", p, found(newer.Ref))
	}
	step(Change{Ref: many.Ref, Object: nil})
	if found(newer.Ref) {
		t.Error("a rule that is whole again has its finding still")
	}
	step(many)
	step(Change{Ref: newer.Ref, Object: nil}, plain)
	if !whole(policy("bank", "h0.many.e.example")) || found(plain.Ref) {
		t.Error("a plain policy for many hosts is not in force")
	}

	foreign := policyRule("evil", "foreign", "*.example", 400)
	step(foreign)
	if p := policy("evil", "h0.bank.e.example"); !closed(p) || !found(foreign.Ref) {
		t.Errorf("a large policy for the hosts of others: %v, found %t", p, found(foreign.Ref))
	}
	if !whole(policy("bank", "h0.many.e.example")) {
		t.Error("another namespace's rule is not in force")
	}
	step(Change{Ref: foreign.Ref, Object: nil})
	if len(w.subsetless) > 0 || len(b.covered.bare) > 0 {
		t.Errorf("what is gone is remembered: %v %v", w.subsetless, b.covered.bare)
	}
}
