package translate

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
)

// The addresses from which a proxy connects to its own application. Redirect
// rules let them through: what came in is not taken for outbound traffic.
var (
	ownSourceIPv4 = netip.MustParseAddr("127.0.0.6")
	ownSourceIPv6 = netip.MustParseAddr("::6")
)

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
	c := applicationCluster(in, InboundCluster(p.Number), p.Protocol)
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
	c := applicationCluster(in, InboundPassthroughCluster, mesh.ProtocolAuto)
	originalDestinationOf(c, in, 0)
	return c
}

func applicationCluster(in mesh.Inbound, name string, protocol mesh.Protocol) *clusterv3.Cluster {
	timeout := in.Config.GetConnectTimeout()
	if timeout.AsDuration() <= 0 {
		timeout = durationpb.New(10 * time.Second)
	}
	unlimited := wrapperspb.UInt32(math.MaxUint32)
	return &clusterv3.Cluster{
		Name:           name,
		ConnectTimeout: timeout,
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections: unlimited, MaxPendingRequests: unlimited, MaxRequests: unlimited, MaxRetries: unlimited, TrackRemaining: true,
		}}},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(applicationHTTP(protocol)),
		},
	}
}

// applicationHTTP is how requests are put to the application: in the protocol
// that its port declares, else in the one that the client chose.
func applicationHTTP(protocol mesh.Protocol) *httpv3.HttpProtocolOptions {
	o := &httpv3.HttpProtocolOptions{}
	switch {
	case protocol.IsHTTP2():
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}},
		}}
	case protocol.IsHTTP():
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
		}}
	default:
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
		}}
	}
	return o
}

// originalDestinationOf makes the cluster connect to where the client wanted
// to, on another port unless it is 0, from an address that is not redirected.
func originalDestinationOf(c *clusterv3.Cluster, in mesh.Inbound, port uint32) {
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
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
