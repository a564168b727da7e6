package mesh

import (
	"slices"
	"strings"
	"testing"

	security "istio.io/api/security/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// targetMesh has two Gateways of the Gateway API in namespace a, one whose pods bear its
// label and one that names a Service, a third in namespace b, a Service, and ServiceEntries.
func targetMesh(t *testing.T) []Change {
	t.Helper()
	gateway := func(ns, name, class, more string) Change {
		return Change{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: ns, Name: name}, Object: readObject[gatewayv1.Gateway](t, "metadata: {name: "+name+", namespace: "+ns+"}\nspec: {gatewayClassName: "+class+", listeners: [{name: http, port: 80, protocol: HTTP}]"+more+"}")}
	}
	entry := func(name, more string) Change {
		return Change{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "a", Name: name}, Object: readObject[networkingv1.ServiceEntry](t, "metadata: {name: "+name+", namespace: a}\nspec: {hosts: ["+name+".example], ports: [{number: 80, name: http, protocol: HTTP}]"+more+"}")}
	}
	return []Change{
		gateway("a", "front", "istio", ""), gateway("b", "front", "istio", ""),
		gateway("a", "edge", "istio", ", addresses: [{type: Hostname, value: edge}]"),
		serviceIn("a", "edge", map[string]string{"app": "edge"}), serviceIn("a", "web", map[string]string{"app": "web"}),
		{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: "manual"}, Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "manual"}, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.3", Ports: []corev1.ServicePort{{Port: 80}}}}},
		entry("vm", ", resolution: STATIC, workloadSelector: {labels: {app: vm}}"), entry("far", ", resolution: DNS"),
	}
}

// targetPlaces are the workloads that policies may reach.
var targetPlaces = map[string]*registry.Workload{
	"front":    {Namespace: "a", Name: "front-1", Labels: map[string]string{gatewayapi.GatewayNameLabel: "front"}},
	"edge":     {Namespace: "a", Name: "edge-1", Labels: map[string]string{"app": "edge"}},
	"b":        {Namespace: "b", Name: "front-1", Labels: map[string]string{gatewayapi.GatewayNameLabel: "front"}},
	"web":      {Namespace: "a", Name: "web-1", Labels: map[string]string{"app": "web"}},
	"web of b": {Namespace: "b", Name: "web-1", Labels: map[string]string{"app": "web"}},
	"vm":       {Namespace: "a", Name: "vm-1", Labels: map[string]string{"app": "vm"}},
	"other":    {Namespace: "a", Name: "other-1", Labels: map[string]string{"app": "other"}},
}

