package translate

import (
	"fmt"
	"slices"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/security"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// sniffedHTTP are the protocols that Envoy's http_inspector finds.
var sniffedHTTP = []string{"http/1.0", "http/1.1", "h2c"}

// inboundBuilder gathers the filter chains of one workload's listener.
type inboundBuilder struct {
	in       mesh.Inbound
	ports    []mesh.InboundPort
	chains   []*listenerv3.FilterChain
	clusters []*clusterv3.Cluster // that policies need
	findings []object.Finding
	size     int  // of the filters in chains, in bytes
	full     bool // they are over maxChains
	// http and tcp come before what passes traffic on: who is the client, and
	// may it do that.
	http []*hcmv3.HttpFilter
	tcp  []*listenerv3.Filter
}

func newInboundBuilder(in mesh.Inbound) *inboundBuilder {
	b := &inboundBuilder{in: in, ports: in.Ports.Slice()}
	jwt := security.JWTFilters(security.JWTInput{Policies: in.RequestAuthentications, Issuers: in.Issuers, Backends: in.Backends, Config: in.Config})
	authz := security.AuthorizationInput{Policies: in.AuthorizationPolicies, Backends: in.Backends, Config: in.Config}
	http, found := security.AuthorizationHTTP(authz)
	tcp, more := security.AuthorizationTCP(authz)
	b.http = append(jwt.Filters, http...)
	b.tcp = tcp
	b.clusters = jwt.Clusters
	reporting := b.reporting(nil, false)
	for _, f := range slices.Concat(jwt.Findings, found, more, telemetry.Findings(reporting, in.Config)) {
		if !slices.Contains(b.findings, f) { // HTTP and TCP find the same
			b.findings = append(b.findings, f)
		}
	}
	return b
}

// maxChains is how large the filters of all chains of a workload's listener may be, in
// bytes. Each port has the workload's policies again.
const maxChains = 64 << 20

// sizeOf is that of filters, in bytes.
func sizeOf(filters []*listenerv3.Filter) (n int) {
	for _, f := range filters {
		n += len(f.GetTypedConfig().GetValue())
	}
	return n
}

// InboundFindings are those of Inbound, without the work of making what has none.
func InboundFindings(in mesh.Inbound) []object.Finding {
	b := newInboundBuilder(in)
	if b.cannotFill() {
		return b.findings
	}
	return Inbound(in).Findings
}

const (
	// chainsPerPort is how many chains a port has at most.
	chainsPerPort = 6
	// plainChain is more than what a chain's filters take apart from policies and what
	// Telemetries say, in bytes.
	plainChain = 256 << 10
	// perTelemetry is more than how often a chain says what a Telemetry says.
	perTelemetry = 64
)

// cannotFill tells whether the chains stay below their bound whatever else is in them.
func (b *inboundBuilder) cannotFill() bool {
	size := plainChain
	for _, f := range b.http {
		size += proto.Size(f)
	}
	for _, f := range b.tcp {
		size += proto.Size(f)
	}
	for _, t := range b.in.Telemetries.Slice() {
		size += perTelemetry * proto.Size(t.Spec)
	}
	if c := b.in.Config; c != nil {
		size += perTelemetry * proto.Size(c.MeshConfig)
	}
	return size*chainsPerPort*(len(b.ports)+1) < maxChains
}

// within are the filters of a chain while all fit. A chain that does not ends its
// connections: without its policies it would let everybody in.
func (c *portChains) within(make func() []*listenerv3.Filter) []*listenerv3.Filter {
	if !c.full {
		filters := make()
		if c.size += sizeOf(filters); c.size <= maxChains {
			return filters
		}
		c.full = true
		c.findings = append(c.findings, object.Finding{Object: c.heaviest(), Field: "policies × ports", Code: object.CodeInvalid, Message: fmt.Sprintf(
			"the policies for workload %s of namespace %s and its ports multiply to more than %d bytes; port %s and those after it are closed: make the policies smaller, or the ports fewer",
			c.in.Workload, c.in.Namespace, maxChains, portName(c.port.Number))})
	}
	return TCPFilters(TCPProxyInput{
		Direction: resource.Inbound, Clusters: []WeightedCluster{{Cluster: resource.BlackHoleCluster}}, Config: c.in.Config, Reporting: c.reporting(nil, false),
	})
}

// heaviest is the policy that says most.
func (b *inboundBuilder) heaviest() (out object.Ref) {
	most := -1
	weigh := func(ref object.Ref, spec proto.Message) {
		if n := proto.Size(spec); n > most {
			most, out = n, ref
		}
	}
	for _, p := range b.in.AuthorizationPolicies.Slice() {
		weigh(p.Ref, p.Spec)
	}
	for _, p := range b.in.RequestAuthentications.Slice() {
		weigh(p.Ref, p.Spec)
	}
	for _, p := range b.in.Telemetries.Slice() {
		weigh(p.Ref, p.Spec)
	}
	return out
}

// portName is the number of a port, or "other" for all that have no chains of their own.
func portName(number uint32) string {
	if number == 0 {
		return "other"
	}
	return strconv.FormatUint(uint64(number), 10)
}

// portChains adds the chains of one port, or of all other ports for number 0.
func (b *inboundBuilder) portChains(p mesh.InboundPort, cluster string) {
	c := &portChains{inboundBuilder: b, port: p, cluster: cluster}
	sniffs := p.Protocol == object.ProtocolAuto
	if p.MutualTLS != mesh.Disabled {
		c.mutualTLS = true
		switch {
		case p.Protocol.IsHTTP():
			c.add("tls", c.ifPermissive(meshProtocols), c.requests)
		case sniffs:
			c.add("tls", meshHTTPProtocols, c.requests)
			c.add("tls", c.ifPermissive(meshTCPProtocols), c.bytes)
		default:
			c.add("tls", c.ifPermissive(meshProtocols), c.bytes)
		}
		c.mutualTLS = false
	}
	switch p.MutualTLS {
	case mesh.Permissive:
		if !p.Protocol.IsHTTP() { // the application's own TLS
			c.add("tls", nil, c.bytes)
		}
		c.plaintext("raw_buffer")
	case mesh.Disabled: // nobody looks for TLS
		c.plaintext("")
	}
}

// portChains is the builder at work on one port.
type portChains struct {
	*inboundBuilder
	port      mesh.InboundPort
	cluster   string
	mutualTLS bool
}

func (c *portChains) plaintext(transport string) {
	switch {
	case c.port.Protocol.IsHTTP():
		c.add(transport, nil, c.requests)
	case c.port.Protocol == object.ProtocolAuto:
		c.add(transport, sniffedHTTP, c.requests)
		c.add(transport, nil, c.bytes)
	default:
		c.add(transport, nil, c.bytes)
	}
}

// ifPermissive are the protocols by which the mesh's TLS is told from the
// application's. Where only the mesh's is accepted every TLS is taken for it.
func (c *portChains) ifPermissive(protocols []string) []string {
	if c.port.MutualTLS == mesh.Permissive {
		return protocols
	}
	return nil
}

func (c *portChains) add(transport string, protocols []string, filters func() []*listenerv3.Filter) {
	chain := &listenerv3.FilterChain{
		Name:             c.name(transport, protocols),
		FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: transport, ApplicationProtocols: protocols},
		Filters:          c.within(filters),
	}
	if c.port.Number != 0 {
		chain.FilterChainMatch.DestinationPort = wrapperspb.UInt32(c.port.Number)
	}
	if c.mutualTLS {
		chain.TransportSocket = MutualTLSSocket(c.in.Config)
	}
	c.chains = append(c.chains, chain)
}

