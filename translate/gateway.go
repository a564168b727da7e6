package translate

import (
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// GatewayInput is a router with what it shares with no other part: policies
// that apply to its Pod.
type GatewayInput struct {
	View      *mesh.View
	Workload  *registry.Workload
	Filters   []*hcmv3.HttpFilter  // authentication and authorization of requests
	TCP       []*listenerv3.Filter // authorization of connections
	Reporting telemetry.Reporting
	// Authenticates tells whether the router reads tokens of requests.
	Authenticates bool
	// Has tells whether the SDS secret of a name can be served. A server whose
	// certificate cannot would keep all servers of its port from opening.
	Has func(secret string) bool
}

// GatewayPlan is what a router needs. Clusters are inputs, since they are
// shared with other routers, and so are virtual hosts, which mostly are as they were.
type GatewayPlan struct {
	Listeners    []GatewayListener
	Frames       []string // names of route configurations
	Hosts        []GatewayHost
	Destinations []string    // hosts whose clusters the routes name, in order
	Secrets      []SecretUse // SDS secrets that the listeners ask for, those of the oldest Gateways first
	Findings     []object.Finding
}

// GatewayListener is one listener with the Gateways that have servers there.
type GatewayListener struct {
	*listenerv3.Listener
	Owners []object.Ref
}

// gatewayBuilder gathers a GatewayPlan.
type gatewayBuilder struct {
	GatewayInput
	topology  *meshconfig.Topology
	plan      GatewayPlan
	names     map[string]bool // of route configurations
	rules     ruleInputs
	bindings  map[*traffic.Server][]traffic.Bound
	share     mesh.RouterShare
	tooMuch   map[*traffic.VirtualService]bool // rules that were found to be too many
	bytes     map[string]int                   // of the filters of chains, by the namespace of their Gateway
	trustless map[*traffic.Server]object.Ref   // servers whose authorities find no room, with what did
}

// Gateway makes the listeners and routes of a router.
func Gateway(in GatewayInput) *GatewayPlan {
	b := &gatewayBuilder{GatewayInput: in, names: map[string]bool{}, rules: newRuleInputs(), bindings: map[*traffic.Server][]traffic.Bound{}, tooMuch: map[*traffic.VirtualService]bool{}, bytes: map[string]int{}}
	ports, findings := in.View.Ports(in.Workload)
	b.trustless = trustTooMuch(ports)
	topology, found := in.View.Config.TopologyOf(in.Workload)
	b.topology, b.plan.Findings = topology, append(findings, found...)
	for _, p := range ports {
		b.port(p)
	}
	b.plan.Findings = append(append(b.plan.Findings, b.claimFindings(ports)...), coalescingFindings(ports, in.Workload.Namespace)...)
	slices.Sort(b.plan.Destinations)
	b.plan.Destinations = slices.Compact(b.plan.Destinations)
	return &b.plan
}

// adminPort is that of Envoy's admin interface.
const adminPort = 15000

func (b *gatewayBuilder) port(p mesh.RouterPort) {
	if p.Port == adminPort || slices.Contains(bootstrapPorts, p.Port) {
		for _, s := range p.Servers {
			b.finding(s, object.CodeConflict, "port.number", fmt.Sprintf("the proxy itself listens on %d; the server is left out: use another port", p.Port))
		}
		return
	}
	address := AnyAddress
	if p.Bind != "" {
		address = p.Bind
	}
	l := &listenerv3.Listener{
		Name:             ListenerKey{address, p.Port}.Name(),
		Address:          socketAddress(address, p.Port),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
	}
	if p.Bind != "" { // it may be that of another Pod
		l.Freebind = wrapperspb.Bool(true)
	} else if b.View.Scope.IPv6 {
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: socketAddress("::", p.Port)}}
	}
	head := p.Servers[0]
	switch {
	case head.Plain():
		if !b.full(head) {
			l.FilterChains = b.sized(head, b.plain(p))
		}
	case head.Protocol.IsTLS():
		l.ListenerFilters = []*listenerv3.ListenerFilter{listenerFilter("envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{})}
		names := b.claimNames(p.Servers)
		var shut []string
		for _, s := range p.Servers {
			if b.full(s) {
				shut = append(shut, names.covered(s, nil)...)
			} else {
				l.FilterChains = append(l.FilterChains, b.sized(s, b.tls(s, p, names)...)...)
			}
		}
		if len(shut) > 0 { // in one chain: there is room for no more
			l.FilterChains = append(l.FilterChains, b.closedChain(head, shut))
		}
		l.FilterChains = distinctChains(l.FilterChains)
	default:
		if !b.full(head) {
			l.FilterChains = distinctChains(b.sized(head, b.tcp(head)...))
		}
	}
	if b.topology.GetProxyProtocol() != nil { // first: what follows in the connection is looked at by the others
		l.ListenerFilters = slices.Insert(l.ListenerFilters, 0, listenerFilter("envoy.filters.listener.proxy_protocol", &proxyprotocolv3.ProxyProtocol{}))
	}
	if len(l.FilterChains) > 0 {
		var owners []object.Ref
		for _, s := range p.Servers {
			if !slices.Contains(owners, s.Gateway.Ref) {
				owners = append(owners, s.Gateway.Ref)
			}
		}
		b.plan.Listeners = append(b.plan.Listeners, GatewayListener{l, owners})
	}
}

// full tells whether the chains for a namespace's Gateways are as large as they may be: each
// has the policies of the router again. The server is then left out.
func (b *gatewayBuilder) full(s *traffic.Server) bool {
	if b.bytes[s.Gateway.Namespace] <= maxChains {
		return false
	}
	b.finding(s, object.CodeInvalid, "", fmt.Sprintf("the policies of the gateway's pods and the servers of namespace %s multiply to more than %d bytes; the server is left out: make the servers fewer", s.Gateway.Namespace, maxChains))
	return true
}

// sized counts chains for a server.
func (b *gatewayBuilder) sized(s *traffic.Server, chains ...*listenerv3.FilterChain) []*listenerv3.FilterChain {
	for _, c := range chains {
		b.bytes[s.Gateway.Namespace] += sizeOf(c.GetFilters())
	}
	return chains
}

// plain is the chain that all plain HTTP servers of a port share.
func (b *gatewayBuilder) plain(p mesh.RouterPort) *listenerv3.FilterChain {
	name := b.routesName(fmt.Sprintf("http.%d", p.Port), p.Bind)
	b.routes(name, p.Port, p.Servers, nil)
	return b.httpChain(p, name)
}

func (b *gatewayBuilder) httpChain(p mesh.RouterPort, routes string) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{Filters: HTTPFilters(HCMInput{
		Direction: resource.Gateway, StatPrefix: fmt.Sprintf("outbound_%s_%d", AnyAddress, p.Port), RouteName: routes, Filters: b.Filters, GRPCWeb: true,
		Reporting: b.Reporting, Topology: b.topology, Config: b.View.Config,
	})}
}

