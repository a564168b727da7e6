package translate

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// secretScheme begins the names of secrets that come from Kubernetes Secrets.
const secretScheme = "kubernetes://"

// serverSocket is the transport socket of a server that ends TLS, and the
// names of the SDS secrets that it asks for. problem says why there can be
// none. namespace is that of the router's pods; "" where they are not known.
func serverSocket(cfg *mesh.Config, s *traffic.Server, namespace string) (socket *corev3.TransportSocket, secrets []string, problem string) {
	t := s.Spec.Tls
	if t.GetMode() == networking.ServerTLSSettings_ISTIO_MUTUAL {
		return routerMutualTLS(cfg, s), nil, ""
	}
	common := &tlsv3.CommonTlsContext{TlsParams: serverParameters(cfg, t)}
	if s.Protocol == object.ProtocolHTTPS {
		common.AlpnProtocols = []string{"h2", "http/1.1"}
	}
	if len(t.GetAlpnProtocols()) > 0 {
		common.AlpnProtocols = t.AlpnProtocols
	}
	if len(credentialNames(t)) > 0 {
		if secrets, problem = serverCredentials(common, s, namespace); problem != "" {
			return nil, nil, problem
		}
	} else if secrets, problem = serverFiles(common, t); problem != "" {
		return nil, nil, problem
	}
	return downstreamSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext:         common,
		RequireClientCertificate: wrapperspb.Bool(t.GetMode() == networking.ServerTLSSettings_MUTUAL),
	}), secrets, ""
}

// routerMutualTLS ends the mesh's own mutual TLS, as an egress gateway does.
func routerMutualTLS(cfg *mesh.Config, s *traffic.Server) *corev3.TransportSocket {
	clients := clientVerification(&networking.ServerTLSSettings{VerifyCertificateHash: s.Spec.Tls.GetVerifyCertificateHash(), VerifyCertificateSpki: s.Spec.Tls.GetVerifyCertificateSpki(), SubjectAltNames: s.Spec.Tls.GetSubjectAltNames()})
	if len(clients.MatchTypedSubjectAltNames) == 0 {
		clients.MatchTypedSubjectAltNames = trustedIdentities(cfg)
	}
	c := &tlsv3.CommonTlsContext{
		TlsParams:                      serverParameters(cfg, s.Spec.Tls),
		AlpnProtocols:                  s.Spec.Tls.GetAlpnProtocols(),
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secretByADS(WorkloadSecretName)},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         clients,
			ValidationContextSdsSecretConfig: secretByADS(RootSecretName),
		}},
	}
	return downstreamSocket(&tlsv3.DownstreamTlsContext{CommonTlsContext: c, RequireClientCertificate: wrapperspb.Bool(true)})
}

var tlsVersions = map[networking.ServerTLSSettings_TLSProtocol]tlsv3.TlsParameters_TlsProtocol{
	networking.ServerTLSSettings_TLSV1_0: tlsv3.TlsParameters_TLSv1_0, networking.ServerTLSSettings_TLSV1_1: tlsv3.TlsParameters_TLSv1_1,
	networking.ServerTLSSettings_TLSV1_2: tlsv3.TlsParameters_TLSv1_2, networking.ServerTLSSettings_TLSV1_3: tlsv3.TlsParameters_TLSv1_3,
}

// serverParameters are the TLS versions, ciphers and key exchanges of a server: the mesh's
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
	if len(t.GetEcdhCurves()) > 0 {
		p.EcdhCurves = t.EcdhCurves
	}
	return p
}
