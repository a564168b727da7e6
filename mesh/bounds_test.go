package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// times makes n of something.
func times[T any](n int, one func(i int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = one(i)
	}
	return out
}

func routeOf(w *World, name string) *traffic.VirtualService {
	v, _ := w.virtualServices.Get(name)
	return v
}

func evil(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "evil", Name: name} }

func manyRules(hosts, rules int) *networkingv1.VirtualService {
	o := &networkingv1.VirtualService{ObjectMeta: evil("many")}
	o.Spec.Hosts = times(hosts, func(i int) string { return fmt.Sprintf("h%d.evil.example", i) })
	o.Spec.Http = times(rules, func(i int) *networking.HTTPRoute {
		return &networking.HTTPRoute{
			Match: []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: fmt.Sprintf("/%d", i)}}}},
			Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "a.evil.example"}}},
		}
	})
	return o
}

func manyOfEntry(hosts, addresses, ports, endpoints int) *networkingv1.ServiceEntry {
	o := &networkingv1.ServiceEntry{ObjectMeta: evil("many")}
	o.Spec.Resolution = networking.ServiceEntry_STATIC
	o.Spec.Hosts = times(hosts, func(i int) string { return fmt.Sprintf("h%d.evil.example", i) })
	o.Spec.Addresses = times(addresses, func(i int) string { return fmt.Sprintf("240.0.%d.%d", i/256, i%256) })
	o.Spec.Ports = times(ports, func(i int) *networking.ServicePort {
		return &networking.ServicePort{Number: uint32(8000 + i), Name: fmt.Sprintf("tcp-%d", i), Protocol: "TCP"}
	})
	o.Spec.Endpoints = times(endpoints, func(i int) *networking.WorkloadEntry {
		return &networking.WorkloadEntry{Address: fmt.Sprintf("10.%d.%d.1", i/256, i%256)}
	})
	return o
}

