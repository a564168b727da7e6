package translate

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// overridden tells whether a BackendTLSPolicy decides about the TLS of the cluster, before
// any rule. Clients in the mesh that speak TLS themselves, as they do to ports which are
// declared so, are not made to speak it twice.
func (in ClusterInput) overridden() bool {
	if in.TLS == nil || in.Router {
		return in.TLS != nil
	}
	port := in.Service.Port(in.Port)
	return port != nil && port.Protocol != object.ProtocolHTTPS && port.Protocol != object.ProtocolTLS
}

// policySocket speaks TLS as a BackendTLSPolicy asks. Where it names no roots that can be
// used, no server is good enough.
func (b *clusterBuilder) policySocket() *corev3.TransportSocket {
	if b.tls != nil && b.Rule != nil {
		b.findings = append(b.findings, object.Finding{Object: b.Rule.Ref(), Field: "spec.trafficPolicy.tls", Code: object.CodeConflict, Winner: b.TLS.Policy,
			Message: fmt.Sprintf("a BackendTLSPolicy decides about TLS to host %s; these settings have no effect there: remove one of the two", b.Service.Host)})
	}
	key := socketKey{config: b.Config, policy: b.TLS, shown: b.Certificate.Secret}
	if b.speaks() == http2 {
		key.alpn = "h2" // otherwise Envoy offers what the request is
	}
	return upstreamSocket(b.sockets.common(key, func() *tlsv3.CommonTlsContext {
		common := &tlsv3.CommonTlsContext{TlsParams: tlsParameters(b.Config.GetTlsDefaults())}
		verifiedBy(common, b.TLS)
		if name := shownSecret(b.Certificate); name != "" {
			common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{secretByADS(name)}
		}
		if key.alpn != "" {
			common.AlpnProtocols = []string{key.alpn}
		}
		return common
	}), b.TLS.Hostname)
}

// shownSecret is the SDS name of a client's certificate; "" for none.
func shownSecret(c traffic.ClientCertificate) string {
	if c.Secret == (object.Ref{}) {
		return ""
	}
	return gatewayapi.GatewaySecretScheme + c.Secret.Namespace + "/" + c.Secret.Name
}

// verifiedBy has common verify a server.
func verifiedBy(common *tlsv3.CommonTlsContext, t *gatewayapi.BackendTLS) {
	v := &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: exactNames(t.Names)}
	switch {
	case len(t.Names) > 0 && t.Authorities != nil:
		trusting(common, v, t.Authorities.Name)
		return
	case len(t.Names) > 0 && t.System:
		trusting(common, v, systemRootsSecret)
		return
	}
	v.MatchTypedSubjectAltNames = exactNames([]string{traffic.NobodysName})
	v.TrustedCa = resource.NobodysAuthority()
	common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: v}
}
