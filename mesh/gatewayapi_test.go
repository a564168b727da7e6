package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// apiWorld makes a World of YAML of the Gateway API, with a Service web in
// namespaces a and b, and a Namespace b labelled team=b, beside other changes.
func apiWorld(t *testing.T, text string, changes ...Change) *World {
	t.Helper()
	return Build(apiChanges(t, text, changes...))
}

// apiChanges are the changes that make the World of apiWorld.
func apiChanges(t *testing.T, text string, changes ...Change) []Change {
	t.Helper()
	for _, ns := range []string{"a", "b"} {
		changes = append(changes,
			Change{Ref: object.Ref{Kind: object.KindService, Namespace: ns, Name: "web"}, Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"}, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}},
			Change{Ref: object.Ref{Kind: object.KindNamespace, Namespace: "", Name: ns}, Object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"team": ns}}}})
	}
	makers := map[string]func() any{
		"GatewayClass": func() any { return &gatewayv1.GatewayClass{} }, "Gateway": func() any { return &gatewayv1.Gateway{} }, "HTTPRoute": func() any { return &gatewayv1.HTTPRoute{} },
		"GRPCRoute": func() any { return &gatewayv1.GRPCRoute{} }, "TLSRoute": func() any { return &gatewayv1.TLSRoute{} }, "TCPRoute": func() any { return &gatewayv1.TCPRoute{} },
		"ListenerSet": func() any { return &gatewayv1.ListenerSet{} }, "ReferenceGrant": func() any { return &gatewayv1.ReferenceGrant{} }, "BackendTLSPolicy": func() any { return &gatewayv1.BackendTLSPolicy{} },
	}
	for i, doc := range strings.Split(text, "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatal(err)
		}
		o := makers[head.Kind]()
		if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		m := o.(metav1.Object)
		m.SetGeneration(3)
		m.SetCreationTimestamp(metav1.NewTime(time.Unix(int64(1000+i), 0)))
		changes = append(changes, Change{Ref: object.Ref{Kind: object.Kind(gatewayapi.Group + "/" + head.Kind), Namespace: m.GetNamespace(), Name: m.GetName()}, Object: o})
	}
	return changes
}

// conditions writes conditions as "Type=Status/Reason ...".
func conditions(list []metav1.Condition) string {
	var out []string
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
		if c.ObservedGeneration != 3 {
			out = append(out, "(of another generation)")
		}
	}
	return strings.Join(out, " ")
}

const apiFront = `kind: Gateway
metadata: {name: front, namespace: a}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: web}]
  listeners:
  - {name: all, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: same, port: 81, protocol: HTTP, hostname: "*.example"}
  - {name: team, port: 82, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: b}}}}}
  - {name: again, port: 80, protocol: HTTP}
  - {name: other, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: x}]}}
  - {name: udp, port: 83, protocol: UDP}
  - {name: secret, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: x, namespace: b}]}}
`

