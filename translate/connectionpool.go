package translate

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// originalCleanup is how long an address that a client chose is remembered
// after its last connection.
const originalCleanup = 60 * time.Second

// setCircuitBreakers limits what the cluster takes at a time.
func (b *clusterBuilder) setCircuitBreakers() { b.cluster.CircuitBreakers = b.circuitBreakers() }

// circuitBreakers are the limits of connectionPool. Those that nobody set are
// the highest that Envoy takes, since its own defaults (1024, and 3 retries)
// fail requests in the middle of a rollout.
func (p policy) circuitBreakers() *clusterv3.CircuitBreakers {
	tcp, http := p.pool.GetTcp(), p.pool.GetHttp()
	t := &clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     limit(tcp.GetMaxConnections()),
		MaxPendingRequests: limit(http.GetHttp1MaxPendingRequests()),
		MaxRequests:        limit(http.GetHttp2MaxRequests()),
		MaxRetries:         limit(http.GetMaxRetries()),
	}
	if r := p.retryBudget; r != nil {
		percent, least := percentOr(r.Percent, 20), uint32(3)
		if r.MinRetryConcurrency > 0 {
			least = r.MinRetryConcurrency
		}
		t.RetryBudget = &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent: &typev3.Percent{Value: percent}, MinRetryConcurrency: wrapperspb.UInt32(least), BudgetInterval: resource.Positive(r.BudgetInterval),
		}
	}
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{t}}
}

// percentOr is the percentage, or another when it is none.
func percentOr(v *wrapperspb.DoubleValue, otherwise float64) float64 {
	if v == nil || !(v.Value >= 0 && v.Value <= 100) {
		return otherwise
	}
	return v.Value
}

// limit reads a limit of the API, where 0 is "not set".
func limit(n int32) *wrapperspb.UInt32Value {
	if n <= 0 {
		return wrapperspb.UInt32(math.MaxUint32)
	}
	return wrapperspb.UInt32(uint32(n))
}

func (b *clusterBuilder) setKeepalive() {
	k := b.pool.GetTcp().GetTcpKeepalive()
	if k == nil {
		k = b.Config.GetTcpKeepalive()
	}
	b.cluster.UpstreamConnectionOptions = keepaliveOptions(k)
}

func keepaliveOptions(k *networking.ConnectionPoolSettings_TCPSettings_TcpKeepalive) *clusterv3.UpstreamConnectionOptions {
	if k == nil {
		return nil
	}
	out := &corev3.TcpKeepalive{KeepaliveTime: wholeSeconds(k.Time), KeepaliveInterval: wholeSeconds(k.Interval)}
	if k.Probes > 0 {
		out.KeepaliveProbes = wrapperspb.UInt32(k.Probes)
	}
	return &clusterv3.UpstreamConnectionOptions{TcpKeepalive: out}
}

// wholeSeconds rounds up, so that a part of a second is not "at once".
func wholeSeconds(d *durationpb.Duration) *wrapperspb.UInt32Value {
	if resource.Positive(d) == nil {
		return nil
	}
	return wrapperspb.UInt32(uint32(min(math.Ceil(d.AsDuration().Seconds()), math.MaxInt32)))
}

// setHTTP sets how HTTP is spoken to the endpoints: which version, for how
// long, and how the server's name is checked.
func (b *clusterBuilder) setHTTP() {
	o := b.httpVersion()
	o.CommonHttpProtocolOptions = commonHTTP(b.pool)
	if codes := b.outlier.GetOutlierDetectionHttpErrorCodes(); len(codes) > 0 {
		o.OutlierDetection = errorCodes(codes)
	}
	b.setServerName(o)
	if b.speaks() == http1 && o.CommonHttpProtocolOptions == nil && o.OutlierDetection == nil && o.UpstreamHttpProtocolOptions == nil {
		return // all of it is Envoy's default
	}
	b.cluster.TypedExtensionProtocolOptions = protocolOptions(o)
}

