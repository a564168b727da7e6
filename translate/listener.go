package translate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// ListenerInput is everything that may shape one outbound listener.
type ListenerInput struct {
	Key       ListenerKey
	HTTP      bool    // some host claims the port for HTTP
	Claims    []Claim // the others, in any order
	Socket    bool    // the proxy opens a socket there, beside the connections that it captures
	Unclaimed string  // the cluster of connections that match nothing, see [Unclaimed]
	IPv6      bool    // the proxy has an IPv6 address
	Reporting telemetry.Reporting
	Report    *TCPReport // what chains for bytes report; nil: it is made of Reporting
	Config    *mesh.Config
}

// OutboundListener makes the listener of a port, to which the one on
// OutboundPort hands connections by the address that they were meant for. Nil
// when nothing is left of its claims.
func OutboundListener(in ListenerInput) (*listenerv3.Listener, []object.Finding) {
	if in.Key.reserved(in.Socket) {
		return nil, reservedFindings(in)
	}
	l := &listenerBuilder{in: in, taken: map[string]Claim{}, requests: map[string]bool{}}
	claims := slices.Clone(in.Claims)
	slices.SortStableFunc(claims, precedence)
	if in.HTTP {
		l.http(in.Key.RouteConfig(), nil)
	}
	for _, c := range claims {
		for _, chain := range c.Chains {
			l.chain(c, chain)
		}
	}
	if len(l.chains) == 0 && l.fallback == nil {
		return nil, l.findings
	}
	return l.listener(), l.findings
}

func reservedFindings(in ListenerInput) []object.Finding {
	var out []object.Finding
	for _, c := range in.Claims {
		if c.Service != nil {
			out = append(out, reservedFinding(c.Service.Ref, in.Key))
		}
	}
	return out
}

func reservedFinding(service object.Ref, key ListenerKey) object.Finding {
	return object.Finding{Object: service, Field: "spec.ports", Code: object.CodeInvalid,
		Message: fmt.Sprintf("port %d is the proxy's own at whatever address; the port is not served: use another port, or give the service an address and protocol TCP", key.Port)}
}

// listenerBuilder gathers the filter chains of one listener.
type listenerBuilder struct {
	in          ListenerInput
	chains      []*listenerv3.FilterChain
	fallback    *listenerv3.FilterChain // for what no chain matches
	taken       map[string]Claim        // by prefix and name that a chain matches
	requests    map[string]bool         // the prefixes for which there is a chain for requests
	inspectTLS  bool
	inspectHTTP bool
	findings    []object.Finding
}

// http adds the chain for requests, recognised by the first bytes, to addresses
// with the prefixes; none: to all that no other chain has.
func (l *listenerBuilder) http(routes string, prefixes []netip.Prefix) {
	key := matchKey(Chain{Prefixes: prefixes})
	if l.requests[key] {
		return
	}
	l.requests[key], l.inspectHTTP, l.inspectTLS = true, true, true
	match := &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer", ApplicationProtocols: []string{"http/1.0", "http/1.1", "h2c"}}
	for _, p := range prefixes {
		match.PrefixRanges = append(match.PrefixRanges, cidrRange(p))
	}
	l.chains = append(l.chains, &listenerv3.FilterChain{
		Name:             strings.TrimSuffix("http/"+key, "/"),
		FilterChainMatch: match,
		Filters: HTTPFilters(HCMInput{
			Direction: resource.Outbound, StatPrefix: "outbound_" + l.in.Key.Name(), RouteName: routes, Sniffed: routes != l.in.Key.RouteConfig(), Asks: routes == l.in.Key.RouteConfig() && l.in.Config.Learns(""), GRPCWeb: true, Reporting: l.in.Reporting, Config: l.in.Config,
		}),
	})
}

// chain adds one chain for what no earlier claim has of that which it matches.
func (l *listenerBuilder) chain(c Claim, chain Chain) {
	var winner *Claim
	free := func(prefix string) bool {
		w := take(l.taken, prefix, chain.SNI, c)
		if w != nil {
			winner = w
		}
		return w == nil
	}
	all := len(chain.Prefixes) == 0
	chain.Prefixes = slices.DeleteFunc(slices.Clone(chain.Prefixes), func(p netip.Prefix) bool { return !free(p.String()) })
	served := all && free("") || len(chain.Prefixes) > 0
	if winner != nil && winner.Host != c.Host && c.Service != nil && (c.Rule == object.Ref{} || winner.Rule != c.Rule) { // one rule leads to one place, whoever has it
		l.findings = append(l.findings, object.Finding{Object: c.Service.Ref, Field: "spec.ports", Code: object.CodeConflict, Winner: winner.Service.Ref,
			Message: fmt.Sprintf("%s:%d is also claimed by host %s, which wins; connections meant for %s go there: use other addresses or another port", l.in.Key.Address, l.in.Key.Port, winner.Host, c.Host)})
	}
	if !served {
		return
	}
	if c.Kind == ClaimSniffed && len(chain.SNI) == 0 {
		l.http(c.RouteConfig, chain.Prefixes)
	}
	key := matchKey(chain)
	fc := &listenerv3.FilterChain{
		Filters: TCPFilters(TCPProxyInput{Direction: resource.Outbound, Clusters: chain.Clusters, HashSourceIP: chain.HashSourceIP, Tunnel: chain.Tunnel, IdleTimeout: chain.IdleTimeout, Described: chain.Described, Reporting: l.in.Reporting, Report: l.in.Report, Config: l.in.Config}),
		Name:    c.Host,
	}
	if len(chain.Prefixes) == 0 && len(chain.SNI) == 0 {
		l.fallback = fc
		return
	}
	m := &listenerv3.FilterChainMatch{ServerNames: chain.SNI}
	for _, p := range chain.Prefixes {
		m.PrefixRanges = append(m.PrefixRanges, cidrRange(p))
	}
	if len(chain.SNI) > 0 {
		m.TransportProtocol = "tls"
		l.inspectTLS = true
	}
	fc.FilterChainMatch = m
	fc.Name = c.Host + "/" + key
	l.chains = append(l.chains, fc)
}