// tls are the chains of one server that clients speak TLS to, for those of its
// names that are not another's.
func (b *gatewayBuilder) tls(s *traffic.Server, p mesh.RouterPort, names *nameClaims) []*listenerv3.FilterChain {
	mode := s.Spec.Tls.GetMode()
	if mode == networking.ServerTLSSettings_PASSTHROUGH {
		chains := b.passthrough(s, names)
		return append(chains, b.closed(s, names, chains)...)
	}
	if mode == networking.ServerTLSSettings_AUTO_PASSTHROUGH {
		b.finding(s, object.CodeUnsupported, "tls.mode", "AUTO_PASSTHROUGH is not supported; the server is left out: use PASSTHROUGH and a VirtualService with tls routes")
		return b.closed(s, names, nil)
	}
	socket, secrets, problem := serverSocket(b.View.Config, s, b.View.Scope.Namespace)
	if problem != "" {
		b.finding(s, object.CodeInvalid, "tls", problem)
		return b.closed(s, names, nil)
	}
	own, findings := names.of(s)
	b.plan.Findings = append(b.plan.Findings, findings...)
	if len(own) == 0 {
		return nil
	}
	if !b.trusts(s) || !b.secrets(s, secrets) {
		return b.closed(s, names, nil)
	}
	var chains []*listenerv3.FilterChain
	if s.Protocol != object.ProtocolHTTPS {
		chains = b.tcp(s)
	}
	if len(chains) == 0 && s.Protocol != object.ProtocolHTTPS && !s.Gateway.OfAPI() {
		return b.closed(s, names, nil)
	}
	if s.Protocol == object.ProtocolHTTPS || len(chains) == 0 && s.Gateway.OfAPI() { // what has no routes keeps its names, and answers 404
		name := b.routesName(fmt.Sprintf("https.%d.%s.%s.%s", s.Number, routeWord(s.Spec.Port.Name), s.Gateway.Ref.Name, s.Gateway.Namespace), b.suffix(p, s))
		b.routes(name, p.Port, []*traffic.Server{s}, names)
		chains = []*listenerv3.FilterChain{b.httpChain(p, name)}
	}
	var out []*listenerv3.FilterChain
	for _, c := range chains {
		c.TransportSocket = socket
		c.Name = fmt.Sprintf("%s/%d", s.Gateway.Name, s.Index)
		if c.FilterChainMatch == nil {
			c.FilterChainMatch = &listenerv3.FilterChainMatch{}
		}
		if named := slices.DeleteFunc(slices.Clone(own), func(n string) bool { return n == "*" }); len(named) > 0 {
			one := proto.CloneOf(c)
			one.FilterChainMatch.ServerNames = named
			out = append(out, one)
		}
		if slices.Contains(own, "*") { // Envoy has no such name: the chain takes what no other does
			out = append(out, c)
		}
	}
	return out
}

