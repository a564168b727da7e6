package translate

import (
	"slices"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// WeightedCluster is a cluster with its share of the connections.
type WeightedCluster struct {
	Cluster string
	Weight  uint32
}

// TCPProxyInput is everything that shapes one TCP proxy.
type TCPProxyInput struct {
	Direction resource.Direction
	// StatPrefix names the proxy in Envoy's statistics; the cluster's name is
	// usual. "": the first cluster's name.
	StatPrefix string
	// Clusters are where connections go; those of weight 0 count only when
	// they are alone. Empty: the BlackHoleCluster.
	Clusters []WeightedCluster
	// IdleTimeout ends connections without traffic. 0: Envoy's default of an
	// hour; negative: never.
	IdleTimeout time.Duration
	// HashSourceIP hashes the client's address for clusters that balance by hash.
	HashSourceIP bool
	// Tunnel: the clusters are HTTP proxies.
	Tunnel Tunnel
	// AwaitTLS connects upstream only when the client has proved who it is.
	AwaitTLS bool
	// Described: each endpoint of the clusters tells its workload.
	Described bool
	Reporting telemetry.Reporting
	Report    *TCPReport   // what is made of Reporting; nil: it is made anew
	Config    *mesh.Config // not nil
}

// TCPFilters are the network filters of a chain for bytes: the proxy, before it
// what is to be asked before bytes are passed on, and first what its metrics
// need.
func TCPFilters(in TCPProxyInput, before ...*listenerv3.Filter) []*listenerv3.Filter {
	if in.Report == nil {
		in.Report = NewTCPReport(in.Reporting, in.Direction, in.Config)
	}
	return slices.Concat(in.Report.facts, before, []*listenerv3.Filter{tcpProxy(in)})
}

// TCPReport is what chains for bytes report, made once for many of them.
type TCPReport struct {
	facts     []*listenerv3.Filter
	logs      []*accesslogv3.AccessLog
	described []*accesslogv3.AccessLog // for chains whose clusters are described
	connected bool                     // the logs hear of a connection when it begins, too
}

// NewTCPReport makes what chains for bytes report in a direction.
func NewTCPReport(of telemetry.Reporting, direction resource.Direction, cfg *mesh.Config) *TCPReport {
	r := telemetry.NewReport(of, direction, cfg, false)
	return &TCPReport{r.ConnectionFacts(), r.AccessLogs(), r.ToDescribed().AccessLogs(), r.CountsTCP()}
}

// logsOf are the loggers for a chain to its clusters.
func (r *TCPReport) logsOf(in TCPProxyInput) []*accesslogv3.AccessLog {
	switch {
	case in.Described:
		return r.described
	case in.Direction != resource.Inbound && len(in.Clusters) == 1 && nobodys(in.Clusters[0].Cluster):
		return telemetry.NewReport(in.Reporting, in.Direction, in.Config, false).ToNobody(in.Clusters[0].Cluster).AccessLogs()
	}
	return r.logs
}

// nobodys tells whether the cluster is no service's.
func nobodys(cluster string) bool {
	return cluster == resource.PassthroughCluster || cluster == resource.BlackHoleCluster
}

// tcpProxy is the network filter that passes bytes on to clusters.
func tcpProxy(in TCPProxyInput) *listenerv3.Filter {
	p := &tcpv3.TcpProxy{StatPrefix: in.StatPrefix, TunnelingConfig: in.Tunnel.config(), AccessLog: in.Report.logsOf(in)}
	setClusters(p, in)
	switch {
	case in.IdleTimeout > 0:
		p.IdleTimeout = durationpb.New(in.IdleTimeout)
	case in.IdleTimeout < 0:
		p.IdleTimeout = durationpb.New(0)
	}
	if in.HashSourceIP {
		p.HashPolicy = []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
	}
	if in.AwaitTLS {
		p.UpstreamConnectMode = tcpv3.UpstreamConnectMode_ON_DOWNSTREAM_TLS_HANDSHAKE
		p.MaxEarlyDataBytes = wrapperspb.UInt32(0) // Envoy wants it beside the mode
	}
	if in.Report.connected {
		p.AccessLogOptions = &tcpv3.TcpProxy_TcpAccessLogOptions{FlushAccessLogOnConnected: true}
	}
	return resource.NetworkFilter("envoy.filters.network.tcp_proxy", p)
}

func setClusters(p *tcpv3.TcpProxy, in TCPProxyInput) {
	var live []WeightedCluster
	for _, c := range in.Clusters {
		if c.Weight > 0 || len(in.Clusters) == 1 {
			live = append(live, c)
		}
	}
	if len(live) == 0 {
		live = []WeightedCluster{{Cluster: resource.BlackHoleCluster}}
	}
	if p.StatPrefix == "" {
		p.StatPrefix = live[0].Cluster
	}
	if len(live) == 1 {
		p.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: live[0].Cluster}
		return
	}
	given := make([]uint64, len(live))
	for i, c := range live {
		given[i] = uint64(c.Weight)
	}
	w := &tcpv3.TcpProxy_WeightedCluster{}
	for i, weight := range scaledWeights(given) {
		w.Clusters = append(w.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: live[i].Cluster, Weight: weight})
	}
	p.ClusterSpecifier = &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: w}
}
