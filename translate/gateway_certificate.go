package translate

import (
	"cmp"
	"fmt"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// credentialNames are the Secrets with a server's certificates: several for
// clients that know different kinds of keys.
func credentialNames(t *networking.ServerTLSSettings) []string {
	if t.GetCredentialName() != "" {
		return []string{t.CredentialName}
	}
	return t.GetCredentialNames()
}

// verifiesClients tells whether the server asks for certificates of clients.
func verifiesClients(t *networking.ServerTLSSettings) bool {
	return t.GetMode() == networking.ServerTLSSettings_MUTUAL || t.GetMode() == networking.ServerTLSSettings_OPTIONAL_MUTUAL
}

// serverCredentials takes a server's certificates, and the roots of its
// clients, from Secrets, whose SDS names it returns. problem says why it cannot.
func serverCredentials(common *tlsv3.CommonTlsContext, s *traffic.Server, namespace string) (secrets []string, problem string) {
	t := s.Spec.Tls
	own := func(name string) string {
		if s.Gateway.OfAPI() {
			return name // which says the namespace
		}
		own, wrong := ownSecret(name, namespace)
		problem = cmp.Or(problem, wrong)
		return secretScheme + own
	}
	names := credentialNames(t)
	for _, n := range names {
		n = own(n)
		common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, secretByADS(n))
		secrets = append(secrets, n)
	}
	if !verifiesClients(t) {
		return secrets, problem
	}
	if s.ClientRoots != nil {
		trusting(common, clientVerification(t), s.ClientRoots.Name)
		return append(secrets, s.ClientRoots.Name), problem
	}
	ca := own(cmp.Or(t.GetCaCertCredentialName(), names[0])) + CASecretSuffix
	trusting(common, clientVerification(t), ca)
	return append(secrets, ca), problem
}

// ownSecret is the Secret that a credentialName of networking.istio.io means, in the
// namespace of the router's pods. It may be written as "NAMESPACE/NAME", and after
// "kubernetes://", but is none of another namespace: that its Secrets are for the router
// is for nobody else to say. namespace "" is not known yet, and may be any.
func ownSecret(name, namespace string) (own, problem string) {
	own = strings.TrimPrefix(name, secretScheme)
	if of, rest, ok := strings.Cut(own, "/"); ok && of != "" && (of == namespace || namespace == "") {
		own = rest
	}
	if own == "" || strings.ContainsAny(own, "/:") {
		return own, fmt.Sprintf("%q is no Secret of the namespace of the gateway's pods (%s), where Secrets of a Gateway are looked up, whatever namespace it is in itself; the server is left out: "+
			"name the Secret alone and keep it in that namespace, or use a Gateway of the Gateway API, which may name those of others with a ReferenceGrant", object.Shortened(name), cmp.Or(namespace, "which the selector tells"))
	}
	return own, ""
}

// serverFiles takes them from files of the proxy, by secrets whose SDS names it
// returns: a file that is not there then costs this server alone. problem says
// why it cannot.
func serverFiles(common *tlsv3.CommonTlsContext, t *networking.ServerTLSSettings) (secrets []string, problem string) {
	pairs, roots := t.GetTlsCertificates(), t.GetCaCertificates()
	if t.GetServerCertificate() != "" && t.GetPrivateKey() != "" {
		pairs = []*networking.ServerTLSSettings_TLSCertificate{{ServerCertificate: t.ServerCertificate, PrivateKey: t.PrivateKey}}
	}
	for _, p := range pairs {
		if p.GetServerCertificate() == "" || p.GetPrivateKey() == "" {
			return nil, "an entry of tlsCertificates lacks serverCertificate or privateKey; the server is left out"
		}
		name := certificateFiles(p.ServerCertificate, p.PrivateKey)
		common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, secretByADS(name))
		secrets = append(secrets, name)
		if roots == "" {
			roots = p.CaCertificates
		}
	}
	switch {
	case len(pairs) == 0:
		return nil, "the server has neither credentialName nor serverCertificate with privateKey; it is left out: name the Secret with the certificate"
	case !verifiesClients(t):
		return secrets, ""
	case roots == "":
		return nil, "mode MUTUAL needs caCertificates; the server is left out"
	}
	name := rootFiles(roots, t.CaCrl)
	trusting(common, clientVerification(t), name)
	return append(secrets, name), ""
}

// clientVerification is how certificates of clients are checked beside their
// issuer.
func clientVerification(t *networking.ServerTLSSettings) *tlsv3.CertificateValidationContext {
	v := &tlsv3.CertificateValidationContext{VerifyCertificateHash: t.GetVerifyCertificateHash(), VerifyCertificateSpki: t.GetVerifyCertificateSpki()}
	if t.GetInsecureSkipVerify().GetValue() {
		v.TrustChainVerification = tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
	}
	for _, san := range t.GetSubjectAltNames() {
		for _, kind := range []tlsv3.SubjectAltNameMatcher_SanType{tlsv3.SubjectAltNameMatcher_DNS, tlsv3.SubjectAltNameMatcher_URI} {
			v.MatchTypedSubjectAltNames = append(v.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{SanType: kind, Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: san}}})
		}
	}
	return v
}
