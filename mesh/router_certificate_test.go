package mesh

import (
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestCertificatesToBackends: a gateway shows the certificate that all its Gateways name, of a
// namespace that lets them; a Gateway is told what keeps it from being shown.
func TestCertificatesToBackends(t *testing.T) {
	const (
		one   = "kind: Gateway\nmetadata: {name: one, namespace: a}\nspec: {gatewayClassName: istio, addresses: [{type: Hostname, value: web}], listeners: [{name: http, port: 80, protocol: HTTP}]TLS}\n"
		two   = "---\nkind: Gateway\nmetadata: {name: two, namespace: a}\nspec: {gatewayClassName: istio, addresses: [{type: Hostname, value: web}], listeners: [{name: http, port: 81, protocol: HTTP}]TLS}\n"
		own   = ", tls: {backend: {clientCertificateRef: {name: x}}}"
		far   = ", tls: {backend: {clientCertificateRef: {name: x, namespace: b}}}"
		odd   = ", tls: {backend: {clientCertificateRef: {kind: ConfigMap, name: x}}}"
		grant = "---\nkind: ReferenceGrant\nmetadata: {name: g, namespace: b}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: a}]\n  to: [{group: '', kind: Secret}]\n"
		set   = "---\nkind: ListenerSet\nmetadata: {name: set, namespace: a}\nspec: {parentRef: {name: one}, listeners: [{name: http, port: 82, protocol: HTTP}]}\n"
	)
	with := func(text, tls string) string { return strings.Replace(text, "TLS", tls, 1) }
	for name, c := range map[string]struct{ text, secret, status, found string }{
		"none":            {with(one, ""), "", "", ""},
		"its own":         {with(one, own), "Secret a/x", "InvalidClientCertificateRef", ""}, // there is no Secret
		"another's":       {with(one, far), "", "RefNotPermitted", "no ReferenceGrant in namespace b"},
		"another's, lent": {with(one, far) + grant, "Secret b/x", "InvalidClientCertificateRef", ""},
		"no Secret":       {with(one, odd), "", "InvalidClientCertificateRef", "certificates of kind ConfigMap"},
		"two agree":       {with(one, own) + with(two, own), "Secret a/x", "InvalidClientCertificateRef", ""},
		"two differ":      {with(one, own) + with(two, ""), "", "InvalidClientCertificateRef", "not all Gateways on the pods"},
		"with a set":      {with(one, own) + set, "Secret a/x", "InvalidClientCertificateRef", ""},
	} {
		w := apiWorld(t, c.text)
		v := w.View(Scope{Role: RoleRouter, Namespace: "a", Labels: "app=web"})
		got, findings := v.ClientCertificate()
		secret := ""
		if got.Secret != (object.Ref{}) {
			secret = got.Secret.String()
		}
		if secret != c.secret {
			t.Errorf("%s: %q is shown, want %q", name, secret, c.secret)
		}
		for f := range w.Findings() {
			findings = append(findings, f)
		}
		told := c.found == ""
		for _, f := range findings {
			told = told || strings.Contains(f.Message, c.found)
		}
		if !told {
			t.Errorf("%s: %v do not say %q", name, findings, c.found)
		}
		status, _ := w.GatewayAPI().GatewayStatus(object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "one"})
		reason := ""
		for _, x := range status.Conditions {
			if x.Type == "ResolvedRefs" {
				reason = x.Reason
			}
		}
		if reason != c.status {
			t.Errorf("%s: the Gateway is told %q, want %q", name, reason, c.status)
		}
	}
}
