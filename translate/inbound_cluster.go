package translate

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// The addresses from which a proxy connects to its own application. Redirect
// rules let them through: what came in is not taken for outbound traffic.
var (
	ownSourceIPv4 = netip.MustParseAddr("127.0.0.6")
	ownSourceIPv6 = netip.MustParseAddr("::6")
)

// applicationCleanup is how long an address of the application is remembered after
// its last connection: it has only a few, and idle connections to them stay useful.
const applicationCleanup = 24 * time.Hour

// inboundCluster leads to the application on one port: where the connection
// was addressed to (the pod's own IP, which so need not be known), or where
// the Sidecar or the mesh's inboundTrafficPolicy says.
func inboundCluster(in mesh.Inbound, p mesh.InboundPort) *clusterv3.Cluster {
	endpoint := p.Endpoint
	if endpoint == "" && in.Config.GetInboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_InboundTrafficPolicy_LOCALHOST {
		endpoint = "127.0.0.1:" + strconv.FormatUint(uint64(p.Number), 10)
		if !in.IPv4 && in.IPv6 {
			endpoint = "[::1]:" + strconv.FormatUint(uint64(p.Number), 10)
		}
	}
	c := applicationCluster(in, resource.InboundCluster(p.Number), p.Protocol, policy{pool: p.Pool})
	switch port, own := strings.CutPrefix(endpoint, ":"); {
	case endpoint == "":
		originalDestinationOf(c, in, 0)
	case own:
		n, _ := strconv.ParseUint(port, 10, 16)
		originalDestinationOf(c, in, uint32(n))
	default:
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
			ClusterName: c.Name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: localAddress(endpoint)}},
			}}}},
		}
	}
	return c
}

// inboundPassthrough leads to ports that nobody named.
func inboundPassthrough(in mesh.Inbound) *clusterv3.Cluster {
	c := applicationCluster(in, resource.InboundPassthroughCluster, object.ProtocolAuto, policy{})
	originalDestinationOf(c, in, 0)
	return c
}

// applicationCluster is a cluster that leads to the application, with the
// connection pool of the policy.
func applicationCluster(in mesh.Inbound, name string, protocol object.Protocol, p policy) *clusterv3.Cluster {
	breakers := p.circuitBreakers()
	for _, t := range breakers.Thresholds {
		t.TrackRemaining = true
	}
	http := applicationHTTP(protocol, p.pool.GetHttp())
	http.CommonHttpProtocolOptions = commonHTTP(p.pool)
	return &clusterv3.Cluster{
		Name: name, ConnectTimeout: p.connectTimeout(in.Config), CircuitBreakers: breakers,
		UpstreamConnectionOptions:     keepaliveOptions(p.pool.GetTcp().GetTcpKeepalive()),
		TypedExtensionProtocolOptions: protocolOptions(http),
	}
}

// applicationHTTP is how requests are put to the application: in the protocol
// that its port declares, else in the one that the client chose.
func applicationHTTP(protocol object.Protocol, http *networking.ConnectionPoolSettings_HTTPSettings) *httpv3.HttpProtocolOptions {
	o := &httpv3.HttpProtocolOptions{}
	switch {
	case protocol.IsHTTP2():
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: http2Options(http)},
		}}
	case protocol.IsHTTP():
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
		}}
	default:
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: http2Options(http),
		}}
	}
	return o
}

// originalDestinationOf makes the cluster connect to where the client wanted
// to, on another port unless it is 0, from an address that is not redirected.
func originalDestinationOf(c *clusterv3.Cluster, in mesh.Inbound, port uint32) {
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	c.CleanupInterval = durationpb.New(applicationCleanup)
	if port != 0 {
		c.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{UpstreamPortOverride: wrapperspb.UInt32(port)}}
	}
	c.UpstreamBindConfig = &corev3.BindConfig{SourceAddress: inboundSocket(ownSourceIPv4, 0)}
	switch {
	case in.IPv6 && !in.IPv4:
		c.UpstreamBindConfig.SourceAddress = inboundSocket(ownSourceIPv6, 0)
	case in.IPv6:
		c.UpstreamBindConfig.ExtraSourceAddresses = []*corev3.ExtraSourceAddress{{Address: inboundSocket(ownSourceIPv6, 0)}}
	}
}

// localAddress reads "IP:port" or "unix://PATH".
func localAddress(endpoint string) *corev3.Address {
	if path, ok := strings.CutPrefix(endpoint, "unix://"); ok {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
	}
	a := netip.MustParseAddrPort(endpoint)
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: inboundSocket(a.Addr(), uint32(a.Port()))}}
}
