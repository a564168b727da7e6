package translate

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// HCMInput is everything that shapes one HTTP connection manager.
type HCMInput struct {
	Direction resource.Direction
	// StatPrefix names the listener in Envoy's statistics
	// ("outbound_0.0.0.0_80"); the ";" that ends it is added.
	StatPrefix string
	// RouteName is the route configuration to ask for by RDS over ADS. It is
	// not looked at when Routes is set.
	RouteName string
	// Routes is an inline route configuration; nil: RouteName by RDS.
	Routes *routev3.RouteConfiguration
	// Filters come first in the chain, in order: authentication, then
	// authorization (JWTFilters, AuthorizationHTTP).
	Filters []*hcmv3.HttpFilter
	// Sniffed is for ports whose protocol shows only in the traffic: servers
	// in the mesh are told that inside of mutual TLS there is HTTP.
	Sniffed bool
	// Asks is for listeners of sidecars that may not hold all hosts of RouteName: they ask
	// for the missing one.
	Asks bool
	// GRPCWeb translates grpc-web requests to gRPC.
	GRPCWeb bool
	// Reporting is what is logged and counted of the requests.
	Reporting telemetry.Reporting
	// Topology is what stands before a gateway; nil otherwise.
	Topology *meshconfig.Topology
	Config   *mesh.Config // not nil
}

// HTTPFilters are the network filters of a chain for requests: the connection
// manager, and before it what its metrics need.
func HTTPFilters(in HCMInput) []*listenerv3.Filter {
	filters := telemetry.NewReport(in.Reporting, in.Direction, in.Config, true).ConnectionFacts()
	if in.Asks {
		filters = append(filters, destinationFilter())
	}
	return append(filters, HTTPConnectionManager(in))
}

// HTTPConnectionManager is the network filter that reads requests and routes
// them. Timeouts that would end idle or long streams are off, as Istio has
// them; the routes set those that are asked for. HTTP/1.0 is accepted, since
// common load generators and proxies still speak it.
func HTTPConnectionManager(in HCMInput) *listenerv3.Filter {
	r := telemetry.NewReport(in.Reporting, in.Direction, in.Config, true)
	m := &hcmv3.HttpConnectionManager{
		CodecType:            hcmv3.HttpConnectionManager_AUTO,
		StatPrefix:           in.StatPrefix + ";",
		HttpFilters:          httpFilters(in),
		UseRemoteAddress:     wrapperspb.Bool(in.Direction == resource.Gateway),
		StreamIdleTimeout:    durationpb.New(0),
		HttpProtocolOptions:  &corev3.Http1ProtocolOptions{AcceptHttp_10: true},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{AllowConnect: true}, // WebSockets over HTTP/2, RFC 8441
		UpgradeConfigs:       []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		AccessLog:            r.AccessLogs(),
		Tracing:              r.Tracing(),
		RequestIdExtension:   r.RequestID(),
		// No address is trusted for being private: what RFC 1918 numbers a
		// cluster uses says nothing about who calls.
		InternalAddressConfig: &hcmv3.HttpConnectionManager_InternalAddressConfig{},
	}
	if in.Routes != nil {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: in.Routes}
	} else {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: in.RouteName, ConfigSource: resource.ADS()}}
	}
	normalizePath(m, in.Config)
	clientFacts(m, in)
	serverHeader(m, in)
	return resource.NetworkFilter("envoy.filters.network.http_connection_manager", m)
}

// normalizePath applies MeshConfig.pathNormalization: what authorization and
// routes compare must be what the application will see.
func normalizePath(m *hcmv3.HttpConnectionManager, c *mesh.Config) {
	switch c.GetPathNormalization().GetNormalization() {
	case meshconfig.MeshConfig_ProxyPathNormalization_NONE:
		m.NormalizePath = wrapperspb.Bool(false)
		return
	case meshconfig.MeshConfig_ProxyPathNormalization_MERGE_SLASHES:
		m.MergeSlashes = true
	case meshconfig.MeshConfig_ProxyPathNormalization_DECODE_AND_MERGE_SLASHES:
		m.MergeSlashes = true
		m.PathWithEscapedSlashesAction = hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD
	}
	m.NormalizePath = wrapperspb.Bool(true)
}