// TestTargets: policies are for what they refer to and for nothing else; of a reference
// that is wrong only what restricts is left, where it may have been meant.
func TestTargets(t *testing.T) {
	for _, c := range []struct {
		what, namespace, spec string
		meant, closed         string // the places
		found                 string // of what is said; "": nothing
	}{
		{"a Gateway", "a", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]", "front", "", ""},
		{"the older field", "a", "targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: front}", "front", "", ""},
		{"a Gateway with a Service", "a", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge, namespace: a}]", "edge", "", ""},
		{"two", "a", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}, {group: gateway.networking.k8s.io, kind: Gateway, name: front}]", "edge front", "", ""},
		{"of the root namespace", "istio-system", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]", "", "", "no Gateway"},
		{"a class", "istio-system", "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio}]", "b edge front", "", ""},
		{"a class of others", "a", "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio}]", "", "edge front", "root namespace"},
		{"another class", "istio-system", "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: none}]", "", "", ""},
		{"a Service", "a", "targetRefs: [{group: '', kind: Service, name: web}]", "web", "", ""},
		{"a Service of core", "a", "targetRefs: [{group: core, kind: Service, name: web}]", "web", "", ""},
		{"a Service without pods", "a", "targetRefs: [{kind: Service, name: manual}]", "", "", "selects no workloads"},
		{"no Service", "a", "targetRefs: [{kind: Service, name: wep}]", "", "", "no Service"},
		{"an entry", "a", "targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: vm}]", "vm", "", ""},
		{"an entry without workloads", "a", "targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: far}]", "", "", "selects no workloads"},
		{"wrong group", "a", "targetRefs: [{group: gateway.k8s.io, kind: Gateway, name: front}]", "", "front", "group"},
		{"no group", "a", "targetRefs: [{kind: Gateway, name: front}]", "", "front", "group"},
		{"wrong kind", "a", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gatewya, name: front}]", "", "front", "kind"},
		{"wrong kind of a Service", "a", "targetRefs: [{kind: Servce, name: web}]", "", "web", "kind"},
		{"no name", "a", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway}]", "", "edge front", "names no"},
		{"nothing", "a", "targetRefs: [{}]", "", "edge front", "kind"},
		{"another namespace", "a", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front, namespace: b}]", "", "front", "namespace"},
		{"a selector beside", "a", "selector: {matchLabels: {app: web}}\ntargetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]", "", "front web", "excludes"},
		{"both fields", "a", "targetRef: {kind: Service, name: web}\ntargetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]", "", "front web", "excludes"},
	} {
		text := "metadata: {name: p, namespace: " + c.namespace + "}\nspec:\n  " + strings.ReplaceAll(c.spec, "\n", "\n  ") + "\n"
		authz := readObject[securityv1.AuthorizationPolicy](t, text+"  rules: [{}]")
		jwt := readObject[securityv1.RequestAuthentication](t, text+"  jwtRules: [{issuer: me, jwksUri: 'https://keys.example'}]")
		logs := readObject[telemetryv1.Telemetry](t, text)
		w := Build(append(targetMesh(t), Change{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: c.namespace, Name: "p"}, Object: authz}, Change{Ref: object.Ref{Kind: object.KindRequestAuthentication, Namespace: c.namespace, Name: "p"}, Object: jwt}, Change{Ref: object.Ref{Kind: object.KindTelemetry, Namespace: c.namespace, Name: "p"}, Object: logs}))
		var meant, closed, tokens, telemetry []string
		for name, x := range targetPlaces {
			for _, p := range w.AuthorizationPoliciesOf(x) {
				if allows := len(p.Spec.Rules) > 0; allows != p.Guessed {
					if p.Guessed {
						closed = append(closed, name)
					} else {
						meant = append(meant, name)
					}
				} else {
					closed = append(closed, name)
				}
			}
			for _, p := range w.RequestAuthenticationsOf(x) {
				if !p.Guessed {
					tokens = append(tokens, name)
				}
			}
			if len(w.TelemetriesOf(x)) > 0 {
				telemetry = append(telemetry, name)
			}
		}
		for _, l := range [][]string{meant, closed, tokens, telemetry} {
			slices.Sort(l)
		}
		if got := strings.Join(meant, " "); got != c.meant || strings.Join(tokens, " ") != c.meant || strings.Join(telemetry, " ") != c.meant {
			t.Errorf("%s: in force at %q, tokens at %q, Telemetry at %q; want %q", c.what, got, tokens, telemetry, c.meant)
		}
		if got := strings.Join(closed, " "); got != c.closed {
			t.Errorf("%s: closed at %q, want %q", c.what, got, c.closed)
		}
		for kind, obj := range map[object.Kind]any{object.KindAuthorizationPolicy: authz, object.KindRequestAuthentication: jwt, object.KindTelemetry: logs} {
			ref := object.Ref{Kind: kind, Namespace: c.namespace, Name: "p"}
			said := slices.Concat(Check(ref, obj), w.CheckReferences(t.Context(), ref, obj))
			var built []object.Finding
			for f := range w.Findings() {
				if f.Object == (object.Ref{Kind: kind, Namespace: c.namespace, Name: "p"}) {
					built = append(built, f)
				}
			}
			for _, l := range [][]object.Finding{said, built} {
				if len(l) > 0 != (c.found != "") || len(l) > 0 && !strings.Contains(l[0].Message, c.found) {
					t.Errorf("%s: of the %s is said %v, want %q", c.what, kind, l, c.found)
				}
			}
		}
	}
}