// TestProductsAreBounded: an object whose lists multiply is refused with its field and
// bound, and makes nothing when it comes past that; one as people write them is taken.
func TestProductsAreBounded(t *testing.T) {
	body := manyRules(1000, 1)
	body.Spec.Http[0].Route = nil
	body.Spec.Http[0].DirectResponse = &networking.HTTPDirectResponse{Status: 200, Body: &networking.HTTPBody{Specifier: &networking.HTTPBody_String_{String_: strings.Repeat("x", 900_000)}}}
	inRule := manyRules(1, 1)
	inRule.Spec.Http[0].Match = times(4000, func(i int) *networking.HTTPMatchRequest {
		return &networking.HTTPMatchRequest{Port: uint32(i)}
	})
	inRule.Spec.Http[0].Route = times(4000, func(i int) *networking.HTTPRouteDestination {
		return &networking.HTTPRouteDestination{Weight: 1, Destination: &networking.Destination{Host: fmt.Sprintf("h%d.evil.example", i)}}
	})
	subsets := &networkingv1.DestinationRule{ObjectMeta: evil("many")}
	subsets.Spec.Host = "h.evil.example"
	subsets.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE, SubjectAltNames: times(9000, func(i int) string { return fmt.Sprint("n", i) })}}
	subsets.Spec.Subsets = times(400, func(i int) *networking.Subset { return &networking.Subset{Name: fmt.Sprint("v", i)} })
	policy := manyConditions(1000, 1000)
	named := &networkingv1.DestinationRule{ObjectMeta: evil("many")}
	named.Spec.Host = "*.evil.example"
	named.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE, SubjectAltNames: times(5000, func(i int) string { return fmt.Sprint("n", i) })}}
	word := strings.Repeat("x", 1024)
	hash := &networkingv1.DestinationRule{ObjectMeta: evil("many")}
	hash.Spec.Host = "h.evil.example"
	hash.Spec.TrafficPolicy = &networking.TrafficPolicy{LoadBalancer: &networking.LoadBalancerSettings{LbPolicy: &networking.LoadBalancerSettings_ConsistentHash{ConsistentHash: &networking.LoadBalancerSettings_ConsistentHashLB{
		HashKey: &networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName{HttpHeaderName: strings.Repeat("x", 2000)}}}}}
	long := &networkingv1.DestinationRule{ObjectMeta: evil("many")}
	long.Spec.Host, long.Spec.Subsets = "h.evil.example", []*networking.Subset{{Name: word}}
	labelled, placed := manyOfEntry(1, 1, 1, 1), &networkingv1.WorkloadEntry{ObjectMeta: evil("many")}
	labelled.Spec.Endpoints[0].Labels = map[string]string{"version": word}
	placed.Spec.Address, placed.Spec.Locality = "10.9.9.9", word
	ports := &networkingv1.DestinationRule{ObjectMeta: evil("many")}
	ports.Spec.Host = "h.evil.example"
	ports.Spec.TrafficPolicy = &networking.TrafficPolicy{PortLevelSettings: times(50, func(i int) *networking.TrafficPolicy_PortTrafficPolicy {
		return &networking.TrafficPolicy_PortTrafficPolicy{Port: &networking.PortSelector{Number: uint32(1 + i)}, Tls: &networking.ClientTLSSettings{SubjectAltNames: times(50, func(j int) string { return fmt.Sprint("name-", j) })}} //nolint:gosec // few
	})}
	filter := &telemetryv1.Telemetry{ObjectMeta: evil("many")}
	filter.Spec.AccessLogging = []*telemetry.AccessLogging{{Filter: &telemetry.AccessLogging_Filter{Expression: "response.code == 1" + strings.Repeat(" || response.code == 2", 20_000)}}}
	for _, c := range []struct {
		what   string
		kind   object.Kind
		object any
		field  string // "": it is within all bounds
	}{
		{"a filter of 500 kB, in every listener", object.KindTelemetry, filter, "spec"},
		{"30,000 hosts", object.KindVirtualService, manyRules(30_000, 1), "spec.hosts"},
		{"300 hosts of 300 rules", object.KindVirtualService, manyRules(300, 300), "spec.hosts × matches"},
		{"1000 hosts of a body of 900 kB", object.KindVirtualService, body, "spec.hosts × matches × what their rules say"},
		{"a rule of 4000 matches and 4000 destinations", object.KindVirtualService, inRule, "spec.hosts × matches × what their rules say"},
		{"100 hosts × 100 addresses × 200 ports", object.KindServiceEntry, manyOfEntry(100, 100, 200, 1), "spec.hosts × addresses × ports"},
		{"100 hosts × 10 ports × 1000 endpoints", object.KindServiceEntry, manyOfEntry(100, 0, 10, 1000), "spec.hosts × endpoints × ports"},
		{"400 subsets with 9000 names", object.KindDestinationRule, subsets, "spec.subsets × trafficPolicy"},
		{"5000 names, in each cluster", object.KindDestinationRule, named, "a trafficPolicy, of the rule, a subset or a port"},
		{"a header of 2 kB, in each route to the host", object.KindDestinationRule, hash, "loadBalancer.consistentHash"},
		{"a name of a subset of 1 kB", object.KindDestinationRule, long, "spec.subsets[*].name"},
		{"a label of 1 kB", object.KindServiceEntry, labelled, "a value of spec.endpoints[*].labels, locality, network and serviceAccount"},
		{"a locality of 1 kB", object.KindWorkloadEntry, placed, "a value of spec.labels, locality, network and serviceAccount"},
		{"50 ports of a policy each", object.KindDestinationRule, ports, ""},
		{"1000 sources × 1000 conditions", object.KindAuthorizationPolicy, policy, "spec.rules × from and to × when"},
		{"a large gateway's routes", object.KindVirtualService, manyRules(20, 500), ""},
		{"routes of one host", object.KindVirtualService, manyRules(1, 3000), ""},
		{"ranges of a cloud", object.KindServiceEntry, manyOfEntry(1, 4000, 2, 0), ""},
		{"hosts of a partner", object.KindServiceEntry, manyOfEntry(256, 0, 2, 0), ""},
		{"machines behind a host", object.KindServiceEntry, manyOfEntry(1, 1, 4, 4000), ""},
		{"many sources", object.KindAuthorizationPolicy, manyConditions(1000, 2), ""},
	} {
		ref := object.Ref{Kind: c.kind, Namespace: "evil", Name: "many"}
		findings := Check(ref, c.object)
		found := map[string]bool{}
		for _, f := range findings {
			found[f.Field] = f.Code == object.CodeInvalid && strings.Contains(f.Message, "too large")
		}
		if c.field == "" {
			if over := bounds.Check(ref, c.object); len(over) > 0 {
				t.Errorf("%s: %v", c.what, over)
			}
			continue
		}
		if !found[c.field] {
			t.Errorf("%s: found %v, want one of %s", c.what, found, c.field)
		}
		w := Build([]Change{{Ref: ref, Object: c.object}})
		if n := w.HostCount(); n > 0 || routeOf(w, "evil/many") != nil {
			t.Errorf("%s: the object is used, with %d hosts", c.what, n)
		}
		said := 0
		for f := range w.Findings() {
			if f.Object == ref && found[f.Field] {
				said++
			}
		}
		if said == 0 {
			t.Errorf("%s: the world says nothing of it", c.what)
		}
	}
}