// secrets asks for the secrets of a server, and tells whether all are there.
func (b *gatewayBuilder) secrets(s *traffic.Server, names []string) bool {
	uses := usesOf(s, names)
	b.plan.Secrets = append(b.plan.Secrets, uses...)
	if slices.ContainsFunc(uses, func(u SecretUse) bool { return u.Authorities == nil && !b.Has(u.Name) }) {
		b.finding(s, object.CodeSecret, "tls.credentialName", "the Secret is missing or cannot be used; the server is left out until it is there: see the findings of the Secret")
		return false
	}
	return true
}

// suffix tells the route configuration of a server from those of Istio's servers
// at any address.
func (b *gatewayBuilder) suffix(p mesh.RouterPort, s *traffic.Server) string {
	if s.Gateway.OfAPI() { // one of networking.istio.io may have the same name
		return strings.TrimSuffix("gateway-api."+p.Bind, ".")
	}
	return p.Bind
}

// routesName is a name that no other route configuration of the router has. The
// first has the name that Istio gives.
func (b *gatewayBuilder) routesName(base, suffix string) string {
	if suffix != "" {
		base += "." + suffix
	}
	name := base
	for n := 2; b.names[name]; n++ {
		name = fmt.Sprintf("%s~%d", base, n)
	}
	b.names[name] = true
	return name
}

// routeWord is a word of an object as it stands in the name of a route
// configuration, which ends at the first slash in names of virtual hosts.
func routeWord(word string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_' {
			return r
		}
		return '-'
	}, word[:min(len(word), 253)])
}

// boundTo remembers View.BoundTo, as far as the share of the rules' namespaces allows it.
func (b *gatewayBuilder) boundTo(s *traffic.Server) []traffic.Bound {
	l, ok := b.bindings[s]
	if !ok {
		var left []*traffic.VirtualService
		l, left = b.share.Admit(b.View.BoundTo(s))
		for _, vs := range left {
			if !b.tooMuch[vs] {
				b.tooMuch[vs] = true
				b.plan.Findings = append(b.plan.Findings, b.share.TooMuch(vs, s))
			}
		}
		b.bindings[s] = l
	}
	return l
}