// TestDenyByWrongReference: what a policy denies, it denies wherever it may have been meant.
func TestDenyByWrongReference(t *testing.T) {
	deny := readObject[securityv1.AuthorizationPolicy](t, "metadata: {name: p, namespace: a}\nspec: {action: DENY, targetRefs: [{kind: Gateway, name: front}], rules: [{to: [{operation: {paths: [/admin]}}]}]}")
	w := Build(append(targetMesh(t), Change{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "a", Name: "p"}, Object: deny}))
	p := w.AuthorizationPoliciesOf(targetPlaces["front"])
	if len(p) != 1 || p[0].Spec.Action != security.AuthorizationPolicy_DENY || len(p[0].Spec.Rules) != 1 {
		t.Errorf("in force: %v", p)
	}
}

// TestTargetsFollowTheWorld: findings go when what is referred to comes, and workloads
// notice when a Service begins to select them.
func TestTargetsFollowTheWorld(t *testing.T) {
	b := newBuilder()
	policy := readObject[securityv1.AuthorizationPolicy](t, "metadata: {name: p, namespace: a}\nspec: {targetRefs: [{kind: Service, name: web}, {group: gateway.networking.k8s.io, kind: Gateway, name: front}]}")
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "a", Name: "p"}, Object: policy}})
	w, _ := b.finish()
	if n := len(slices.Collect(w.Findings())); n != 2 {
		t.Errorf("%d findings of what is not there", n)
	}
	b.apply(targetMesh(t))
	w, dirty := b.finish()
	if l := slices.Collect(w.Findings()); len(l) > 0 || !dirty.Gateways {
		t.Errorf("findings %v; gateways dirty: %v", l, dirty.Gateways)
	}
	if _, ok := dirty.Inbound["a"]; !ok {
		t.Error("workloads of the namespace do not notice the Gateway")
	}
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "a", Name: "p"}, Object: nil}})
	if w, _ = b.finish(); len(b.targeted) > 0 || len(w.AuthorizationPoliciesOf(targetPlaces["web"])) > 0 {
		t.Error("the policy is gone and is in force")
	}
}

// TestForeignPodsServeNoGuardedGateway: pods of another namespace do not enforce a policy of
// the Gateway's, and so do not serve the Gateway while there is one.
func TestForeignPodsServeNoGuardedGateway(t *testing.T) {
	b := newBuilder()
	b.apply([]Change{
		serviceIn("b", "edge", map[string]string{"app": "edge"}),
		{Ref: object.Ref{Kind: object.KindReferenceGrant, Namespace: "b", Name: "g"}, Object: readObject[gatewayv1.ReferenceGrant](t, "metadata: {name: g, namespace: b}\nspec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: a}], to: [{group: '', kind: Service}]}")},
		{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"}, Object: readObject[gatewayv1.Gateway](t, "metadata: {name: front, namespace: a}\nspec: {gatewayClassName: istio, addresses: [{type: Hostname, value: edge.b.svc.cluster.local}], listeners: [{name: http, port: 80, protocol: HTTP}]}")},
	})
	policy := object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "a", Name: "p"}
	served := func(want bool) {
		t.Helper()
		w, _ := b.finish()
		g := w.Gateway(gatewayapi.NameOf(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"}))
		if got := g.Selects("b", map[string]string{"app": "edge"}); got != want {
			t.Errorf("served: %v, want %v", got, want)
		}
		found := false
		for f := range w.Findings() {
			found = found || f.Object == policy && f.Code == object.CodeUnsupported
		}
		if found == want {
			t.Errorf("the policy's owner hears of it: %v", found)
		}
	}
	served(true)
	b.apply([]Change{{Ref: policy, Object: readObject[securityv1.AuthorizationPolicy](t, "metadata: {name: p, namespace: a}\nspec: {action: DENY, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}], rules: [{}]}")}})
	served(false)
	b.apply([]Change{{Ref: policy, Object: nil}})
	served(true)
}
