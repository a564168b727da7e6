package gatewayapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestBundlesThatEnvoyRefuses: what Envoy would refuse of a bundle, and with it the cluster or
// the listener, is told, and what it takes is sent as it was understood.
func TestBundlesThatEnvoyRefuses(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	good := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	lines := strings.SplitAfter(good, "\n")
	for name, c := range map[string]struct {
		text  string
		roots string
	}{
		"one":                      {good, good},
		"two, with words":          {"# the first\n" + good + "\n# the second\n" + good, good + good},
		"a bad line":               {lines[0] + "?" + strings.Join(lines[1:], "") + good, ""},
		"one more that only began": {lines[0] + good, ""},
		"encrypted":                {lines[0] + "Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,0000000000000000\n\n" + strings.Join(lines[1:], ""), ""},
		"nothing":                  {"", ""},
		"a key":                    {strings.ReplaceAll(good, "CERTIFICATE", "PRIVATE KEY"), ""},
	} {
		b := parseBundle(&corev1.ConfigMap{Data: map[string]string{"ca.crt": c.text}})
		if b.roots != c.roots || (b.problem == "") != (c.roots != "") {
			t.Errorf("%s: %q, and the roots are %q", name, b.problem, b.roots)
		}
	}
}
