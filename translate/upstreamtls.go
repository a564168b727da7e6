package translate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// Endpoints that take the mesh's mutual TLS carry tlsModeKey: tlsModeIstio in
// the metadata that Envoy picks transport sockets by.
const (
	tlsModeKey   = "tlsMode"
	tlsModeIstio = "istio"
)

// systemRoots stands in caCertificates for the roots of the proxy's image.
const systemRoots = "system"

// setTransport sets whether and how connections are encrypted: as the rule's
// tls block says, or by the mesh's mutual TLS with every endpoint that takes it.
func (b *clusterBuilder) setTransport() {
	c := b.cluster
	switch {
	case b.overridden():
		c.TransportSocket = b.policySocket()
	case b.tls != nil:
		c.TransportSocket = b.ruleSocket()
	case !autoMutualTLS(b.Config, b.policy, b.Service) || b.Identities == "":
		// Nobody takes mutual TLS.
	case c.GetType() == clusterv3.Cluster_ORIGINAL_DST && c.GetClusterType() == nil:
		// Addresses without metadata: mutual TLS only where all take it.
		if b.everyEndpointTakesTLS() {
			c.TransportSocket = b.meshSocket()
		}
	case c.LbPolicy == clusterv3.Cluster_CLUSTER_PROVIDED:
		// The endpoints are whatever the request names.
	default:
		c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{
			{Name: "tlsMode-istio", Match: structValue(tlsModeKey, tlsModeIstio).GetStructValue(), TransportSocket: b.meshSocket()},
			{Name: "tlsMode-disabled", Match: &structpb.Struct{}, TransportSocket: rawSocket()},
		}
	}
	b.setProxyProtocol()
}

// autoMutualTLS tells whether the endpoints of the service are asked, each by
// itself, for the mesh's mutual TLS: unless a rule decides for all of them.
func autoMutualTLS(config *mesh.Config, p policy, s *registry.Service) bool {
	on := config.GetEnableAutoMtls()
	return p.tls == nil && !s.External && (on == nil || on.Value)
}

// everyEndpointTakesTLS tells whether all endpoints take mutual TLS on the
// port.
func (b *clusterBuilder) everyEndpointTakesTLS() bool {
	if b.Endpoints == nil || !b.MutualTLS {
		return b.MutualTLS
	}
	i := b.Service.PortIndex(b.Port)
	return i >= 0 && !slices.ContainsFunc(b.Endpoints.Endpoints, func(e registry.Endpoint) bool {
		return mesh.MutualTLSOf(b.PeerAuthentications, b.Config.GetRootNamespace(), e.Workload, e.Ports[i]) == mesh.Disabled
	})
}

// ruleSocket is the transport socket that the rule's tls block asks for.
func (b *clusterBuilder) ruleSocket() *corev3.TransportSocket {
	switch b.tls.Mode {
	case networking.ClientTLSSettings_ISTIO_MUTUAL:
		return b.meshSocket()
	case networking.ClientTLSSettings_SIMPLE, networking.ClientTLSSettings_MUTUAL:
		return b.originatedTLS()
	}
	return nil
}

// meshSocket speaks the mesh's mutual TLS: with the workload's certificate, to
// servers with an identity that endpoints of the service run under.
func (b *clusterBuilder) meshSocket() *corev3.TransportSocket {
	sni := b.tls.GetSni()
	if sni == "" {
		sni = resource.SNI(b.Service.Host, b.Port, b.subset())
	}
	if strings.HasSuffix(b.Identities, registry.AnyAccount) && len(b.tls.GetSubjectAltNames()) == 0 {
		b.findings = append(b.findings, object.Finding{Object: b.Service.Ref, Code: object.CodeUnsupported, Message: fmt.Sprintf(
			"its endpoints have service accounts of more than %d bytes together; clients trust every account of their namespace to be the service: use fewer accounts, or name those that count in tls.subjectAltNames of a DestinationRule", registry.MaxIdentities)})
	}
	alpn := b.meshALPN()
	key := socketKey{config: b.Config, tls: b.tls, names: firstOf(b.Service.SubjectAltNames), identities: b.Identities, alpn: strings.Join(alpn, ",")}
	return upstreamSocket(b.sockets.common(key, func() *tlsv3.CommonTlsContext {
		return &tlsv3.CommonTlsContext{
			TlsParams:                      tlsParameters(b.Config.GetMeshMTLS()),
			AlpnProtocols:                  alpn,
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secretByADS(WorkloadSecretName)},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: b.meshIdentities()},
				ValidationContextSdsSecretConfig: secretByADS(RootSecretName),
			}},
		}
	}), sni)
}

