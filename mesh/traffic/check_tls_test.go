package traffic

import (
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestCheckDigests: a server that cannot tell its clients by what it lists is left
// out.
func TestCheckDigests(t *testing.T) {
	hash := strings.Repeat("aB", 32)
	colons := strings.TrimSuffix(strings.Repeat("aB:", 32), ":")
	spki := strings.Repeat("A", 43) + "="
	for _, c := range []struct {
		name       string
		hash, spki []string
		field      string
	}{
		{"both forms", []string{hash, colons}, []string{spki}, ""},
		{"too short", []string{hash, hash[2:]}, nil, "servers[0].tls.verifyCertificateHash[1]"},
		{"odd colons", []string{hash[:2] + ":" + hash[2:]}, nil, "servers[0].tls.verifyCertificateHash[0]"},
		{"no digits", []string{strings.Repeat("xy", 32)}, nil, "servers[0].tls.verifyCertificateHash[0]"},
		{"key in hexadecimal digits", nil, []string{hash}, "servers[0].tls.verifyCertificateSpki[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := &networking.Server{Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_MUTUAL, VerifyCertificateHash: c.hash, VerifyCertificateSpki: c.spki}}
			s, findings := checkServerTLS(object.Ref{}, "servers[0]", in)
			switch {
			case c.field == "" && (s != in || len(findings) > 0):
				t.Errorf("got %v and %v, want the server as it is", s, findings)
			case c.field != "" && (s != nil || len(findings) != 1 || findings[0].Field != c.field):
				t.Errorf("got %v and %v, want no server and a finding of %s", s, findings, c.field)
			}
		})
	}
}