func manyConditions(sources, conditions int) *securityv1.AuthorizationPolicy {
	o := &securityv1.AuthorizationPolicy{ObjectMeta: evil("many")}
	o.Spec.Action = security.AuthorizationPolicy_DENY
	o.Spec.Rules = []*security.Rule{{
		From: times(sources, func(i int) *security.Rule_From {
			return &security.Rule_From{Source: &security.Source{Namespaces: []string{fmt.Sprint("n", i)}}}
		}),
		When: times(conditions, func(i int) *security.Condition {
			return &security.Condition{Key: fmt.Sprintf("request.headers[x%d]", i), Values: []string{"y"}}
		}),
	}}
	return o
}

// TestOverABoundFailsClosed: what was in force before stays; a policy that was never in
// force denies, and a rule keeps its TLS.
func TestOverABoundFailsClosed(t *testing.T) {
	policy := object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "evil", Name: "many"}
	small, large := manyConditions(1, 1), manyConditions(1000, 1000)
	b := newBuilder()
	b.apply([]Change{{Ref: policy, Object: small}})
	b.apply([]Change{{Ref: policy, Object: large}})
	w, _ := b.finish()
	if p := w.AuthorizationPolicies.In("evil"); len(p) != 1 || len(p[0].Spec.Rules) != 1 || len(p[0].Spec.Rules[0].From) != 1 {
		t.Errorf("what was in force before is gone: %v", p)
	}
	b.apply([]Change{{Ref: policy, Object: nil}})
	if w, _ = b.finish(); len(w.AuthorizationPolicies.In("evil")) != 0 {
		t.Error("a deleted policy stays")
	}
	w = Build([]Change{{Ref: policy, Object: large}})
	if p := w.AuthorizationPolicies.In("evil"); len(p) != 1 || len(p[0].Spec.Rules) != 0 || p[0].Spec.Action != security.AuthorizationPolicy_ALLOW {
		t.Errorf("a new one does not deny all: %v", p)
	}
	rule := &networkingv1.DestinationRule{ObjectMeta: evil("many")}
	rule.Spec.Host = "h.evil.example"
	rule.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE}}
	rule.Spec.Subsets = times(2000, func(i int) *networking.Subset { return &networking.Subset{Name: fmt.Sprint("v", i)} })
	w = Build([]Change{{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "evil", Name: "many"}, Object: rule}})
	if r, _ := w.rules.Get("h.evil.example"); len(r) != 1 || len(r[0].Subsets) != 0 || r[0].Policy.GetTls().GetMode() != networking.ClientTLSSettings_SIMPLE {
		t.Errorf("the rule's TLS is lost: %v", r)
	}
}

// TestDelegatesMultiplyWithinBounds: 1000 rules that delegate to 1000.
func TestDelegatesMultiplyWithinBounds(t *testing.T) {
	root := manyRules(1, 1000)
	for _, r := range root.Spec.Http {
		r.Match[0] = &networking.HTTPMatchRequest{Headers: map[string]*networking.StringMatch{"a": {MatchType: &networking.StringMatch_Exact{Exact: r.Match[0].Uri.GetPrefix()}}}}
		r.Route, r.Delegate = nil, &networking.Delegate{Name: "d"}
	}
	delegate := manyRules(0, 1000)
	delegate.Name = "d"
	both := []Change{{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: "many"}, Object: root}, {Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: "d"}, Object: delegate}}
	w := Build(both)
	if n := len(routeOf(w, "evil/many").Spec.Http); n == 0 || n > bounds.MaxMatches {
		t.Errorf("%d rules, want some and at most %d", n, bounds.MaxMatches)
	}
	var fields []string
	for f := range w.Findings() { // those of the delegate alone are about rules that are never used
		if f.Code != object.CodeShadowed {
			fields = append(fields, f.Field)
		}
	}
	if len(fields) != 1 || fields[0] != traffic.DelegatedField {
		t.Errorf("findings of %q", fields)
	}
	refused := false
	for _, f := range w.CheckReferences(t.Context(), object.Ref{Kind: object.KindVirtualService, Namespace: root.Namespace, Name: root.Name}, root) {
		refused = refused || f.Field == traffic.DelegatedField && f.Code == object.CodeInvalid
	}
	if !refused {
		t.Error("the root is not refused beside its delegate")
	}
}