// meshALPN is by what the server's proxy tells the mesh's TLS from the
// application's, and requests from bytes. It selects none of them.
func (b *clusterBuilder) meshALPN() []string {
	switch p := b.port.Protocol; {
	case p.IsHTTP2():
		return []string{"istio-h2", "istio"}
	case p.IsHTTP():
		return []string{"istio-http/1.1", "istio"}
	}
	return []string{"istio"}
}

// meshIdentities are the names of which the server must prove one: those that
// the rule lists, else those of the endpoints' service accounts under every
// trust domain of the mesh and those that the service itself declares.
func (b *clusterBuilder) meshIdentities() []*tlsv3.SubjectAltNameMatcher {
	if names := b.tls.GetSubjectAltNames(); len(names) > 0 {
		return exactNames(names)
	}
	var names []string
	var out []*tlsv3.SubjectAltNameMatcher
	if b.Identities != "" {
		for id := range strings.SplitSeq(b.Identities, ",") {
			namespace, all := strings.CutSuffix(id, registry.AnyAccount)
			for _, domain := range b.Config.TrustDomains() {
				if all {
					out = append(out, spiffePrefix(domain+"/"+namespace+"/sa/"))
				} else {
					names = append(names, "spiffe://"+domain+"/"+id)
				}
			}
		}
	}
	return append(out, exactNames(append(names, b.Service.SubjectAltNames...))...)
}

// originatedTLS speaks TLS to servers outside of the mesh.
func (b *clusterBuilder) originatedTLS() *corev3.TransportSocket {
	sni := b.tls.Sni
	if sni == "" && !b.port.Protocol.IsHTTP() && !object.IsWildcard(b.Service.Host) {
		sni = b.Service.Host // requests name it themselves, bytes cannot
	}
	key := socketKey{
		config: b.Config, tls: b.tls, names: firstOf(b.Service.SubjectAltNames), inline: b.Rule == nil || b.Rule.Ref() == b.Config.Ref,
		own: b.secret("tls.credentialName", b.tls.GetCredentialName()), roots: b.secret("tls.caCertCredentialName", b.tls.GetCaCertCredentialName()),
	}
	if b.speaks() == http2 {
		key.alpn = "h2" // otherwise Envoy offers what the request is
	}
	return upstreamSocket(b.sockets.common(key, func() *tlsv3.CommonTlsContext {
		common := &tlsv3.CommonTlsContext{TlsParams: tlsParameters(b.Config.GetTlsDefaults())}
		if key.alpn != "" {
			common.AlpnProtocols = []string{key.alpn}
		}
		switch {
		case key.own != "" || key.roots != "":
			b.credentials(common, key.own, cmp.Or(key.roots, key.own))
		case key.inline: // TLS that no rule of anybody asks for is the mesh's own: its files are everywhere, and no secret is
			b.inlineFiles(common)
		default:
			b.files(common)
		}
		return common
	}), sni)
}

// secret is a Secret that a field names for key or roots; "" when there is
// none that this proxy may have. Sidecars get Secrets only by rules that select
// them, so that a rule for everybody does not hand a key to everybody.
func (b *clusterBuilder) secret(field, name string) string {
	if name != "" && !b.Router && len(b.Rule.Selector) == 0 {
		b.unfollowed(field, "sidecars get a Secret only by a rule with a workloadSelector; this one connects without it: select the workloads that may use the Secret")
		return ""
	}
	return name
}

// verification is how the server's certificate is checked beside its issuer.
func (b *clusterBuilder) verification() *tlsv3.CertificateValidationContext {
	names := b.tls.SubjectAltNames
	if len(names) == 0 {
		names = b.Service.SubjectAltNames
	}
	return &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: exactNames(names)}
}

// credentials takes roots from a Secret, and the key from one too or, where none
// is named for it, from files.
func (b *clusterBuilder) credentials(common *tlsv3.CommonTlsContext, own, roots string) {
	certificate, _ := clientFiles(b.tls)
	if own != "" {
		certificate = secretScheme + own
	}
	if b.tls.Mode == networking.ClientTLSSettings_MUTUAL && certificate != "" {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{secretByADS(certificate)}
	}
	if b.insecure() {
		return
	}
	trusting(common, b.verification(), secretScheme+roots+CASecretSuffix)
}

// files takes key and roots from files of the proxy, by secrets; roots that are
// not named are the system's. A file that is not there then costs the connections: named
// in the cluster it would cost the cluster, of which Envoy keeps an older version, that may
// speak no TLS at all.
func (b *clusterBuilder) files(common *tlsv3.CommonTlsContext) {
	certificate, roots := clientFiles(b.tls)
	if certificate != "" {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{secretByADS(certificate)}
	}
	if b.insecure() {
		return
	}
	trusting(common, b.verification(), roots)
}

