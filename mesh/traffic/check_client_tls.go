package traffic

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// tls reports what is wrong with the block, and corrects what would have the proxy look at
// less than the block says: a rule that asks for TLS must never end in plaintext, and one
// that says who the server is must never accept another.
func (c *destinationCheck) tls(at string, t *networking.ClientTLSSettings) {
	c.verified(at, t)
	for _, named := range []struct{ field, name string }{{".credentialName", t.GetCredentialName()}, {".caCertCredentialName", t.GetCaCertCredentialName()}} {
		if strings.ContainsAny(named.name, "/:") {
			c.unsupported(at+named.field, fmt.Sprintf("%q is the name of no Secret, which is looked up in the namespace of the proxy's pod; connections that need it fail: name the Secret alone, and keep it there", object.Shortened(named.name)))
		}
	}
	files := t.GetClientCertificate() != "" || t.GetPrivateKey() != ""
	switch t.GetMode() {
	case networking.ClientTLSSettings_MUTUAL:
		if t.CredentialName == "" && (t.ClientCertificate == "" || t.PrivateKey == "") {
			c.unsupported(at, "mode MUTUAL has no client certificate, so servers that ask for one refuse: set credentialName, or clientCertificate and privateKey")
		}
	case networking.ClientTLSSettings_ISTIO_MUTUAL:
		if files || t.CaCertificates != "" || t.CredentialName != "" || t.CaCertCredentialName != "" {
			c.unsupported(at, "mode ISTIO_MUTUAL uses the workload's own certificate; the certificates named here are ignored")
		}
	case networking.ClientTLSSettings_SIMPLE:
		if files {
			c.unsupported(at, "mode SIMPLE sends no client certificate; the one named here is ignored: use mode MUTUAL")
		}
	}
	if t.GetCaCertCredentialName() != "" && t.CaCertificates != "" && t.CredentialName == "" && t.Mode != networking.ClientTLSSettings_ISTIO_MUTUAL {
		c.unsupported(at+".caCertCredentialName", "the Secret counts and the file of authorities named beside it is ignored: set one of the two")
	}
	if t.GetCredentialName() != "" && (files || t.CaCertificates != "") && t.Mode != networking.ClientTLSSettings_ISTIO_MUTUAL {
		c.unsupported(at+".credentialName", "the Secret counts and the files named beside it are ignored: set one of the two")
	}
}

// verified lets the proxy look at the server as far as any part of the block asks for it.
func (c *destinationCheck) verified(at string, t *networking.ClientTLSSettings) {
	if t == nil {
		return
	}
	says := "caCertificates"
	switch {
	case t.CaCertificates != "":
	case t.CaCertCredentialName != "":
		says = "caCertCredentialName"
	case t.CaCrl != "":
		says = "caCrl"
	case len(t.SubjectAltNames) > 0:
		says = "subjectAltNames"
	case t.CredentialName != "" && t.Mode != networking.ClientTLSSettings_MUTUAL:
		says = "credentialName"
	default:
		says = ""
	}
	asked := networking.ClientTLSSettings_SIMPLE
	if t.ClientCertificate != "" || t.PrivateKey != "" {
		asked = networking.ClientTLSSettings_MUTUAL
	}
	switch _, known := networking.ClientTLSSettings_TLSmode_name[int32(t.Mode)]; {
	case !known:
		c.drop(at+".mode", "%d is no mode; the proxy speaks TLS as mode %s: use DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL", t.Mode, asked)
		t.Mode = asked
	case t.Mode == networking.ClientTLSSettings_DISABLE && (says != "" || asked == networking.ClientTLSSettings_MUTUAL):
		c.drop(at+".mode", "the mode is DISABLE or missing, and certificates or names are given beside it; the proxy speaks TLS as mode %s: set the mode, or take out the rest", asked)
		t.Mode = asked
	}
	if t.GetInsecureSkipVerify().GetValue() && says != "" {
		c.drop(at+".insecureSkipVerify", "%s says who the server is, and insecureSkipVerify that nobody is to look; the server's certificate is verified: take out one of the two", says)
		t.InsecureSkipVerify = nil
	}
	if t.CaCrl != "" && (t.CredentialName != "" || t.CaCertCredentialName != "") && t.Mode != networking.ClientTLSSettings_ISTIO_MUTUAL {
		c.drop(at+".caCrl", "a revocation list in a file is used with authorities in files alone, and credentialName or caCertCredentialName names a Secret; no server is trusted, since one whose certificate is revoked would be: name files, or take the list out")
		t.SubjectAltNames = []string{NobodysName}
	}
	if blank := func(n string) bool { return strings.TrimSpace(n) == "" }; slices.ContainsFunc(t.SubjectAltNames, blank) {
		c.drop(at+".subjectAltNames", "a name is empty; it is no server's, and one without other names is not trusted: take it out")
		if t.SubjectAltNames = slices.DeleteFunc(t.SubjectAltNames, blank); len(t.SubjectAltNames) == 0 {
			t.SubjectAltNames = []string{NobodysName}
		}
	}
}

// NobodysName is a name that no certificate bears: the top-level domain is reserved for
// names that are none.
const NobodysName = "none.invalid"