// TestTargetsAreBounded: a policy is attached to a few objects. One with more that was
// never in force closes its whole namespace.
func TestTargetsAreBounded(t *testing.T) {
	o := manyConditions(1, 1)
	o.Spec.TargetRefs = times(30_000, func(i int) *typev1.PolicyTargetReference {
		return &typev1.PolicyTargetReference{Kind: "Service", Name: fmt.Sprint("s", i)}
	})
	ref := object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "evil", Name: "many"}
	if f := Check(ref, o); len(f) == 0 || f[0].Field != "spec.targetRefs" || f[0].Code != object.CodeInvalid {
		t.Errorf("found %v", f)
	}
	p := Build([]Change{{Ref: ref, Object: o}}).AuthorizationPolicies.In("evil")
	if len(p) != 1 || len(p[0].targets) != 0 || len(p[0].Selector) != 0 || len(p[0].Spec.Rules) != 0 || p[0].Spec.Action != security.AuthorizationPolicy_ALLOW {
		t.Errorf("in force is %v, want what denies all of the namespace", p)
	}
}

// TestPoliciesOfANamespaceAreBounded: policies that do not fit beside older ones deny, in
// whatever order they come.
func TestPoliciesOfANamespaceAreBounded(t *testing.T) {
	var changes []Change
	for i := range 6 {
		o := manyConditions(1, 20_000)
		o.Name, o.CreationTimestamp = fmt.Sprint("p", i), metav1.Unix(int64(1000+i), 0)
		if over := bounds.Check(object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "evil", Name: o.Name}, o); i == 0 && len(over) > 0 {
			t.Fatalf("one alone is over a bound: %v", over)
		}
		changes = append(changes, Change{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "evil", Name: o.Name}, Object: o})
	}
	slices.Reverse(changes)
	for range 2 {
		w := Build(changes)
		kept := 0
		for i, p := range w.AuthorizationPolicies.In("evil") {
			switch open := len(p.Spec.Rules) > 0; {
			case open && i == kept:
				kept++
			case open || p.Spec.Action != security.AuthorizationPolicy_ALLOW:
				t.Errorf("%s is in force as %v", p.Ref, p.Spec.Action)
			}
		}
		if kept == 0 || kept == 6 || len(leftOutOf(w)) != 6-kept {
			t.Errorf("%d are in force, left out are %d", kept, len(leftOutOf(w)))
		}
		slices.Reverse(changes)
	}
}

// TestDelegatesOfManyRootsAreBounded: many roots of one namespace, each within the bounds of
// its own. The oldest have what they delegate, in whatever order objects come.
func TestDelegatesOfManyRootsAreBounded(t *testing.T) {
	delegate := manyRules(0, 1000)
	delegate.Name = "d"
	changes := []Change{{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: "d"}, Object: delegate}}
	for i := range 30 {
		root := manyRules(1, 1)
		root.Name, root.CreationTimestamp, root.Spec.Hosts = fmt.Sprintf("r%02d", i), metav1.Unix(int64(1000+i), 0), []string{fmt.Sprintf("r%d.example", i)}
		root.Spec.Http[0] = &networking.HTTPRoute{Delegate: &networking.Delegate{Name: "d"}}
		changes = append(changes, Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: root.Name}, Object: root})
	}
	other := manyRules(1, 1)
	other.Namespace, other.Name = "shop", "other"
	other.Spec.Http[0] = &networking.HTTPRoute{Delegate: &networking.Delegate{Name: "d", Namespace: "evil"}}
	changes = append(changes, Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "shop", Name: "other"}, Object: other})
	for range 2 {
		b := newBuilder()
		var w *World
		for _, c := range changes {
			b.apply([]Change{c})
			for w, _ = b.finish(); !b.due().IsZero(); { // roots of several namespaces take turns
				w, _ = b.finish()
			}
		}
		served := func(name string) int { return len(routeOf(w, name).Spec.Http) }
		for i := range 30 {
			name := fmt.Sprintf("evil/r%02d", i)
			if n := served(name); n > 0 != (i < 5) {
				t.Errorf("%s has %d rules", name, n)
			}
		}
		if served("shop/other") == 0 {
			t.Error("another namespace's root is without its delegate")
		}
		winners := map[object.Ref]int{}
		for f := range w.Findings() {
			if strings.HasPrefix(f.Message, "delegates of namespace evil add more") {
				winners[f.Winner]++
			}
		}
		if len(winners) != 1 || winners[object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: "r04"}] != 25 {
			t.Errorf("winners are %v", winners)
		}
		b.apply([]Change{{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "evil", Name: "r03"}, Object: nil}})
		if w, _ = b.finish(); served("evil/r05") == 0 || served("evil/r06") != 0 {
			t.Error("the room of one that is gone is not the next one's")
		}
		slices.Reverse(changes)
	}
}