// inlineFiles names files in the cluster itself.
func (b *clusterBuilder) inlineFiles(common *tlsv3.CommonTlsContext) {
	t := b.tls
	if t.Mode == networking.ClientTLSSettings_MUTUAL && t.ClientCertificate != "" && t.PrivateKey != "" {
		common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: resource.FileSource(t.ClientCertificate), PrivateKey: resource.FileSource(t.PrivateKey)}}
	}
	if b.insecure() {
		return
	}
	v := b.verification()
	v.TrustedCa = resource.FileSource(resource.SystemRootsFile)
	if t.CaCertificates != "" && t.CaCertificates != systemRoots {
		v.TrustedCa = resource.FileSource(t.CaCertificates)
	}
	if t.CaCrl != "" {
		v.Crl = resource.FileSource(t.CaCrl)
	}
	common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: v}
}

// insecure tells whether the server's certificate is not to be looked at.
func (b *clusterBuilder) insecure() bool {
	//nolint:staticcheck // meshes that turned verification off keep it off
	verify := b.Config.GetVerifyCertificateAtClient()
	if s := b.tls.GetInsecureSkipVerify(); s != nil {
		return s.Value
	}
	return verify != nil && !verify.Value && b.tls.CaCertificates == "" && b.tls.CaCrl == "" && b.tls.CredentialName == "" && b.tls.CaCertCredentialName == "" && len(b.tls.SubjectAltNames) == 0
}

// setServerName lets requests name the server of a TLS connection by their
// Host, and checks that its certificate is for that name, where the rule names
// neither.
func (b *clusterBuilder) setServerName(o *httpv3.HttpProtocolOptions) {
	if b.overridden() {
		return
	}
	switch b.tls.GetMode() {
	case networking.ClientTLSSettings_SIMPLE, networking.ClientTLSSettings_MUTUAL:
	default:
		return
	}
	if b.tls.Sni != "" {
		return
	}
	o.UpstreamHttpProtocolOptions = &corev3.UpstreamHttpProtocolOptions{
		AutoSni:           true,
		AutoSanValidation: len(b.tls.SubjectAltNames) == 0 && len(b.Service.SubjectAltNames) == 0 && !b.insecure(),
	}
}

// setProxyProtocol puts the PROXY protocol before whatever else is sent.
func (b *clusterBuilder) setProxyProtocol() {
	if b.proxyProtocol == nil {
		return
	}
	config := &corev3.ProxyProtocolConfig{Version: corev3.ProxyProtocolConfig_V1}
	if b.proxyProtocol.Version == networking.TrafficPolicy_ProxyProtocol_V2 {
		config.Version = corev3.ProxyProtocolConfig_V2
	}
	wrap := func(s *corev3.TransportSocket) *corev3.TransportSocket {
		return &corev3.TransportSocket{
			Name: "envoy.transport_sockets.upstream_proxy_protocol",
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: resource.Pack(&proxyprotocolv3.ProxyProtocolUpstreamTransport{
				Config: config, TransportSocket: s,
			})},
		}
	}
	for _, m := range b.cluster.TransportSocketMatches {
		m.TransportSocket = wrap(m.TransportSocket)
	}
	switch {
	case b.cluster.TransportSocket != nil:
		b.cluster.TransportSocket = wrap(b.cluster.TransportSocket)
	case len(b.cluster.TransportSocketMatches) == 0:
		b.cluster.TransportSocket = wrap(rawSocket())
	}
}

// exactNames match certificates for one of the names, which may be URIs,
// addresses, mailboxes or DNS names.
func exactNames(names []string) []*tlsv3.SubjectAltNameMatcher {
	var out []*tlsv3.SubjectAltNameMatcher
	for _, n := range names {
		kind := tlsv3.SubjectAltNameMatcher_DNS
		switch _, err := netip.ParseAddr(n); {
		case n == "":
			continue
		case strings.Contains(n, "://"):
			kind = tlsv3.SubjectAltNameMatcher_URI
		case err == nil:
			kind = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
		case strings.Contains(n, "@"):
			kind = tlsv3.SubjectAltNameMatcher_EMAIL
		}
		out = append(out, &tlsv3.SubjectAltNameMatcher{SanType: kind, Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}}})
	}
	if len(out) == 0 && len(names) > 0 { // nobody, rather than everybody
		return exactNames([]string{traffic.NobodysName})
	}
	return out
}

func rawSocket() *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: "envoy.transport_sockets.raw_buffer", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: resource.Pack(&rawv3.RawBuffer{})}}
}
