package informers

import (
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// oneObject is the one object of a text, as a directory that has not had it before takes it.
func oneObject(t *testing.T, text string) *written {
	t.Helper()
	d, _, err := newParser().parse([]byte(text), 1)
	if err != nil || len(d.objects) != 1 {
		t.Fatalf("%v: %v in %s", err, d, text)
	}
	return d.objects[0]
}

// TestUnreadablePoliciesClose: what cannot be read of a policy that is new keeps closed what
// the policy selects, and is an error.
func TestUnreadablePoliciesClose(t *testing.T) {
	for _, spec := range []string{
		"{action: DNEY, selector: {matchLabels: {app: web}}, rules: [{}]}",
		"{selector: {matchLabels: {app: web}}, rules: [{form: [{source: {principals: [a]}}]}]}",
		"{selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principal: [a]}}]}]}",
		"{selector: {matchLabels: {app: web}}, rules: {from: []}}",
		"{selector: {matchLabels: {app: web}}, action: DENY, rule: [{}]}",
		"{selector: {matchLabels: {app: web}}, rules: [{to: [{operation: {ports: [80, {}]}}]}]}",
	} {
		w := oneObject(t, "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: a}, spec: "+spec+"}")
		p, _ := w.closed.(*securityv1.AuthorizationPolicy)
		if w.value != nil || p == nil || p.Spec.Action != security.AuthorizationPolicy_ALLOW || len(p.Spec.Rules) > 0 || p.Spec.GetSelector().GetMatchLabels()["app"] != "web" || p.Namespace != "a" || p.Name != "p" {
			t.Errorf("%s: %v, closed %v", spec, w.value, w.closed)
		}
		if len(w.findings) == 0 || w.findings[0].Code != object.CodeInvalid {
			t.Errorf("%s: findings %v", spec, w.findings)
		}
	}
	w := oneObject(t, "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p}, spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRIKT}}}")
	if p, _ := w.closed.(*securityv1.PeerAuthentication); p == nil || p.Spec.Mtls.Mode != security.PeerAuthentication_MutualTLS_STRICT || len(p.Spec.Selector.MatchLabels) != 1 {
		t.Errorf("PeerAuthentication: %v", w.closed)
	}
	w = oneObject(t, "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p}, sepc: {mtls: {mode: STRICT}}}")
	if p, _ := w.closed.(*securityv1.PeerAuthentication); w.value != nil || p == nil || p.Spec.Mtls.Mode != security.PeerAuthentication_MutualTLS_STRICT {
		t.Errorf("PeerAuthentication without spec: %v, %v", w.value, w.closed)
	}
	w = oneObject(t, "{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: p}, spec: {selector: {matchLabels: {app: web}}, jwtRules: [{isuer: a}]}}")
	if p, _ := w.closed.(*securityv1.RequestAuthentication); p == nil || len(p.Spec.JwtRules) != 1 || len(p.Spec.Selector.MatchLabels) != 1 {
		t.Errorf("RequestAuthentication: %v", w.closed)
	}
	for _, validation := range []string{"validation: {hostname: a.example, subjectAltName: [{type: Hostname, hostname: b.example}], wellKnownCACertificates: System}", "validation: {hostname: [a.example]}"} {
		w = oneObject(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: p, namespace: a}, spec: {targetRefs: [{group: '', kind: Service, name: web}], "+validation+"}}")
		if p, _ := w.closed.(*gatewayv1.BackendTLSPolicy); w.value != nil || p == nil || len(p.Spec.TargetRefs) != 1 || p.Spec.TargetRefs[0].Name != "web" || p.Spec.Validation.WellKnownCACertificates != nil {
			t.Errorf("BackendTLSPolicy with %s: %v, closed %v", validation, w.value, w.closed)
		}
	}
	w = oneObject(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: istio, listeners: [], tls: {frontend: {default: {validations: {}}}}}}")
	if w.value != nil || w.closed != nil || len(w.findings) == 0 {
		t.Errorf("a Gateway whose clients nobody can tell is served: %v, %v, %v", w.value, w.closed, w.findings)
	}
}