// bound are the VirtualServices of a server, each once.
func (b *gatewayBuilder) bound(s *traffic.Server) []traffic.Bound {
	var out []traffic.Bound
	for _, x := range b.boundTo(s) {
		if !slices.ContainsFunc(out, func(o traffic.Bound) bool { return o.VirtualService == x.VirtualService }) {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(x, y traffic.Bound) int {
		return x.VirtualService.Created.Compare(y.VirtualService.Created)
	})
	return out
}

// tcp is the chain of a server that leads connections on: the first matching
// route of the oldest VirtualService that has one.
func (b *gatewayBuilder) tcp(s *traffic.Server) []*listenerv3.FilterChain {
	for _, bound := range b.bound(s) {
		chains := tcpChains(routerInput(b.View, s, bound.VirtualService), nil, nil)
		if len(chains) == 0 {
			continue
		}
		b.plan.Destinations = append(b.plan.Destinations, bound.VirtualService.Destinations...)
		var out []*listenerv3.FilterChain
		for _, c := range chains {
			out = append(out, b.tcpChain(s, c))
		}
		return out
	}
	return nil
}

func (b *gatewayBuilder) tcpChain(s *traffic.Server, c Chain) *listenerv3.FilterChain {
	fc := &listenerv3.FilterChain{
		Filters: TCPFilters(TCPProxyInput{Direction: resource.Gateway, Clusters: c.Clusters, HashSourceIP: c.HashSourceIP, Tunnel: c.Tunnel, Reporting: b.Reporting, Config: b.View.Config}, b.TCP...),
	}
	if len(c.Prefixes) == 0 && len(c.SNI) == 0 {
		return fc
	}
	fc.FilterChainMatch = &listenerv3.FilterChainMatch{ServerNames: c.SNI}
	for _, p := range c.Prefixes {
		fc.FilterChainMatch.PrefixRanges = append(fc.FilterChainMatch.PrefixRanges, cidrRange(p))
	}
	fc.Name = fmt.Sprintf("%s/%d/%s", s.Gateway.Name, s.Index, matchKey(c))
	return fc
}

// distinctChains leaves to each chain what no earlier one matches.
func distinctChains(chains []*listenerv3.FilterChain) []*listenerv3.FilterChain {
	taken := map[string]bool{}
	return slices.DeleteFunc(chains, func(c *listenerv3.FilterChain) bool {
		m := c.GetFilterChainMatch()
		switch {
		case len(m.GetPrefixRanges()) > 0:
			m.PrefixRanges = slices.DeleteFunc(m.PrefixRanges, func(p *corev3.CidrRange) bool {
				return take(taken, fmt.Sprint(p.AddressPrefix, "/", p.PrefixLen.GetValue()), m.ServerNames, true) != nil
			})
			return len(m.PrefixRanges) == 0
		case len(m.GetServerNames()) > 0:
			m.ServerNames = slices.DeleteFunc(m.ServerNames, func(name string) bool {
				return take(taken, "", []string{name}, true) != nil
			})
			return len(m.ServerNames) == 0
		}
		return take(taken, "", nil, true) != nil
	})
}

// routerInput is what the routes of a VirtualService are made of on a server.
func routerInput(v *mesh.View, s *traffic.Server, vs *traffic.VirtualService) RouteInput {
	in := RouteInput{VirtualService: vs, Gateway: s.Gateway.Name, Port: s.Number, Config: v.Config, Destinations: destinations(v, vs.Destinations)}
	if vs.OfSource() {
		in.Source = Source{Namespace: v.Scope.Namespace, Labels: v.Scope.Labels}
	}
	return in
}

func (b *gatewayBuilder) finding(s *traffic.Server, code object.Code, field, message string) {
	b.plan.Findings = append(b.plan.Findings, object.Finding{Object: s.Gateway.Ref, Field: s.FieldOf(field), Code: code, Message: message})
}