// take gives what matches the prefix (empty: every one) and any of the names
// (none: every one) to the owner, unless an earlier one has some of it, the
// winner. Envoy refuses a listener of which two chains match the same prefix
// and name, whatever else they match.
func take[T any](taken map[string]T, prefix string, names []string, owner T) (winner *T) {
	if len(names) == 0 {
		names = []string{""}
	}
	for _, n := range names {
		if w, is := taken[prefix+" "+n]; is {
			return &w
		}
	}
	for _, n := range names {
		taken[prefix+" "+n] = owner
	}
	return nil
}

func matchKey(c Chain) string {
	var b strings.Builder
	for _, p := range c.Prefixes {
		b.WriteString(p.String() + " ")
	}
	for _, s := range c.SNI {
		b.WriteString(s + " ")
	}
	return strings.TrimSuffix(b.String(), " ")
}

func (l *listenerBuilder) listener() *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             l.in.Key.Name(),
		Address:          socketAddress(l.in.Key.Address, l.in.Key.Port),
		BindToPort:       wrapperspb.Bool(l.in.Socket),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		FilterChains:     l.chains,
	}
	if l.in.Key.Address == AnyAddress {
		if l.in.IPv6 {
			out.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: socketAddress("::", l.in.Key.Port)}}
		}
		if l.fallback == nil {
			l.fallback = unclaimedChain(l.in.Unclaimed, l.in.Reporting, l.in.Config)
		}
	}
	out.DefaultFilterChain = l.fallback
	if len(out.FilterChains) == 0 { // Envoy wants at least one
		out.FilterChains, out.DefaultFilterChain = []*listenerv3.FilterChain{l.fallback}, nil
	}
	if l.inspectTLS {
		out.ListenerFilters = append(out.ListenerFilters, listenerFilter("envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{}))
	}
	if l.inspectHTTP {
		out.ListenerFilters = append(out.ListenerFilters, listenerFilter("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{}))
	}
	if len(out.ListenerFilters) > 0 {
		out.ListenerFiltersTimeout = durationpb.New(resource.Positive(l.in.Config.GetProtocolDetectionTimeout()).AsDuration()) // zero: as long as it takes
		out.ContinueOnListenerFiltersTimeout = true
	}
	return out
}

// Unclaimed is the cluster of traffic that nothing in the mesh claims
// (outboundTrafficPolicy): it goes where the client wanted it to, is refused, or
// goes to the egress proxy of the Sidecar, which has to import its host.
func Unclaimed(v *mesh.View) string {
	if v.RegistryOnly() {
		return resource.BlackHoleCluster
	}
	if p := v.Sidecar.EgressProxy(); p != nil {
		return resource.OutboundCluster(object.ResolveHost(p.Host, v.Sidecar.Namespace, object.Domain), p.GetPort().GetNumber(), p.Subset)
	}
	return resource.PassthroughCluster
}

func unclaimedChain(cluster string, r telemetry.Reporting, cfg *mesh.Config) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		Name:    cluster,
		Filters: TCPFilters(TCPProxyInput{Direction: resource.Outbound, Clusters: []WeightedCluster{{Cluster: cluster, Weight: 1}}, Reporting: r, Config: cfg}),
	}
}

// VirtualOutbound is the listener that receives every captured connection and
// hands it to the listener of its destination. Connections and requests are the clusters of
// what no listener has.
func VirtualOutbound(connections, requests string, ipv6 bool, r telemetry.Reporting, cfg *mesh.Config) *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name:             "virtualOutbound",
		Address:          socketAddress(AnyAddress, resource.OutboundPort),
		UseOriginalDst:   wrapperspb.Bool(true),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		FilterChains: []*listenerv3.FilterChain{{
			Name:             "virtualOutbound-blackhole", // a connection to the port itself would come back for ever
			FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(resource.OutboundPort)},
			Filters:          TCPFilters(TCPProxyInput{Direction: resource.Outbound, Clusters: []WeightedCluster{{Cluster: resource.BlackHoleCluster, Weight: 1}}, Reporting: r, Config: cfg}),
		}},
		DefaultFilterChain: unclaimedChain(connections, r, cfg),
	}
	if requests == DynamicCluster {
		setDynamic(l, r, cfg)
	}
	if ipv6 {
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: socketAddress("::", resource.OutboundPort)}}
	}
	return l
}

func socketAddress(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

func cidrRange(p netip.Prefix) *corev3.CidrRange {
	return &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}
}

func listenerFilter(name string, config proto.Message) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: resource.Pack(config)}}
}
