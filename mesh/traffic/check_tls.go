package traffic

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ciphers are the names that Envoy's TLS library takes for TLS up to 1.2. One that
// it does not take costs a proxy the whole listener.
var ciphers = []string{
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
	"ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA256", "AES128-GCM-SHA256", "AES256-GCM-SHA384",
	"AES128-SHA", "AES256-SHA", "DES-CBC3-SHA",
}

// curves are the key exchanges that it takes.
var curves = []string{"P-256", "P-384", "P-521", "X25519", "X25519MLKEM768"}

// checkNames returns those of names that are known, each once, and a finding for
// each other one. Beside good ones, one that proxies do not know takes nothing from
// what the object says.
func checkNames(ref object.Ref, field, what string, names, known []string) (kept []string, findings []object.Finding) {
	for i, n := range names {
		switch {
		case !slices.Contains(known, n):
			findings = append(findings, object.Finding{
				Object: ref, Field: fmt.Sprintf("%s[%d]", field, i), Code: object.CodeInvalid,
				Message: fmt.Sprintf("%q is no %s that a proxy knows and is left out: use some of %s", n, what, strings.Join(known, ", ")),
			})
		case !slices.Contains(kept, n):
			kept = append(kept, n)
		}
	}
	for i := range findings {
		if len(kept) > 0 {
			findings[i].Code = object.CodeUnsupported
		}
	}
	return kept, findings
}

// CheckCiphers returns those cipher suites that proxies know, and a finding for each other one.
func CheckCiphers(ref object.Ref, field string, names []string) ([]string, []object.Finding) {
	return checkNames(ref, field, "cipher suite", names, ciphers)
}

// CheckCurves returns those key exchanges that proxies know, and a finding for each other one.
func CheckCurves(ref object.Ref, field string, names []string) ([]string, []object.Finding) {
	return checkNames(ref, field, "key exchange", names, curves)
}

// checkServerTLS leaves out of a server what proxies do not take. Nothing left is
// the default. A server is nil that would let in whom it must not.
func checkServerTLS(ref object.Ref, at string, s *networking.Server) (*networking.Server, []object.Finding) {
	if bad := append(checkDigests(ref, at+".tls", s.GetTls()), checkClients(ref, at+".tls", s.GetTls())...); len(bad) > 0 {
		return nil, bad
	}
	if t := s.GetTls(); t.GetInsecureSkipVerify().GetValue() && (t.CaCertificates != "" || t.CaCertCredentialName != "" || len(t.SubjectAltNames) > 0) {
		s = proto.CloneOf(s)
		s.Tls.InsecureSkipVerify = nil
		kept, findings := checkServerTLS(ref, at, s)
		return kept, append(findings, object.Finding{Object: ref, Field: at + ".tls.insecureSkipVerify", Code: object.CodeInvalid,
			Message: "an authority or names say who clients are, and insecureSkipVerify that nobody is to look; the certificates of clients are verified: take out one of the two"})
	}
	if s.GetTls() == nil {
		return s, nil
	}
	clean := proto.CloneOf(s)
	var findings []object.Finding
	say := func(more []object.Finding) { findings = append(findings, more...) }
	var more []object.Finding
	clean.Tls.CipherSuites, more = CheckCiphers(ref, at+".tls.cipherSuites", s.Tls.CipherSuites)
	say(more)
	clean.Tls.EcdhCurves, more = CheckCurves(ref, at+".tls.ecdhCurves", s.Tls.EcdhCurves)
	say(more)
	clean.Tls.AlpnProtocols, more = checkALPN(ref, at+".tls.alpnProtocols", s.Tls.AlpnProtocols)
	say(more)
	if proto.Equal(clean, s) { // nobody holds two of what is the same
		return s, findings
	}
	return clean, findings
}