func TestGatewayStatus(t *testing.T) {
	w := apiWorld(t, apiFront)
	s, generation := w.GatewayAPI().GatewayStatus(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"})
	if s == nil || generation != 3 {
		t.Fatalf("status %v of generation %d", s, generation)
	}
	if got, want := conditions(s.Conditions), "Accepted=True/ListenersNotValid Programmed=True/Programmed"; got != want {
		t.Errorf("the Gateway is %s, want %s", got, want)
	}
	const fine = "Accepted=True/Accepted Conflicted=False/NoConflicts ResolvedRefs=True/ResolvedRefs Programmed=True/Programmed"
	for i, want := range []string{
		fine, fine, fine,
		"Accepted=False/HostnameConflict Conflicted=True/HostnameConflict ResolvedRefs=True/ResolvedRefs Programmed=False/Invalid",
		"Accepted=False/ProtocolConflict Conflicted=True/ProtocolConflict ResolvedRefs=False/InvalidCertificateRef Programmed=False/Invalid",
		"Accepted=False/UnsupportedProtocol Conflicted=False/NoConflicts ResolvedRefs=True/ResolvedRefs Programmed=False/Invalid",
		"Accepted=True/Accepted Conflicted=False/NoConflicts ResolvedRefs=False/RefNotPermitted Programmed=False/Invalid",
	} {
		if got := conditions(s.Listeners[i].Conditions); got != want {
			t.Errorf("listener %s is %s, want %s", s.Listeners[i].Name, got, want)
		}
	}
	if a := s.Addresses; len(a) != 2 || a[0].Value != "10.0.0.1" || a[1].Value != "web.a.svc.cluster.local" {
		t.Errorf("addresses are %v", a)
	}
	if len(w.GatewayAPI().ListenerSecrets()) != 1 {
		t.Errorf("secrets are %v, want a/x alone, since no grant allows b/x", w.GatewayAPI().ListenerSecrets())
	}
}

// TestListenersThatCannotBe: a port of the proxy's own, and certificates of clients that
// nobody would ask for, are told as conditions, and nothing is opened.
func TestListenersThatCannotBe(t *testing.T) {
	const gateway = "kind: Gateway\nmetadata: {name: front, namespace: a}\nspec:\n  gatewayClassName: istio\n  listeners:\n"
	const tls = "{name: tls, port: %s, protocol: HTTPS, tls: {certificateRefs: [{name: x}]}}"
	for _, c := range []struct{ listeners, want, says string }{
		{"  - {name: http, port: 15021, protocol: HTTP}", "PortUnavailable", "port 15021 is the proxy's own"},
		{"  - {name: http, port: 15090, protocol: TCP}", "PortUnavailable", "port 15090"},
		{"  - " + strings.ReplaceAll(tls, "%s", "444") + "\n  tls: {frontend: {default: {}, perPort: [{port: 443, tls: {validation: {caCertificateRefs: [{kind: ConfigMap, name: ca}]}}}]}}", "Accepted", ""},
		{"  - {name: http, port: 80, protocol: HTTP}\n  tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: ConfigMap, name: ca}]}}}}", "Accepted", ""},
	} {
		w := apiWorld(t, gateway+c.listeners)
		s, _ := w.GatewayAPI().GatewayStatus(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"})
		if got := s.Listeners[0].Conditions[0]; got.Reason != c.want || !strings.Contains(got.Message, c.says) {
			t.Errorf("%s\nis %s: %s, want %s", c.listeners, got.Reason, got.Message, c.want)
		}
		if opened := len(w.GatewayAPI().ManagedGateways()[0].Ports) > 0; opened != (c.want == "Accepted") {
			t.Errorf("%s\nis opened: %v", c.listeners, opened)
		}
	}
}

// TestFrontendOfGateways: clients are verified by ConfigMaps that the Gateway may use; a
// listener for which there is none is told so and not served.
func TestFrontendOfGateways(t *testing.T) {
	const front = "kind: Gateway\nmetadata: {name: front, namespace: a}\nspec:\n  gatewayClassName: istio\n  listeners:\n" +
		"  - {name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: x}]%s}}\n" +
		"  tls: {frontend: {default: {validation: {caCertificateRefs: [%s]}}%s}}\n"
	const grant = "---\nkind: ReferenceGrant\nmetadata: {name: g, namespace: b}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: a}]\n  to: [{group: '', kind: ConfigMap}]\n"
	const own, far = "{group: '', kind: ConfigMap, name: ca}", "{group: '', kind: ConfigMap, name: ca, namespace: b}"
	for _, c := range []struct{ options, refs, perPort, more, accepted, resolved, reads string }{
		{"", own, "", "", "NoValidCACertificate", "InvalidCACertificateRef", "ConfigMap a/ca"},
		{"", "{group: '', kind: Service, name: ca}", "", "", "NoValidCACertificate", "InvalidCACertificateKind", ""},
		{"", far, "", "", "NoValidCACertificate", "RefNotPermitted", ""},
		{"", far, "", grant, "NoValidCACertificate", "InvalidCACertificateRef", "ConfigMap b/ca"},
		{"", own, ", perPort: [{port: 443, tls: {}}]", "", "Accepted", "InvalidCertificateRef", ""},
		{"", own, ", perPort: [{port: 444, tls: {}}]", "", "NoValidCACertificate", "InvalidCACertificateRef", "ConfigMap a/ca"},
		{", options: {gateway.istio.io/tls-terminate-mode: MUTUAL}", own, "", "", "UnsupportedValue", "InvalidCACertificateRef", "ConfigMap a/ca"},
	} {
		w := apiWorld(t, fmt.Sprintf(front, c.options, c.refs, c.perPort)+c.more)
		s, _ := w.GatewayAPI().GatewayStatus(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"})
		if got := s.Listeners[0].Conditions; got[0].Reason != c.accepted && c.accepted != "UnsupportedValue" || got[2].Reason != c.resolved {
			t.Errorf("with %+v the listener is %s", c, conditions(got))
		}
		var reads []string
		for _, x := range w.GatewayAPI().ListenerSecrets() {
			if x.Ref.Kind == object.KindConfigMap {
				reads = append(reads, x.Ref.String())
			}
		}
		if got := strings.Join(reads, ", "); got != c.reads {
			t.Errorf("with %+v it reads %q", c, got)
		}
		if g := w.Gateway("gateway.networking.k8s.io/a/front"); c.accepted != "Accepted" && len(g.Servers) > 0 {
			t.Errorf("with %+v it is served", c)
		}
	}
}

// TestListenersThatAskClients: the option of a listener decides about certificates of
// clients, which are verified by a Secret that the Gateway may use.
func TestListenersThatAskClients(t *testing.T) {
	const front = "kind: Gateway\nmetadata: {name: front, namespace: a}\nspec:\n  gatewayClassName: istio\n  listeners:\n" +
		"  - {name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: x, namespace: %s}], options: {gateway.istio.io/tls-terminate-mode: %s}}}\n"
	const grant = "---\nkind: ReferenceGrant\nmetadata: {name: g, namespace: b}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: a}]\n  to: [{group: '', kind: Secret%s}]\n"
	for _, c := range []struct{ namespace, mode, grant, accepted, secrets string }{
		{"a", "MUTUAL", "", "Accepted", "Secret a/x, Secret a/x-cacert"},
		{"a", "OPTIONAL_MUTUAL", "", "Accepted", "Secret a/x, Secret a/x-cacert"},
		{"a", "SIMPLE", "", "Accepted", "Secret a/x"},
		{"a", "ISTIO_MUTUAL", "", "UnsupportedValue", "Secret a/x"},
		{"b", "SIMPLE", fmt.Sprintf(grant, ", name: x"), "Accepted", "Secret b/x"},
		{"b", "MUTUAL", fmt.Sprintf(grant, ", name: x"), "Accepted", ""},
		{"b", "MUTUAL", fmt.Sprintf(grant, ""), "Accepted", "Secret b/x, Secret b/x-cacert"},
	} {
		w := apiWorld(t, fmt.Sprintf(front, c.namespace, c.mode)+c.grant)
		s, _ := w.GatewayAPI().GatewayStatus(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"})
		if got := s.Listeners[0].Conditions[0].Reason; got != c.accepted {
			t.Errorf("%s with a certificate of namespace %s is %s, want %s", c.mode, c.namespace, got, c.accepted)
		}
		var secrets []string
		for _, x := range w.GatewayAPI().ListenerSecrets() {
			secrets = append(secrets, x.Ref.String())
		}
		if got := strings.Join(secrets, ", "); got != c.secrets {
			t.Errorf("%s with a certificate of namespace %s reads %q, want %q", c.mode, c.namespace, got, c.secrets)
		}
	}
}

// TestReferencesWithoutAuthorities: each reference of a BackendTLSPolicy that leads to no
// authority is told at its own place, also beside one of a kind that never holds any.
func TestReferencesWithoutAuthorities(t *testing.T) {
	w := apiWorld(t, `kind: BackendTLSPolicy
metadata: {name: p, namespace: a}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  validation:
    hostname: web.example
    caCertificateRefs: [{group: "", kind: ConfigMap, name: one}, {group: "", kind: Secret, name: two}, {group: "", kind: ConfigMap, name: three}]
`)
	p := w.GatewayAPI().BackendTLSPolicy(object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: "a", Name: "p"})
	var fields []string
	for _, f := range w.GatewayAPI().PolicyFindings(p) {
		fields = append(fields, f.Field)
	}
	slices.Sort(fields)
	const of = "spec.validation.caCertificateRefs"
	if want := []string{of + "[0].name", of + "[1].kind", of + "[2].name"}; !slices.Equal(fields, want) {
		t.Errorf("findings at %q, want %q", fields, want)
	}
}

// TestPoliciesThatLose: a BackendTLSPolicy about whose Service an older one decides is told so
// for each Gateway that leads there, as the other is told that it is in force.
func TestPoliciesThatLose(t *testing.T) {
	const policy = "---\nkind: BackendTLSPolicy\nmetadata: {name: %s, namespace: a}\nspec: {targetRefs: [{group: '', kind: Service, name: web}], validation: {hostname: web.example, wellKnownCACertificates: System}}\n"
	w := apiWorld(t, apiFront+"---\nkind: HTTPRoute\nmetadata: {name: r, namespace: a}\nspec: {parentRefs: [{name: front, sectionName: all}], rules: [{backendRefs: [{name: web, port: 80}]}]}\n"+
		fmt.Sprintf(policy, "older")+fmt.Sprintf(policy, "younger"))
	for name, want := range map[string]string{"older": "Accepted=True/Accepted", "younger": "Accepted=False/Conflicted"} {
		ancestors, _, _ := w.GatewayAPI().BackendTLSPolicyStatus(object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: "a", Name: name})
		if len(ancestors) != 2 || ancestors[0].AncestorRef.Name != "front" {
			t.Fatalf("%s is told for %v", name, ancestors)
		}
		for _, a := range ancestors {
			if got := conditions(a.Conditions[:1]); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
}

// TestStaticAddresses: a Gateway with an address of its own is programmed when its
// Service has it.
func TestStaticAddresses(t *testing.T) {
	const gateway = "kind: Gateway\nmetadata: {name: front, namespace: a}\nspec:\n  gatewayClassName: istio\n  listeners: [{name: http, port: 80, protocol: HTTP}]\n  addresses: "
	const refused = "Accepted=False/UnsupportedAddress Programmed=False/Invalid"
	const unusable = "Accepted=True/Accepted Programmed=False/AddressNotUsable"
	for _, c := range []struct{ addresses, given, want, asks string }{
		{"[{value: 192.0.2.7}]", "", unusable, "192.0.2.7"},
		{"[{type: IPAddress, value: 192.0.2.7}]", "192.0.2.8", unusable, "192.0.2.7"},
		{"[{value: 192.0.2.7}]", "192.0.2.7", "Accepted=True/Accepted Programmed=True/Programmed", "192.0.2.7"},
		{"[{value: 192.0.2.7}, {value: 192.0.2.8}]", "192.0.2.7", unusable, "192.0.2.7"},
		{"[{value: 192.0.2.7}, {type: example.com/other, value: x}]", "192.0.2.7", refused, ""},
		{"[{value: not-an-address}]", "", refused, ""},
		{"[{value: 192.0.2.7}, {type: Hostname, value: web}]", "", refused, ""},
	} {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "front-istio"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.0.0.9", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}
		if c.given != "" {
			service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: c.given}}
		}
		w := apiWorld(t, gateway+c.addresses, Change{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: "front-istio"}, Object: service})
		s, _ := w.GatewayAPI().GatewayStatus(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"})
		if got := conditions(s.Conditions); got != c.want {
			t.Errorf("with %s, and %q given, the Gateway is %s, want %s", c.addresses, c.given, got, c.want)
		}
		asks := ""
		for _, m := range w.GatewayAPI().ManagedGateways() {
			asks = m.Address
		}
		if asks != c.asks {
			t.Errorf("with %s the Service asks for %q, want %q", c.addresses, asks, c.asks)
		}
	}
}

func TestRouteStatus(t *testing.T) {
	const ok = "ResolvedRefs=True/ResolvedRefs"
	for _, c := range []struct{ name, namespace, parent, spec, want string }{
		{"attached", "a", "{name: front, sectionName: all}", "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=True/Accepted " + ok},
		{"no such listener", "a", "{name: front, sectionName: nowhere}", "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=False/NoMatchingParent " + ok},
		{"no such port", "a", "{name: front, port: 90}", "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=False/NoMatchingParent " + ok},
		{"another namespace", "b", "{name: front, namespace: a, sectionName: same}", "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=False/NotAllowedByListeners " + ok},
		{"all namespaces", "b", "{name: front, namespace: a, sectionName: all}", "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=True/Accepted " + ok},
		{"selected namespace", "b", "{name: front, namespace: a, sectionName: team}", "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=True/Accepted " + ok},
		{"namespace not selected", "a", "{name: front, sectionName: team}", "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=False/NotAllowedByListeners " + ok},
		{"hostname", "a", "{name: front, sectionName: same}", "hostnames: [elsewhere]\n  rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=False/NoMatchingListenerHostname " + ok},
		{"backend missing", "a", "{name: front, sectionName: all}", "rules: [{backendRefs: [{name: nothing, port: 80}]}]", "Accepted=True/Accepted ResolvedRefs=False/BackendNotFound"},
		{"backend without the port", "a", "{name: front, sectionName: all}", "rules: [{backendRefs: [{name: web, port: 81}]}]", "Accepted=True/Accepted ResolvedRefs=False/BackendNotFound"},
		{"backend of another kind", "a", "{name: front, sectionName: all}", "rules: [{backendRefs: [{name: web, kind: Bucket, port: 80}]}]", "Accepted=True/Accepted ResolvedRefs=False/InvalidKind"},
		{"backend not granted", "a", "{name: front, sectionName: all}", "rules: [{backendRefs: [{name: web, namespace: b, port: 80}]}]", "Accepted=True/Accepted ResolvedRefs=False/RefNotPermitted"},
		{"filter", "a", "{name: front, sectionName: all}", "rules: [{filters: [{type: ExtensionRef, extensionRef: {group: x, kind: y, name: z}}], backendRefs: [{name: web, port: 80}]}]", "Accepted=False/UnsupportedValue " + ok},
		{"service", "a", `{group: "", kind: Service, name: web}`, "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=True/Accepted " + ok},
		{"backend of a service's clients not granted", "a", `{group: "", kind: Service, name: web}`, "rules: [{backendRefs: [{name: web, namespace: b, port: 80}]}]", "Accepted=True/Accepted " + ok},
		{"no such service", "a", `{group: "", kind: Service, name: nothing}`, "rules: [{backendRefs: [{name: web, port: 80}]}]", "Accepted=False/NoMatchingParent " + ok},
		{"not ours", "a", "{name: unknown}", "rules: [{backendRefs: [{name: web, port: 80}]}]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := apiWorld(t, apiFront+"---\nkind: HTTPRoute\nmetadata: {name: r, namespace: "+c.namespace+"}\nspec:\n  parentRefs: ["+c.parent+"]\n  "+c.spec)
			parents, generation, ok := w.GatewayAPI().RouteStatus(object.Ref{Kind: object.KindHTTPRoute, Namespace: c.namespace, Name: "r"})
			if !ok || generation != 3 {
				t.Fatalf("there is no status: %v %d", ok, generation)
			}
			got := ""
			for _, p := range parents {
				got += conditions(p.Conditions)
			}
			if got != c.want {
				t.Errorf("the route is %q, want %q", got, c.want)
			}
		})
	}
}

// TestRedirectByCodeAlone: a redirect of the Gateway API may lead to where the
// request came from.
func TestRedirectByCodeAlone(t *testing.T) {
	w := apiWorld(t, apiFront+`---
kind: HTTPRoute
metadata: {name: r, namespace: a}
spec:
  parentRefs: [{name: front, sectionName: all}]
  hostnames: [x.example]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 303}}]}]
`)
	r := w.Gateway(gatewayapi.NameOf(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"})).Servers[0].Bound[0].VirtualService.Spec.Http[0]
	if r.Redirect.GetRedirectCode() != 303 || r.DirectResponse != nil {
		t.Errorf("the rule is %v, want a redirect with 303", r)
	}
}

// TestMergedRules holds the order in which rules of several routes are tried.
func TestMergedRules(t *testing.T) {
	w := apiWorld(t, apiFront+`---
kind: HTTPRoute
metadata: {name: first, namespace: a}
spec:
  parentRefs: [{name: front, sectionName: all}]
  hostnames: [x.example]
  rules:
  - {name: any, backendRefs: [{name: web, port: 80}]}
  - {name: prefix, matches: [{path: {value: /a/}}], backendRefs: [{name: web, port: 80, weight: 0}]}
  - {name: regex, matches: [{path: {type: RegularExpression, value: "/a.*"}}], backendRefs: [{name: web, port: 80}, {name: web, namespace: b, port: 80}]}
---
kind: HTTPRoute
metadata: {name: second, namespace: a}
spec:
  parentRefs: [{name: front, sectionName: all}]
  hostnames: [x.example]
  rules:
  - {name: younger, matches: [{path: {value: /a}}]}
  - {name: method, matches: [{path: {value: /a}, method: GET}], backendRefs: [{name: web, port: 80}]}
  - {name: headers, matches: [{path: {value: /a}, headers: [{name: x, value: y}]}], backendRefs: [{name: web, port: 80}]}
  - {name: exact, matches: [{path: {type: Exact, value: /}}], backendRefs: [{name: web, port: 80}]}
  - {name: longer, matches: [{path: {value: /a/b}}], backendRefs: [{name: web, port: 80}]}
`)
	g := w.Gateway(gatewayapi.NameOf(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"}))
	if g == nil || len(g.Servers) != 3 || len(g.Servers[0].Bound) != 1 {
		t.Fatalf("the Gateway is %+v", g)
	}
	b := g.Servers[0].Bound[0]
	var names []string
	for _, r := range b.VirtualService.Spec.Http {
		names = append(names, r.Name)
	}
	if got, want := strings.Join(names, " "), "exact longer method headers prefix younger regex any"; got != want {
		t.Errorf("the order is %s, want %s", got, want)
	}
	if r := b.VirtualService.Spec.Http[4]; r.Match[0].Uri.GetPrefix() != "/a" || r.DirectResponse.GetStatus() != 500 {
		t.Errorf("a rule without a weight is %v, want prefix /a and 500", r)
	}
	if r := b.VirtualService.Spec.Http[6]; len(r.Route) != 2 || r.Route[1].Destination.Host != gatewayapi.NoBackend {
		t.Errorf("a backend that is not granted is %v, want %s with its share", r.Route, gatewayapi.NoBackend)
	}
	if o := b.VirtualService.HTTPOrigin(0); o.Ref.Name != "second" || o.Field != "spec.rules[3]" {
		t.Errorf("the first rule was written at %v", o)
	}
}

// TestRulesOfOtherRoutesStay: when one route of a Gateway changes, what is made of the others
// stays the same, by pointer.
func TestRulesOfOtherRoutesStay(t *testing.T) {
	const route = "---\nkind: HTTPRoute\nmetadata: {name: %s, namespace: a}\nspec: {parentRefs: [{name: front, sectionName: all}], hostnames: [%s.example], rules: [{backendRefs: [{name: web, port: 80}]}]}\n"
	front := object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"}
	bound := func(w *World) map[string]any {
		out := map[string]any{}
		for _, b := range w.Gateway(gatewayapi.NameOf(front)).Servers[0].Bound {
			out[b.Host] = b.VirtualService
		}
		return out
	}
	b := newBuilder()
	changes := apiChanges(t, apiFront+fmt.Sprintf(route, "one", "one")+fmt.Sprintf(route, "two", "two"))
	b.apply(changes)
	w, _ := b.finish()
	before := bound(w)
	last := changes[len(changes)-1]
	changed := last.Object.(*gatewayv1.HTTPRoute).DeepCopy()
	changed.Spec.Rules[0].BackendRefs[0].Weight = new(int32)
	b.apply([]Change{{Ref: last.Ref, Object: changed}})
	w, _ = b.finish()
	after := bound(w)
	if len(before) != 2 || before["one.example"] != after["one.example"] || before["two.example"] == after["two.example"] {
		t.Errorf("before: %v, after: %v", before, after)
	}
}