// clientFacts sets what is believed and passed on about the client:
// X-Forwarded-For and X-Forwarded-Client-Cert (ProxyConfig.gatewayTopology).
func clientFacts(m *hcmv3.HttpConnectionManager, in HCMInput) {
	switch in.Direction {
	case resource.Inbound:
		m.ForwardClientCertDetails = forwardClientCert(in.Config.GetDefaultConfig().GetProxyHeaders().GetForwardedClientCert(), hcmv3.HttpConnectionManager_APPEND_FORWARD)
	case resource.Gateway:
		m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
		m.XffNumTrustedHops = in.Topology.GetNumTrustedProxies()
		m.ForwardClientCertDetails = forwardClientCert(in.Topology.GetForwardClientCertDetails(), hcmv3.HttpConnectionManager_SANITIZE_SET)
	}
	if f := m.ForwardClientCertDetails; f == hcmv3.HttpConnectionManager_SANITIZE_SET || f == hcmv3.HttpConnectionManager_APPEND_FORWARD {
		var said *meshconfig.ProxyConfig_ProxyHeaders_SetCurrentClientCertDetails
		if in.Direction == resource.Inbound {
			said = in.Config.GetDefaultConfig().GetProxyHeaders().GetSetCurrentClientCertDetails()
		}
		m.SetCurrentClientCertDetails = certDetails(said)
	}
	m.AppendXForwardedPort = in.Config.GetDefaultConfig().GetProxyHeaders().GetXForwardedPort().GetEnabled().GetValue()
}

// certDetails are the parts of a client's certificate that are passed on: subject and
// names unless they are switched off, the certificates if they are switched on
// (ProxyConfig.proxyHeaders.setCurrentClientCertDetails).
func certDetails(d *meshconfig.ProxyConfig_ProxyHeaders_SetCurrentClientCertDetails) *hcmv3.HttpConnectionManager_SetCurrentClientCertDetails {
	unless := func(b *wrapperspb.BoolValue) bool { return b == nil || b.GetValue() }
	return &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
		Subject: wrapperspb.Bool(unless(d.GetSubject())), Dns: unless(d.GetDns()), Uri: unless(d.GetUri()),
		Cert: d.GetCert().GetValue(), Chain: d.GetChain().GetValue(),
	}
}

func forwardClientCert(f meshconfig.ForwardClientCertDetails, otherwise hcmv3.HttpConnectionManager_ForwardClientCertDetails) hcmv3.HttpConnectionManager_ForwardClientCertDetails {
	switch f {
	case meshconfig.ForwardClientCertDetails_SANITIZE:
		return hcmv3.HttpConnectionManager_SANITIZE
	case meshconfig.ForwardClientCertDetails_FORWARD_ONLY:
		return hcmv3.HttpConnectionManager_FORWARD_ONLY
	case meshconfig.ForwardClientCertDetails_APPEND_FORWARD:
		return hcmv3.HttpConnectionManager_APPEND_FORWARD
	case meshconfig.ForwardClientCertDetails_SANITIZE_SET:
		return hcmv3.HttpConnectionManager_SANITIZE_SET
	case meshconfig.ForwardClientCertDetails_ALWAYS_FORWARD_ONLY:
		return hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY
	}
	return otherwise
}

// serverHeader sets the server header of responses: "istio-envoy" to clients
// of workloads and gateways, "envoy" to the application behind its sidecar, as
// people's checks expect; ProxyConfig.proxyHeaders.server changes it.
func serverHeader(m *hcmv3.HttpConnectionManager, in HCMInput) {
	if in.Direction != resource.Outbound {
		m.ServerName = "istio-envoy"
	}
	h := in.Config.GetDefaultConfig().GetProxyHeaders()
	if s := h.GetServer(); s != nil {
		if s.GetDisabled().GetValue() {
			m.ServerHeaderTransformation = hcmv3.HttpConnectionManager_PASS_THROUGH
		} else if s.GetValue() != "" {
			m.ServerName = s.GetValue()
		}
	}
	if id := h.GetRequestId(); id.GetDisabled().GetValue() {
		m.GenerateRequestId = wrapperspb.Bool(false)
	}
}