// checkALPN leaves out names that TLS cannot carry (RFC 7301: 1 to 255 bytes each), and
// those beyond what fits together.
func checkALPN(ref object.Ref, field string, names []string) (kept []string, findings []object.Finding) {
	const most = 64
	for i, n := range names {
		if len(n) == 0 || len(n) > 255 || len(kept) == most {
			findings = append(findings, object.Finding{Object: ref, Field: fmt.Sprintf("%s[%d]", field, i), Code: object.CodeInvalid,
				Message: fmt.Sprintf("the name is empty, longer than 255 bytes, or one of more than %d; it is left out: correct it, or take it out", most)})
			continue
		}
		kept = append(kept, n)
	}
	return kept, findings
}

// checkClients finds what would let in clients that other settings of the server mean to
// keep out.
func checkClients(ref object.Ref, at string, t *networking.ServerTLSSettings) (findings []object.Finding) {
	bad := object.Invalid(ref, &findings)
	if _, known := networking.ServerTLSSettings_TLSmode_name[int32(t.GetMode())]; !known {
		bad(at+".mode", "%d is no mode; the server is left out: use SIMPLE, MUTUAL, OPTIONAL_MUTUAL or PASSTHROUGH", t.Mode)
	}
	names := len(t.GetVerifyCertificateHash())+len(t.GetVerifyCertificateSpki())+len(t.GetSubjectAltNames()) > 0
	authority := t.GetCaCertificates() != "" || t.GetCaCertCredentialName() != "" || t.GetCaCrl() != ""
	switch t.GetMode() {
	case networking.ServerTLSSettings_SIMPLE, networking.ServerTLSSettings_PASSTHROUGH, networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		if owned := t.GetCredentialName() != "" || len(t.GetCredentialNames()) > 0 || t.GetServerCertificate() != ""; owned && t.GetMode() == networking.ServerTLSSettings_PASSTHROUGH {
			bad(at+".mode", "mode PASSTHROUGH, which is that of a server where none is given, ends no TLS, and a certificate to end it with is given; the server is left out: use mode SIMPLE or MUTUAL, or take the certificate out")
		}
		if names || authority {
			bad(at+".mode", "mode %s, which is PASSTHROUGH where none is given, asks for no certificates of clients, and an authority, names or hashes of some are given; the server is left out: use mode MUTUAL, or take them out", t.Mode)
		}
	case networking.ServerTLSSettings_ISTIO_MUTUAL:
		if authority {
			bad(at+".mode", "mode ISTIO_MUTUAL trusts the mesh's authority, and another or a revocation list is given; the server is left out: use mode MUTUAL, or take them out")
		}
	default:
		if t.GetCaCrl() != "" && (len(t.GetCredentialNames()) > 0 || t.GetCredentialName() != "") {
			bad(at+".caCrl", "a revocation list in a file is used with authorities in files alone, and certificates come from a Secret; the server is left out, since it would let in clients whose certificates are revoked: name files, or take the list out")
		}
	}
	return findings
}

// checkDigests finds hashes of clients' certificates that are none. Leaving one
// out could let every client in.
func checkDigests(ref object.Ref, at string, t *networking.ServerTLSSettings) (findings []object.Finding) {
	bad := func(field string, i int, format string) {
		findings = append(findings, object.Finding{Object: ref, Field: fmt.Sprintf("%s.%s[%d]", at, field, i), Code: object.CodeInvalid,
			Message: "the entry is no SHA-256 " + format + "; the server is left out, since clients could not be told apart: mend the entry"})
	}
	for i, h := range t.GetVerifyCertificateHash() {
		if b, err := hex.DecodeString(strings.ReplaceAll(h, ":", "")); err != nil || len(b) != sha256.Size || len(h) != 2*sha256.Size && len(h) != 3*sha256.Size-1 {
			bad("verifyCertificateHash", i, "in hexadecimal digits")
		}
	}
	for i, h := range t.GetVerifyCertificateSpki() {
		if b, err := base64.StdEncoding.DecodeString(h); err != nil || len(b) != sha256.Size {
			bad("verifyCertificateSpki", i, "in base64")
		}
	}
	return findings
}