// httpVersion is the version of HTTP that a cluster speaks.
type httpVersion uint8

const (
	http1 httpVersion = iota
	http2
	clientsHTTP // the same as the client of the proxy
)

// speaks is the version of HTTP that the endpoints are spoken to in. A port of
// unknown protocol gets what the client speaks, from gateways HTTP/1.1: whoever
// speaks TLS to them chooses HTTP/2, which the endpoints need not know.
// h2UpgradePolicy of the mesh is for ports that are HTTP by declaration, that of a
// rule for any.
func (b *clusterBuilder) speaks() httpVersion {
	http := b.pool.GetHttp()
	upgrade := http.GetH2UpgradePolicy()
	meshUpgrades := upgrade == networking.ConnectionPoolSettings_HTTPSettings_DEFAULT &&
		b.Config.GetH2UpgradePolicy() == meshconfig.MeshConfig_UPGRADE && b.port.Protocol == object.ProtocolHTTP
	switch {
	case http.GetUseClientProtocol():
		return clientsHTTP
	case b.port.Protocol.IsHTTP2(), upgrade == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE, meshUpgrades:
		return http2
	case b.port.Protocol == object.ProtocolAuto && !b.Router:
		return clientsHTTP
	}
	return http1
}

func (b *clusterBuilder) httpVersion() *httpv3.HttpProtocolOptions {
	http := b.pool.GetHttp()
	switch b.speaks() {
	case clientsHTTP:
		return downstreamProtocol(http)
	case http2:
		return &httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: http2Options(http)},
			},
		}}
	}
	return &httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
		ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
		},
	}}
}

// downstreamProtocol speaks to the endpoints what the client speaks.
func downstreamProtocol(http *networking.ConnectionPoolSettings_HTTPSettings) *httpv3.HttpProtocolOptions {
	return &httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
		UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: http2Options(http),
		},
	}}
}

func http2Options(http *networking.ConnectionPoolSettings_HTTPSettings) *corev3.Http2ProtocolOptions {
	o := &corev3.Http2ProtocolOptions{}
	if n := http.GetMaxConcurrentStreams(); n > 0 {
		o.MaxConcurrentStreams = wrapperspb.UInt32(uint32(n))
	}
	if k := http.GetHttp2KeepAlive(); resource.Positive(k.GetInterval()) != nil {
		timeout := resource.Positive(k.GetTimeout())
		if timeout == nil {
			timeout = durationpb.New(keepaliveTimeout)
		}
		if k.Interval.AsDuration() >= time.Millisecond && timeout.AsDuration() >= time.Millisecond { // Envoy takes no less
			o.ConnectionKeepalive = &corev3.KeepaliveSettings{Interval: k.Interval, Timeout: timeout}
		}
	}
	return o
}

// keepaliveTimeout is how long the answer to an HTTP/2 ping may take where the
// rule does not say.
const keepaliveTimeout = 10 * time.Second

// commonHTTP are the settings of connections that all versions share; nil when
// nothing is set. The idle timeout for HTTP beats that for TCP.
func commonHTTP(pool *networking.ConnectionPoolSettings) *corev3.HttpProtocolOptions {
	o := &corev3.HttpProtocolOptions{MaxConnectionDuration: resource.Positive(pool.GetTcp().GetMaxConnectionDuration())}
	for _, d := range []*durationpb.Duration{pool.GetTcp().GetIdleTimeout(), pool.GetHttp().GetIdleTimeout()} {
		if d != nil && resource.Countable(d) {
			o.IdleTimeout = d
		}
	}
	if n := pool.GetHttp().GetMaxRequestsPerConnection(); n > 0 {
		o.MaxRequestsPerConnection = wrapperspb.UInt32(uint32(n))
	}
	if o.MaxConnectionDuration == nil && o.IdleTimeout == nil && o.MaxRequestsPerConnection == nil {
		return nil
	}
	return o
}

func protocolOptions(o *httpv3.HttpProtocolOptions) map[string]*anypb.Any {
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": resource.Pack(o)}
}
