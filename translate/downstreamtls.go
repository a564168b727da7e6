package translate

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// The application protocols by which proxies of the mesh tell their mutual TLS
// from the TLS of applications. Clients offer them, nobody selects one: what is
// spoken inside shows in the first bytes.
var (
	meshHTTPProtocols = []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}
	meshTCPProtocols  = []string{"istio", "istio-peer-exchange"}
	meshProtocols     = slices.Concat(meshHTTPProtocols, meshTCPProtocols)
)

// MutualTLSSocket is the transport socket of filter chains that speak the
// mesh's mutual TLS: the workload's certificate and the roots come by SDS over
// ADS, and clients must prove an identity of the mesh's trust domain or one of
// its aliases.
func MutualTLSSocket(c *mesh.Config) *corev3.TransportSocket {
	return downstreamSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                      tlsParameters(c.GetMeshMTLS()),
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secretByADS(WorkloadSecretName)},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: trustedIdentities(c)},
					ValidationContextSdsSecretConfig: secretByADS(RootSecretName),
				},
			},
		},
		RequireClientCertificate: wrapperspb.Bool(true),
	})
}

func downstreamSocket(t *tlsv3.DownstreamTlsContext) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: resource.Pack(t)},
	}
}

// secretByADS asks for a secret on the stream that everything comes by.
func secretByADS(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: resource.ADS()}
}

// trustedIdentities match every SPIFFE id of the mesh's trust domains.
func trustedIdentities(c *mesh.Config) []*tlsv3.SubjectAltNameMatcher {
	var out []*tlsv3.SubjectAltNameMatcher
	for _, td := range c.TrustDomains() {
		out = append(out, spiffePrefix(td+"/"))
	}
	return out
}

// spiffePrefix matches SPIFFE ids that go on in any way.
func spiffePrefix(begin string) *tlsv3.SubjectAltNameMatcher {
	return &tlsv3.SubjectAltNameMatcher{
		SanType: tlsv3.SubjectAltNameMatcher_URI,
		Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + begin}},
	}
}

// tlsParameters applies MeshConfig.meshMTLS: at least TLS 1.2; cipher suites
// and curves as listed. Envoy ignores cipher suites under TLS 1.3.
func tlsParameters(c *meshconfig.MeshConfig_TLSConfig) *tlsv3.TlsParameters {
	p := &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3}
	if c.GetMinProtocolVersion() == meshconfig.MeshConfig_TLSConfig_TLSV1_3 {
		p.TlsMinimumProtocolVersion = tlsv3.TlsParameters_TLSv1_3
	}
	p.CipherSuites = c.GetCipherSuites()
	p.EcdhCurves = c.GetEcdhCurves()
	return p
}
