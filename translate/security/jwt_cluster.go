package security

import (
	"net/netip"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	dnscommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// keysCluster leads to a server of keys outside of the mesh, found by DNS. Its
// certificate is checked against the system's roots.
func keysCluster(host string, port uint32, tls bool, c *mesh.Config) *clusterv3.Cluster {
	out := &clusterv3.Cluster{
		Name:           "jwks|" + strconv.FormatUint(uint64(port), 10) + "||" + host,
		ConnectTimeout: timeoutOr(c.GetConnectTimeout(), 10*time.Second),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: "jwks|" + strconv.FormatUint(uint64(port), 10) + "||" + host,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: &corev3.Address{
					Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}},
				}}},
			}}}},
		},
	}
	if _, err := netip.ParseAddr(host); err == nil {
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	} else {
		out.ClusterDiscoveryType = resource.CustomCluster("envoy.clusters.dns", &dnsv3.DnsCluster{
			DnsRefreshRate:        durationpb.New(resource.DNSRetry),
			DnsFailureRefreshRate: &dnsv3.DnsCluster_RefreshRate{BaseInterval: durationpb.New(resource.DNSRetry), MaxInterval: durationpb.New(resource.DNSRetryMax)},
			RespectDnsTtl:         true,
			DnsLookupFamily:       dnscommonv3.DnsLookupFamily_V4_PREFERRED,
		})
	}
	if tls {
		out.TransportSocket = &corev3.TransportSocket{
			Name: "envoy.transport_sockets.tls",
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: resource.Pack(&tlsv3.UpstreamTlsContext{
				Sni: host,
				CommonTlsContext: &tlsv3.CommonTlsContext{
					TlsParams: &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3},
					ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
						TrustedCa: resource.FileSource(resource.SystemRootsFile),
						MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
							SanType: tlsv3.SubjectAltNameMatcher_DNS,
							Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: host}},
						}},
					}},
				},
			})},
		}
	}
	return out
}
