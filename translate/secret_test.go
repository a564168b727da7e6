package translate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// pair makes a certificate of its own with its key, in PEM.
func pair(t testing.TB) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), DNSNames: []string{"a.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// revoked is an empty list of revoked certificates, in PEM.
func revoked(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &x509.Certificate{KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), NextUpdate: time.Unix(1<<33, 0)}, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestGatewaySecret(t *testing.T) {
	cert, key := pair(t)
	_, otherKey := pair(t)
	for _, c := range []struct {
		name        string
		data        map[string][]byte
		certificate bool
		roots       bool
		finding     string
	}{
		{"of type tls", map[string][]byte{"tls.crt": cert, "tls.key": key}, true, false, ""},
		{"tls with roots", map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": cert}, true, true, ""},
		{"generic", map[string][]byte{"cert": cert, "key": key, "cacert": cert}, true, true, ""},
		{"roots only", map[string][]byte{"cacert": cert}, false, true, ""},
		{"roots with lists of revoked ones", map[string][]byte{"ca.crt": cert, "ca.crl": append(revoked(t), revoked(t)...)}, false, true, ""},
		{"roots with something else", map[string][]byte{"ca.crt": cert, "crl": []byte("crl")}, false, false, "no PEM"},
		{"roots with a certificate for a list", map[string][]byte{"ca.crt": cert, "ca.crl": cert}, false, false, "list 0"},
		{"empty", nil, false, false, "nothing to serve"},
		{"no key", map[string][]byte{"tls.crt": cert}, false, false, "add tls.key"},
		{"no certificate", map[string][]byte{"key": key}, false, false, "add cert"},
		{"the key of another", map[string][]byte{"tls.crt": cert, "tls.key": otherKey}, false, false, "do not go together"},
		{"swapped", map[string][]byte{"tls.crt": key, "tls.key": cert}, false, false, "do not go together"},
		{"no PEM", map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y")}, false, false, "do not go together"},
		{"roots that are a key", map[string][]byte{"cacert": key}, false, false, "holds a PRIVATE KEY"},
		{"roots that are nothing", map[string][]byte{"cacert": []byte("x")}, false, false, "no certificate in PEM"},
		{"bad roots beside a good certificate", map[string][]byte{"cert": cert, "key": key, "cacert": []byte("x")}, true, false, "no certificate in PEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &registry.Secret{Ref: object.Ref{Kind: object.KindSecret, Namespace: "ns", Name: "a"}, Data: c.data}
			certificate, roots, findings := GatewaySecret("kubernetes://a", s)
			if (certificate != nil) != c.certificate || (roots != nil) != c.roots {
				t.Errorf("certificate %v, roots %v; want %v, %v", certificate != nil, roots != nil, c.certificate, c.roots)
			}
			for _, m := range []*tlsv3.Secret{certificate, roots} {
				if err := m.ValidateAll(); err != nil {
					t.Error(err)
				}
			}
			if c.certificate && certificate.Name != "kubernetes://a" || c.roots && roots.Name != "kubernetes://a-cacert" {
				t.Errorf("names %q and %q", certificate.GetName(), roots.GetName())
			}
			text := fmt.Sprint(findings)
			if (c.finding == "") != (len(findings) == 0) || !strings.Contains(text, c.finding) {
				t.Errorf("findings %s; want %q", text, c.finding)
			}
			if block, _ := pem.Decode(key); strings.Contains(text, string(block.Bytes)) || strings.Contains(text, "BEGIN") {
				t.Error("a finding holds key material")
			}
		})
	}
}

func TestWorkloadSecrets(t *testing.T) {
	s, r := WorkloadSecret([]byte("chain"), []byte("key")), RootSecret([]byte("roots"))
	if s.Name != "default" || r.Name != "ROOTCA" || string(s.GetTlsCertificate().GetPrivateKey().GetInlineBytes()) != "key" ||
		string(r.GetValidationContext().GetTrustedCa().GetInlineBytes()) != "roots" {
		t.Errorf("%s and %s", s.Name, r.Name)
	}
}

func FuzzGatewaySecret(f *testing.F) {
	cert, key := pair(f)
	f.Add(cert, key, cert)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), key, bytes.ToUpper(cert))
	f.Fuzz(func(t *testing.T, cert, key, ca []byte) {
		c, roots, findings := GatewaySecret("a", &registry.Secret{Data: map[string][]byte{"cert": cert, "key": key, "cacert": ca}})
		if c == nil && roots == nil && len(findings) == 0 {
			t.Error("nothing is served and nothing said")
		}
	})
}
