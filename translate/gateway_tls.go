package translate

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
)

// secretScheme begins the names of secrets that come from Kubernetes Secrets.
const secretScheme = "kubernetes://"

// serverSocket is the transport socket of a server that ends TLS, and the
// names of the SDS secrets that it asks for. problem says why there can be
// none.
func serverSocket(cfg *mesh.Config, s *mesh.Server) (socket *corev3.TransportSocket, secrets []string, problem string) {
	t := s.Spec.Tls
	if t.GetMode() == networking.ServerTLSSettings_ISTIO_MUTUAL {
		return routerMutualTLS(cfg, s), nil, ""
	}
	common := &tlsv3.CommonTlsContext{TlsParams: serverParameters(cfg, t)}
	if s.Protocol == mesh.ProtocolHTTPS {
		common.AlpnProtocols = []string{"h2", "http/1.1"}
	}
	verifies := t.GetMode() == networking.ServerTLSSettings_MUTUAL || t.GetMode() == networking.ServerTLSSettings_OPTIONAL_MUTUAL
	names := t.GetCredentialNames()
	if t.GetCredentialName() != "" {
		names = []string{t.GetCredentialName()}
	}
	var sans []*tlsv3.SubjectAltNameMatcher
	for _, san := range t.GetSubjectAltNames() {
		for _, kind := range []tlsv3.SubjectAltNameMatcher_SanType{tlsv3.SubjectAltNameMatcher_DNS, tlsv3.SubjectAltNameMatcher_URI} {
			sans = append(sans, &tlsv3.SubjectAltNameMatcher{SanType: kind, Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: san}}})
		}
	}
	switch {
	case len(names) > 0:
		for _, n := range names {
			if !s.Gateway.OfAPI() {
				n = secretScheme + n
			}
			common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, secretByADS(n))
			secrets = append(secrets, n)
		}
		if verifies {
			ca := secretScheme + names[0] + CASecretSuffix
			if c := t.GetCaCertCredentialName(); c != "" {
				ca = secretScheme + c + CASecretSuffix
			}
			secrets = append(secrets, ca)
			common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlsv3.CertificateValidationContext{
					MatchTypedSubjectAltNames: sans, VerifyCertificateHash: t.GetVerifyCertificateHash(), VerifyCertificateSpki: t.GetVerifyCertificateSpki(),
				},
				ValidationContextSdsSecretConfig: secretByADS(ca),
			}}
		}
	case t.GetServerCertificate() != "" && t.GetPrivateKey() != "":
		common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: fileSource(t.ServerCertificate), PrivateKey: fileSource(t.PrivateKey)}}
		if verifies {
			if t.GetCaCertificates() == "" {
				return nil, nil, "mode MUTUAL needs caCertificates; the server is left out"
			}
			common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
				TrustedCa: fileSource(t.CaCertificates), MatchTypedSubjectAltNames: sans,
			}}
		}
	default:
		return nil, nil, "the server has neither credentialName nor serverCertificate with privateKey; it is left out: name the Secret with the certificate"
	}
	return downstreamSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext:         common,
		RequireClientCertificate: wrapperspb.Bool(t.GetMode() == networking.ServerTLSSettings_MUTUAL),
	}), secrets, ""
}

// routerMutualTLS ends the mesh's own mutual TLS, as an egress gateway does.
func routerMutualTLS(cfg *mesh.Config, s *mesh.Server) *corev3.TransportSocket {
	c := &tlsv3.CommonTlsContext{
		TlsParams:                      serverParameters(cfg, s.Spec.Tls),
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secretByADS(WorkloadSecretName)},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: trustedIdentities(cfg)},
			ValidationContextSdsSecretConfig: secretByADS(RootSecretName),
		}},
	}
	return downstreamSocket(&tlsv3.DownstreamTlsContext{CommonTlsContext: c, RequireClientCertificate: wrapperspb.Bool(true)})
}

var tlsVersions = map[networking.ServerTLSSettings_TLSProtocol]tlsv3.TlsParameters_TlsProtocol{
	networking.ServerTLSSettings_TLSV1_0: tlsv3.TlsParameters_TLSv1_0, networking.ServerTLSSettings_TLSV1_1: tlsv3.TlsParameters_TLSv1_1,
	networking.ServerTLSSettings_TLSV1_2: tlsv3.TlsParameters_TLSv1_2, networking.ServerTLSSettings_TLSV1_3: tlsv3.TlsParameters_TLSv1_3,
}

// serverParameters are the TLS versions and ciphers of a server: the mesh's
// defaults, overridden by the server's own.
func serverParameters(cfg *mesh.Config, t *networking.ServerTLSSettings) *tlsv3.TlsParameters {
	p := tlsParameters(cfg.GetTlsDefaults())
	if v, ok := tlsVersions[t.GetMinProtocolVersion()]; ok {
		p.TlsMinimumProtocolVersion = v
	}
	if v, ok := tlsVersions[t.GetMaxProtocolVersion()]; ok {
		p.TlsMaximumProtocolVersion = v
	}
	if len(t.GetCipherSuites()) > 0 {
		p.CipherSuites = t.CipherSuites
	}
	return p
}

func fileSource(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}