// name tells people what the chain is for: "9080/mtls", "other/plaintext/http".
func (c *portChains) name(transport string, protocols []string) string {
	name := portName(c.port.Number)
	switch {
	case c.mutualTLS:
		name += "/mtls"
	case transport == "tls":
		name += "/tls"
	default:
		name += "/plaintext"
	}
	if c.port.Protocol == object.ProtocolAuto && len(protocols) > 0 && protocols[0] != meshTCPProtocols[0] {
		name += "/http"
	}
	return name
}

// requests are the filters for HTTP.
func (c *portChains) requests() []*listenerv3.Filter {
	return HTTPFilters(HCMInput{
		Direction:  resource.Inbound,
		StatPrefix: "inbound_0.0.0.0_" + strconv.FormatUint(uint64(c.port.Number), 10),
		Routes:     inboundRoutes(c.port, c.cluster, c.in.Config),
		Filters:    c.http,
		GRPCWeb:    c.port.Protocol == object.ProtocolGRPCWeb,
		Reporting:  c.reporting(c.port.Service, c.mutualTLS),
		Config:     c.in.Config,
	})
}

// bytes are the filters for everything else.
func (c *portChains) bytes() []*listenerv3.Filter {
	return TCPFilters(TCPProxyInput{
		Direction: resource.Inbound,
		Clusters:  []WeightedCluster{{Cluster: c.cluster}},
		AwaitTLS:  c.mutualTLS,
		Reporting: c.reporting(c.port.Service, c.mutualTLS),
		Config:    c.in.Config,
	}, c.tcp...)
}

func (b *inboundBuilder) reporting(service *registry.Service, mutualTLS bool) telemetry.Reporting {
	return telemetry.Reporting{
		Telemetries: b.in.Telemetries, Tracers: b.in.Backends, Workload: b.in.Workload, Namespace: b.in.Namespace,
		Service: service, MutualTLS: mutualTLS, Local: &b.in,
	}
}