// TestUnreadableTLSCloses: TLS that cannot be read as a whole is neither plaintext nor
// verified less.
func TestUnreadableTLSCloses(t *testing.T) {
	for _, c := range []struct {
		tls   string
		mode  networking.ClientTLSSettings_TLSmode
		names string
	}{
		{"{mode: SIMPEL, sni: b.example}", networking.ClientTLSSettings_SIMPLE, ""},
		{"{mode: SIMPLE, subjectAltName: [b.example]}", networking.ClientTLSSettings_SIMPLE, traffic.NobodysName},
		{"{mode: SIMPLE, subjectAltNames: b.example}", networking.ClientTLSSettings_SIMPLE, traffic.NobodysName},
		{"{mdoe: SIMPLE, subjectAltNames: [b.example]}", networking.ClientTLSSettings_SIMPLE, "b.example"},
		{"{mode: SIMPLE, insecureSkipVerify: maybe, subjectAltNames: [b.example]}", networking.ClientTLSSettings_SIMPLE, "b.example"},
	} {
		w := oneObject(t, "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d}, spec: {host: a.example, trafficPolicy: {tls: "+c.tls+"}}}")
		d, _ := w.closed.(*networkingv1.DestinationRule)
		if w.value != nil || d == nil || d.Spec.Host != "a.example" || d.Spec.TrafficPolicy.Tls.Mode != c.mode || strings.Join(d.Spec.TrafficPolicy.Tls.SubjectAltNames, " ") != c.names {
			t.Errorf("%s: %v, closed %v", c.tls, w.value, w.closed)
		}
	}
	w := oneObject(t, "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d}, spec: {host: a.example, trafficPolicy: {connectionPool: 3}}}")
	if w.closed != nil {
		t.Errorf("without TLS: %v", w.closed)
	}
	w = oneObject(t, "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g}, spec: {servers: [{hosts: ['*'], port: {number: 443, name: h, protocol: HTTPS}, tls: {mode: MUTUAL, credentialName: c, subjectAltName: [a]}}]}}")
	if w.value != nil || w.closed != nil || w.findings[0].Code != object.CodeInvalid {
		t.Errorf("a Gateway: %v, %v, %v", w.value, w.closed, w.findings)
	}
}

// TestEmptyListsAreKept: a list that is there and empty does not read as none.
func TestEmptyListsAreKept(t *testing.T) {
	for _, rule := range []string{
		"{from: []}", "{to: [], from: [{source: {principals: [a]}}]}", "{when: []}", "{from: [{source: {principals: [], namespaces: [a]}}]}",
		"{to: [{operation: {methods: [GET], paths: []}}]}", "{when: [{key: request.auth.principal, values: []}]}",
	} {
		w := oneObject(t, "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {rules: ["+rule+"]}}")
		p, _ := w.value.(*securityv1.AuthorizationPolicy)
		if p == nil {
			t.Fatalf("%s: %v", rule, w.findings)
		}
		r := p.Spec.Rules[0]
		kept := len(r.From) == 1 && r.From[0].Source == nil || len(r.To) == 1 && r.To[0].Operation == nil || len(r.When) == 1 && r.When[0].Key == "" ||
			len(r.From) == 1 && len(r.From[0].GetSource().GetPrincipals()) == 1 && r.From[0].Source.Principals[0] == "" ||
			len(r.To) == 1 && len(r.To[0].GetOperation().GetPaths()) == 1 || len(r.When) == 1 && len(r.When[0].Values) == 1
		if !kept {
			t.Errorf("%s reads as %v", rule, r)
		}
	}
	w := oneObject(t, "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {rules: []}}")
	if p, _ := w.value.(*securityv1.AuthorizationPolicy); p == nil || len(p.Spec.Rules) > 0 {
		t.Errorf("no rules: %v", w.value)
	}
}

// TestUnreadableKeepsTheLastGood: the closed form is for objects that the mesh does not have.
func TestUnreadableKeepsTheLastGood(t *testing.T) {
	good := oneObject(t, "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: DENY, rules: [{}]}}")
	bad := oneObject(t, "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: DNEY, rules: [{}]}}")
	for _, had := range []bool{false, true} {
		c := newClaims()
		if had {
			deliver(c, good)
		}
		out := deliver(c, bad)
		if had != (len(out) == 0) {
			t.Errorf("before: %v; handed on: %v", had, out)
		}
	}
}

// deliver has a claim of one object settled.
func deliver(c *claims, w *written) []mesh.Change {
	c.byRef[w.ref] = []claim{{path: "a.yaml", written: w}}
	return c.settle(map[object.Ref]struct{}{w.ref: {}}, time.Unix(1000, 0))
}

// TestPassthroughOfPlainHTTP: a server of plain HTTP that says it passes TLS through is left
// out, however it is read; one that redirects, or says nothing of TLS, is served.
func TestPassthroughOfPlainHTTP(t *testing.T) {
	for tls, mode := range map[string]networking.ServerTLSSettings_TLSmode{
		"{mode: PASSTHROUGH}":                      networking.ServerTLSSettings_AUTO_PASSTHROUGH,
		"{mode: PASSTHROUGH, httpsRedirect: true}": networking.ServerTLSSettings_PASSTHROUGH,
		"{httpsRedirect: false}":                   networking.ServerTLSSettings_PASSTHROUGH,
	} {
		text := "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: a}, spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*'], tls: " + tls + "}]}}"
		w := oneObject(t, text)
		g, _ := w.value.(*networkingv1.Gateway)
		if g == nil || g.Spec.Servers[0].Tls.Mode != mode {
			t.Errorf("%s is read as %v", tls, w.value)
			continue
		}
		if left := len(mesh.Check(object.Ref{Kind: object.KindGateway, Namespace: "a", Name: "g"}, g)) > 0; left != (mode != 0) {
			t.Errorf("%s: left out is %t", tls, left)
		}
	}
}