// TestTLSTooLargeTrustsNobody: of a rule whose TLS settings are more than each cluster may
// say, what is in force lets no server be trusted, and not any.
func TestTLSTooLargeTrustsNobody(t *testing.T) {
	for _, mode := range []networking.ClientTLSSettings_TLSmode{networking.ClientTLSSettings_DISABLE, networking.ClientTLSSettings_SIMPLE, networking.ClientTLSSettings_MUTUAL, networking.ClientTLSSettings_ISTIO_MUTUAL} {
		o := &networkingv1.DestinationRule{ObjectMeta: evil("many")}
		o.Spec.Host = "h.evil.example"
		o.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Mode: mode, SubjectAltNames: times(5000, func(i int) string { return fmt.Sprint("n", i) })}}
		tls := bounds.Restricted(o).(*networkingv1.DestinationRule).Spec.TrafficPolicy.Tls
		if ok := tls.Mode == networking.ClientTLSSettings_SIMPLE || tls.Mode == mode; !ok || tls.Mode == networking.ClientTLSSettings_DISABLE || len(tls.SubjectAltNames) != 1 || !strings.HasSuffix(tls.SubjectAltNames[0], ".invalid") {
			t.Errorf("mode %v: %v is in force", mode, tls)
		}
		at := o.DeepCopy()
		at.Spec.TrafficPolicy = &networking.TrafficPolicy{PortLevelSettings: []*networking.TrafficPolicy_PortTrafficPolicy{{Port: &networking.PortSelector{Number: 443}, Tls: o.Spec.TrafficPolicy.Tls}}}
		if got := bounds.Restricted(at).(*networkingv1.DestinationRule).Spec.TrafficPolicy.PortLevelSettings; len(got) != 1 || got[0].Port.GetNumber() != 443 || !proto.Equal(got[0].Tls, tls) {
			t.Errorf("mode %v: of a port %v is in force", mode, got)
		}
		for range 5000 { // which the API server takes; nobody reads them all to know which are to have TLS
			at.Spec.TrafficPolicy.PortLevelSettings = append(at.Spec.TrafficPolicy.PortLevelSettings, at.Spec.TrafficPolicy.PortLevelSettings[0])
		}
		if got := bounds.Restricted(at).(*networkingv1.DestinationRule).Spec.TrafficPolicy; len(got.PortLevelSettings) > 0 || len(got.Tls.SubjectAltNames) != 1 || got.Tls.Mode == networking.ClientTLSSettings_DISABLE {
			t.Errorf("mode %v: of many ports %v is in force", mode, got)
		}
		small := o.DeepCopy()
		small.Spec.TrafficPolicy.Tls.SubjectAltNames = []string{"h"}
		if got := bounds.Restricted(small).(*networkingv1.DestinationRule).Spec.TrafficPolicy.Tls; got.Mode != mode || got.SubjectAltNames[0] != "h" {
			t.Errorf("mode %v: of small settings %v are in force", mode, got)
		}
	}
}

// TestPortModesAreBounded: a PeerAuthentication of very many ports is not used: what it was
// before stays in force, and in place of a new one STRICT is, which is told.
func TestPortModesAreBounded(t *testing.T) {
	ref := object.Ref{Kind: object.KindPeerAuthentication, Namespace: "a", Name: "many"}
	policy := func(n int) Change {
		o := &securityv1.PeerAuthentication{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "many"}}
		o.Spec.Selector = &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": "x"}}
		o.Spec.Mtls = &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_PERMISSIVE}
		o.Spec.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{}
		for i := range n {
			o.Spec.PortLevelMtls[uint32(i+1)] = &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_DISABLE} //nolint:gosec // few
		}
		return Change{Ref: ref, Object: o}
	}
	workload := &registry.Workload{Namespace: "a", Labels: map[string]string{"app": "x"}}
	for _, c := range []struct {
		ports []int // of the versions of the policy
		mode  MutualTLS
		told  bool
	}{{[]int{200}, Disabled, false}, {[]int{201}, Strict, true}, {[]int{200, 201}, Disabled, true}, {[]int{201, 200}, Disabled, false}} {
		b := newBuilder()
		for _, n := range c.ports {
			b.apply([]Change{policy(n)})
		}
		w, _ := b.finish()
		told := false
		for f := range w.Findings() {
			told = told || f.Object == ref && f.Field == "spec.portLevelMtls"
		}
		if mode := MutualTLSOf(w.PeerAuthentications, "istio-system", workload, 7); mode != c.mode || told != c.told {
			t.Errorf("after versions of %v ports the mode is %v, told %v", c.ports, mode, told)
		}
	}
}
