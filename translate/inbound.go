package translate

import (
	"net/netip"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// InboundListener is the name of the listener that takes all traffic for a
// workload.
const InboundListener = "virtualInbound"

// detectionTimeout is how long a connection may keep silent, or say less than
// shows what it is (TLS shows in five bytes), before it is taken for plain TCP,
// where MeshConfig.protocolDetectionTimeout does not say. Without an end a
// server that speaks first would never be heard by plaintext clients; too near
// an end would take the TLS of a starved client for plain TCP.
const detectionTimeout = 2 * time.Second

// InboundOutput is what a workload's proxy needs to take traffic.
type InboundOutput struct {
	Listeners []*listenerv3.Listener
	Clusters  []*clusterv3.Cluster
	Findings  []object.Finding
}

// Inbound makes the listener that takes the traffic for a workload, with the
// clusters that lead to its application. Every port that a service, a Sidecar
// or a policy names has filter chains of its own; what goes to other ports is
// passed on as it comes.
//
// Envoy looks for a chain by port first, then by transport, then by
// application protocol, and never turns back: each port has a chain for all
// that it accepts.
func Inbound(in mesh.Inbound) InboundOutput {
	b := newInboundBuilder(in)
	var clusters []*clusterv3.Cluster
	for _, p := range b.ports {
		cluster := resource.InboundPassthroughCluster
		if p.Service != nil || p.Endpoint != "" || p.Pool != nil {
			cluster = resource.InboundCluster(p.Number)
			clusters = append(clusters, inboundCluster(in, p))
		}
		b.portChains(p, cluster)
	}
	b.loopGuard()
	b.portChains(mesh.InboundPort{MutualTLS: in.MutualTLS}, resource.InboundPassthroughCluster)
	clusters = append(clusters, inboundPassthrough(in))
	clusters = append(clusters, b.clusters...)
	return InboundOutput{Listeners: []*listenerv3.Listener{b.listener()}, Clusters: clusters, Findings: b.findings}
}

func (b *inboundBuilder) listener() *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name:             InboundListener,
		Address:          inboundAddress(netip.IPv4Unspecified()),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		ListenerFilters:  b.listenerFilters(),
		FilterChains:     b.chains,
		// A connection that says nothing is plain TCP, not an error.
		ListenerFiltersTimeout:           durationpb.New(detectionTimeout),
		ContinueOnListenerFiltersTimeout: true,
		AccessLog:                        telemetry.UnmatchedLogs(telemetry.Reporting{Telemetries: b.in.Telemetries}, resource.Inbound, b.in.Config),
	}
	if t := resource.Positive(b.in.Config.GetProtocolDetectionTimeout()); t != nil {
		l.ListenerFiltersTimeout = durationpb.New(t.AsDuration())
	}
	switch {
	case b.in.IPv6 && !b.in.IPv4:
		l.Address = inboundAddress(netip.IPv6Unspecified())
	case b.in.IPv6:
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: inboundAddress(netip.IPv6Unspecified())}}
	}
	return l
}

func inboundAddress(a netip.Addr) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: inboundSocket(a, resource.InboundPort)}}
}

func inboundSocket(a netip.Addr, port uint32) *corev3.SocketAddress {
	return &corev3.SocketAddress{Address: a.String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}
}

// loopGuard closes what is meant for the listener's own port: passed on, it
// would come back for ever.
func (b *inboundBuilder) loopGuard() {
	b.chains = append(b.chains, &listenerv3.FilterChain{
		Name:             "loop",
		FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(resource.InboundPort)},
		Filters: TCPFilters(TCPProxyInput{
			Direction: resource.Inbound, Clusters: []WeightedCluster{{Cluster: resource.BlackHoleCluster}}, Config: b.in.Config, Reporting: b.reporting(nil, false),
		}),
	})
}

// inspects tells by which ports a listener filter is needed: of the named ones
// and of all others.
type inspects struct {
	named  map[uint32]bool
	others bool
}

func (b *inboundBuilder) listenerFilters() []*listenerv3.ListenerFilter {
	tls, http := inspects{named: map[uint32]bool{}}, inspects{named: map[uint32]bool{}}
	for _, p := range b.ports {
		tls.named[p.Number] = p.MutualTLS != mesh.Disabled
		http.named[p.Number] = p.Protocol == object.ProtocolAuto && p.MutualTLS != mesh.Strict
	}
	tls.others = b.in.MutualTLS != mesh.Disabled
	http.others = b.in.MutualTLS != mesh.Strict
	filters := []*listenerv3.ListenerFilter{originalDestination()}
	if f := tls.filter(tlsInspector()); f != nil {
		filters = append(filters, f)
	}
	if f := http.filter(httpInspector()); f != nil {
		filters = append(filters, f)
	}
	return filters
}

// filter restricts a listener filter to the ports that need it; nil when none does.
func (n inspects) filter(f *listenerv3.ListenerFilter) *listenerv3.ListenerFilter {
	var ports []uint32 // that differ from the others
	for p, needed := range n.named {
		if needed != n.others {
			ports = append(ports, p)
		}
	}
	slices.Sort(ports)
	switch {
	case len(ports) == 0 && !n.others:
		return nil
	case len(ports) > 0 && n.others:
		f.FilterDisabled = toPorts(ports)
	case len(ports) > 0:
		f.FilterDisabled = &listenerv3.ListenerFilterChainMatchPredicate{
			Rule: &listenerv3.ListenerFilterChainMatchPredicate_NotMatch{NotMatch: toPorts(ports)},
		}
	}
	return f
}
