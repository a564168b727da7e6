package translate

import (
	"strings"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/prototext"
	networking "istio.io/api/networking/v1alpha3"
)

func TestServerFiles(t *testing.T) {
	pairs := []*networking.ServerTLSSettings_TLSCertificate{{ServerCertificate: "/rsa.crt", PrivateKey: "/rsa.key", CaCertificates: "/first.ca"}, {ServerCertificate: "/ec.crt", PrivateKey: "/ec.key"}}
	for _, c := range []struct {
		name    string
		tls     *networking.ServerTLSSettings
		has     []string // files and what else stands there
		problem string
	}{
		{"one", &networking.ServerTLSSettings{ServerCertificate: "/a", PrivateKey: "/b", CaCertificates: "/not-asked-for"}, []string{"/a", "/b"}, ""},
		{"two", &networking.ServerTLSSettings{TlsCertificates: pairs}, []string{"/rsa.crt", "/rsa.key", "/ec.crt", "/ec.key"}, ""},
		{
			"clients", &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_MUTUAL, TlsCertificates: pairs, CaCrl: "/crl", VerifyCertificateSpki: []string{"key"}, VerifyCertificateHash: []string{"hash"}, SubjectAltNames: []string{"name"}},
			[]string{"/rsa.crt", "/rsa.key", "/ec.crt", "/ec.key", "/first.ca", "hash", "/crl", "key", "name"}, "",
		},
		{"no roots", &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_MUTUAL, ServerCertificate: "/a", PrivateKey: "/b"}, nil, "needs caCertificates"},
		{"half a pair", &networking.ServerTLSSettings{TlsCertificates: []*networking.ServerTLSSettings_TLSCertificate{{PrivateKey: "/b"}}}, nil, "lacks serverCertificate"},
		{"nothing", &networking.ServerTLSSettings{}, nil, "neither credentialName"},
	} {
		t.Run(c.name, func(t *testing.T) {
			common := &tlsv3.CommonTlsContext{}
			secrets, problem := serverFiles(common, c.tls)
			if (c.problem == "") != (problem == "") || !strings.Contains(problem, c.problem) {
				t.Fatalf("got problem %q, want %q", problem, c.problem)
			}
			if c.problem != "" {
				return
			}
			text := prototext.Format(common)
			if strings.Contains(text, "filename") {
				t.Errorf("a file that is not there would cost the whole listener:\n%s", text)
			}
			for _, name := range secrets {
				text += prototext.Format(FileSecret(name))
			}
			if strings.Contains(text, "not-asked-for") {
				t.Errorf("roots without a mode that asks for certificates:\n%s", text)
			}
			for _, part := range c.has {
				if !strings.Contains(text, `"`+part+`"`) {
					t.Errorf("no %s in\n%s", part, text)
				}
			}
		})
	}
}
