package mesh

import (
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// TestClientTLSStaysClosed: no part of a tls block has the proxy look at less than another
// part says, nor speak plaintext where one asks for TLS.
func TestClientTLSStaysClosed(t *testing.T) {
	for _, c := range []struct {
		tls, field string
		mode       networking.ClientTLSSettings_TLSmode
		skips      bool
		names      string
	}{
		{"{mode: SIMPLE, insecureSkipVerify: true}", "", networking.ClientTLSSettings_SIMPLE, true, ""},
		{"{mode: DISABLE}", "", networking.ClientTLSSettings_DISABLE, false, ""},
		{"{mode: MUTUAL, credentialName: key, insecureSkipVerify: true}", "", networking.ClientTLSSettings_MUTUAL, true, ""},
		{"{mode: SIMPLE, insecureSkipVerify: true, caCertificates: /etc/ca.pem}", "insecureSkipVerify", networking.ClientTLSSettings_SIMPLE, false, ""},
		{"{mode: MUTUAL, insecureSkipVerify: true, clientCertificate: /c, privateKey: /k, caCrl: /etc/crl.pem}", "insecureSkipVerify", networking.ClientTLSSettings_MUTUAL, false, ""},
		{"{mode: SIMPLE, insecureSkipVerify: true, credentialName: ca}", "insecureSkipVerify", networking.ClientTLSSettings_SIMPLE, false, ""},
		{"{mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a.example]}", "insecureSkipVerify", networking.ClientTLSSettings_SIMPLE, false, "a.example"},
		{"{caCertificates: /etc/ca.pem}", "mode", networking.ClientTLSSettings_SIMPLE, false, ""},
		{"{mode: DISABLE, subjectAltNames: [a.example]}", "mode", networking.ClientTLSSettings_SIMPLE, false, "a.example"},
		{"{clientCertificate: /c, privateKey: /k}", "mode", networking.ClientTLSSettings_MUTUAL, false, ""},
		{"{mode: 9}", "mode", networking.ClientTLSSettings_SIMPLE, false, ""},
		{"{mode: SIMPLE, subjectAltNames: ['', ' ']}", "subjectAltNames", networking.ClientTLSSettings_SIMPLE, false, traffic.NobodysName},
		{"{mode: SIMPLE, subjectAltNames: ['', a.example]}", "subjectAltNames", networking.ClientTLSSettings_SIMPLE, false, "a.example"},
	} {
		for at, text := range map[string]string{
			"spec.trafficPolicy.tls": "{tls: " + c.tls + "}", "spec.trafficPolicy.portLevelSettings[port 80].tls": "{portLevelSettings: [{port: {number: 80}, tls: " + c.tls + "}]}",
		} {
			o := readObject[networkingv1.DestinationRule](t, "spec: {host: a.example, trafficPolicy: "+text+"}")
			rule, findings := traffic.ParseDestinationRule(o, object.Domain)
			tls := rule.Policy.Tls
			if tls == nil {
				tls = rule.Policy.PortLevelSettings[0].Tls
			}
			if tls.Mode != c.mode || tls.GetInsecureSkipVerify().GetValue() != c.skips || strings.Join(tls.SubjectAltNames, " ") != c.names {
				t.Errorf("%s at %s: %v", c.tls, at, tls)
			}
			if said := len(findings) > 0 && findings[0].Code == object.CodeInvalid && findings[0].Field == at+"."+c.field; said != (c.field != "") {
				t.Errorf("%s at %s: findings %v", c.tls, at, findings)
			}
		}
	}
}

// TestServerTLSStaysClosed: a server is left out, or verifies clients, where a part of its
// settings says so.
func TestServerTLSStaysClosed(t *testing.T) {
	for _, c := range []struct {
		server           string
		served, findings bool
		skips            bool
	}{
		{"tls: {mode: SIMPLE, credentialName: c}", true, false, false},
		{"tls: {mode: MUTUAL, credentialName: c, insecureSkipVerify: true}", true, false, true},
		{"tls: {mode: MUTUAL, credentialName: c, insecureSkipVerify: true, subjectAltNames: [a]}", true, true, false},
		{"tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k, insecureSkipVerify: true, caCertificates: /a}", true, true, false},
		{"tls: {mode: MUTUAL, credentialName: c, caCertCredentialName: a, insecureSkipVerify: true, cipherSuites: [none]}", true, true, false},
		{"tls: {mode: 9, credentialName: c}", false, true, false},
		{"tls: {mode: SIMPLE, credentialName: c, subjectAltNames: [a]}", false, true, false},
		{"tls: {mode: SIMPLE, credentialName: c, verifyCertificateHash: ['" + strings.Repeat("ab", 32) + "']}", false, true, false},
	} {
		o := readObject[networkingv1.Gateway](t, "metadata: {name: g, namespace: a}\nspec: {selector: {a: b}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], "+c.server+"}]}")
		g, findings := traffic.ParseGateway(o)
		if len(g.Servers) > 0 != c.served || len(findings) > 0 != c.findings || c.served && g.Servers[0].Spec.Tls.GetInsecureSkipVerify().GetValue() != c.skips {
			t.Errorf("%s: %v, %v", c.server, g.Servers, findings)
		}
	}
	for _, tls := range []string{"{mode: SIMPLE, credentialName: c}", "{credentialName: c}", "{httpsRedirect: true, mode: MUTUAL}", "{minProtocolVersion: TLSV1_2}"} {
		o := readObject[networkingv1.Gateway](t, "spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*'], tls: "+tls+"}]}")
		if g, findings := traffic.ParseGateway(o); len(g.Servers) > 0 || len(findings) == 0 {
			t.Errorf("HTTP with tls %s is served: %v", tls, findings)
		}
	}
}

// TestUnknownModeIsStrict: plaintext needs a policy that says so in words.
func TestUnknownModeIsStrict(t *testing.T) {
	o := readObject[securityv1.PeerAuthentication](t, "metadata: {name: p, namespace: a}\nspec: {mtls: {mode: 7}}")
	w := Build([]Change{{Ref: object.Ref{Kind: object.KindPeerAuthentication, Namespace: "a", Name: "p"}, Object: o}})
	if m := MutualTLSOf(w.PeerAuthentications, "istio-system", &registry.Workload{Namespace: "a"}, 80); m != Strict {
		t.Errorf("mode %v", m)
	}
	if len(Check(object.Ref{Kind: object.KindPeerAuthentication, Namespace: "a", Name: "p"}, o)) == 0 {
		t.Error("nobody hears of it")
	}
}
