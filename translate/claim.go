package translate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// AnyAddress is the address of listeners for connections to whatever address.
const AnyAddress = "0.0.0.0"

// ListenerKey is what a client connects to: an address, or AnyAddress, and a
// port.
type ListenerKey struct {
	Address string
	Port    uint32
}

func anyAddress(port uint32) ListenerKey { return ListenerKey{AnyAddress, port} }

// servedAt is where the HTTP services of a port are served that share a listener.
func servedAt(v *mesh.View, port uint32) ListenerKey {
	if b := v.Sidecar.BindOf(port); b.Address != "" {
		return ListenerKey{b.Address, port}
	}
	return anyAddress(port)
}

// RouteConfig is the name of the route configuration that all HTTP services share
// that are served at the key.
func (k ListenerKey) RouteConfig() string {
	if k.Address == AnyAddress {
		return PortConfig(k.Port)
	}
	return k.Name()
}

// Name is the listener's name, "10.0.0.1_80".
func (k ListenerKey) Name() string { return k.Address + "_" + strconv.FormatUint(uint64(k.Port), 10) }

// bootstrapPorts are those of the listeners in the bootstrap: probes, readiness and
// statistics. Envoy takes no second listener of the same address.
var bootstrapPorts = []uint32{15020, 15021, 15090}

// reserved tells whether the key is one of the proxy's own; a socket must not have
// their port at any address.
func (k ListenerKey) reserved(socket bool) bool {
	return socket && k.Port == adminPort || (k.Address == AnyAddress || socket) && (k.Port == resource.OutboundPort || k.Port == resource.InboundPort || slices.Contains(bootstrapPorts, k.Port))
}

// ClaimKind says what a host wants of the listener that it claims.
type ClaimKind uint8

// The kinds of claims.
const (
	ClaimHTTP    ClaimKind = iota // requests, through the route configuration of the port
	ClaimSniffed                  // requests through a route configuration of its own, anything else to its chains
	ClaimTCP                      // connections to its chains
)

// Claim is what one host wants of one listener. Hosts that share a listener
// each have a claim to it.
type Claim struct {
	Key         ListenerKey
	Kind        ClaimKind
	Host        string
	RouteConfig string // ClaimSniffed
	Chains      []Chain
	Service     *registry.Service // nil for ClaimHTTP, whose claims are all alike
	Rule        object.Ref        // the VirtualService whose tcp and tls rules Chains follow; zero: none
}

// Chain leads connections that match to clusters.
type Chain struct {
	Prefixes []netip.Prefix // of the address that the client chose; empty: all
	SNI      []string       // empty: connections without TLS as well
	Clusters []WeightedCluster
	// HashSourceIP: the destinations' rule balances by the client's address.
	HashSourceIP bool
	// Tunnel: the clusters are HTTP proxies.
	Tunnel Tunnel
	// IdleTimeout ends connections without traffic, as TCPProxyInput has it.
	IdleTimeout time.Duration
	// Described, as TCPProxyInput has it.
	Described bool
}

// Equal tells whether two claims want the same.
func (c Claim) Equal(o Claim) bool {
	return c.Key == o.Key && c.Kind == o.Kind && c.Host == o.Host && c.RouteConfig == o.RouteConfig && c.Service == o.Service && c.Rule == o.Rule &&
		slices.EqualFunc(c.Chains, o.Chains, func(a, b Chain) bool {
			return slices.Equal(a.Prefixes, b.Prefixes) && slices.Equal(a.SNI, b.SNI) && slices.Equal(a.Clusters, b.Clusters) && a.HashSourceIP == b.HashSourceIP && a.Tunnel == b.Tunnel && a.IdleTimeout == b.IdleTimeout && a.Described == b.Described
		})
}

// precedence orders the claims to one listener: hosts of Kubernetes first,
// then the oldest, then by name.
func precedence(a, b Claim) int {
	switch {
	case a.Service == nil || b.Service == nil:
		return cmp.Compare(a.Host, b.Host)
	case a.Service.Kubernetes() != b.Service.Kubernetes():
		if a.Service.Kubernetes() {
			return -1
		}
		return 1
	}
	return cmp.Or(a.Service.Created.Compare(b.Service.Created), cmp.Compare(a.Host, b.Host))
}

// door is a listener at which connections to a port of a service arrive.
type door struct {
	key      ListenerKey
	prefixes []netip.Prefix // of the address that the client chose; empty: all
	names    []string       // of the server that the client asks for; empty: all, and connections without TLS
	cluster  string         // where connections go that no rule leads elsewhere
}

// doors are those that a port without declared HTTP needs: one for each address of the
// service, one on any address for the ranges that nobody else has an address of and for
// names without an address, and one for each pod of a headless service.
func (r *resolver) doors(port *registry.Port) (out []door) {
	cluster := resource.OutboundCluster(r.service.Host, port.Number, "")
	if b := r.Sidecar.BindOf(port.Number); b.Address != "" {
		d := door{key: ListenerKey{b.Address, port.Number}, cluster: cluster}
		if port.Protocol.IsTLS() { // others may be served there as well
			d.names = serverNames(r.service.Host)
		}
		if port.Protocol.IsTLS() && len(d.names) == 0 {
			return nil
		}
		return []door{d}
	}
	var ranges []netip.Prefix
	cut := false
	for _, p := range r.service.Addresses {
		if !p.IsSingleIP() {
			if r.rangeHolder(p).holder == (object.Ref{}) {
				ranges = append(ranges, p)
			} else {
				cut = true
			}
		} else if r.addressOwner(p.Addr(), port.Number) == r.service.Host { // only one can have the listener
			out = append(out, door{key: ListenerKey{p.Addr().String(), port.Number}, cluster: cluster})
		} else if _, how := r.sharing(p.Addr(), port); how == sharedByServerName && len(serverNames(r.service.Host)) > 0 {
			out = append(out, door{key: ListenerKey{p.Addr().String(), port.Number}, names: serverNames(r.service.Host), cluster: cluster})
		}
	}
	if len(ranges) > 0 {
		out = append(out, door{key: anyAddress(port.Number), prefixes: ranges, cluster: cluster})
	}
	switch {
	case cut && port.Protocol.IsTLS(): // their names still say whom clients mean
		if names := serverNames(r.service.Host); len(names) > 0 {
			out = append(out, door{key: anyAddress(port.Number), names: names, cluster: cluster})
		}
	case len(r.service.Addresses) > 0:
	case r.service.Headless:
		direct := resource.OriginalDestinationCluster(r.service.Host, port.Number)
		for _, e := range r.endpoints.Endpoints {
			if r.ServesDirectly(r.service, e) {
				out = append(out, door{key: ListenerKey{e.Address, port.Number}, cluster: direct})
			}
		}
	case port.Protocol.IsTLS():
		if names := serverNames(r.service.Host); len(names) > 0 {
			out = append(out, door{key: anyAddress(port.Number), names: names, cluster: cluster})
		}
	default:
		out = append(out, door{key: anyAddress(port.Number), cluster: cluster})
	}
	return out
}

// serverNames are the names by which clients that speak TLS ask for a host. Envoy compares
// whole labels: of a pattern that ends within one, such as "*shop.example", it takes
// what lies below, and nothing of one that has no host below it.
func serverNames(host string) []string {
	if traffic.ValidServerName(host) {
		return []string{host}
	}
	if base := strings.TrimPrefix(host, "*"); traffic.ValidServerName(base) {
		return []string{base, "*." + base}
	}
	return nil
}

// nameFindings tell of names of the host that Envoy cannot compare.
func (r *resolver) nameFindings(port *registry.Port) []object.Finding {
	if !port.Protocol.IsTLS() || traffic.ValidServerName(r.service.Host) || len(r.service.Addresses) > 0 {
		return nil
	}
	what := "is not served there"
	if names := serverNames(r.service.Host); len(names) > 0 {
		what = fmt.Sprintf("is served there for %s alone", strings.Join(names, " and "))
	}
	return []object.Finding{{Object: r.service.Ref, Field: "spec.hosts", Code: object.CodeUnsupported,
		Message: fmt.Sprintf("port %d is TLS, and proxies compare only whole labels of the names that clients ask for; host %s %s: write *. before the name", port.Number, r.service.Host, what)}}
}

// tcpClaims are the claims of the service to the listeners of its port.
func (r *resolver) tcpClaims(port *registry.Port) []Claim {
	var out []Claim
	for _, d := range r.doors(port) {
		if n := len(out); n > 0 && out[n-1].Key == d.key { // a range, and names of what it lacks
			out[n-1].Chains = append(out[n-1].Chains, r.chains(port, d)...)
			continue
		}
		out = append(out, r.claim(d.key, r.service.Host, r.chains(port, d)))
	}
	return out
}

func (r *resolver) claim(key ListenerKey, host string, chains []Chain) Claim {
	c := Claim{Key: key, Kind: ClaimTCP, Host: host, Service: r.service, Chains: chains}
	if r.connections != nil {
		c.Rule = r.connections.Ref
	}
	return c
}

// chains are where the connections at one door go: by the TLS or TCP routes
// of the VirtualService in force, and all that these leave to the cluster. Names that
// no TLSRoute of a Service has are refused, as the Gateway API has it.
func (r *resolver) chains(port *registry.Port, d door) []Chain {
	out, all := r.ruled(port, d, true)
	if all {
		return out
	}
	rest := Chain{Prefixes: d.prefixes, SNI: d.names, Clusters: []WeightedCluster{{Cluster: d.cluster, Weight: 1}}, HashSourceIP: hashesSourceIP(r.rule, "", port.Number),
		Tunnel: tunnelOf(r.rule, ""), IdleTimeout: effectivePolicy(r.Config, r.rule, nil, port.Number).tcpIdleTimeout(), Described: r.described(port, d)}
	if len(d.names) == 0 {
		return append(out, rest)
	}
	for _, name := range d.names { // a chain each: some may be another's
		rest.SNI = []string{name}
		out = append(out, rest)
	}
	return out
}

// described tells whether each endpoint of the door's cluster tells its workload: not
// addresses that clients choose.
func (r *resolver) described(port *registry.Port, d door) bool {
	switch clusterInput(r.View, r.service, r.endpoints, r.rule, port.Number).Discovery() {
	case DiscoverByEDS, DiscoverByDNS, DiscoverOneByDNS:
		return d.cluster == resource.OutboundCluster(r.service.Host, port.Number, "")
	}
	return false
}

// ruled are the chains of the VirtualService in force for connections to a door, and
// whether they leave none of these. Own is whether the rule is the service's own; else it
// is for the door's names alone.
func (r *resolver) ruled(port *registry.Port, d door, own bool) (out []Chain, all bool) {
	if r.connections == nil {
		return nil, false
	}
	in := r.input(r.connections, port.Number)
	if port.Protocol.IsTLS() {
		if out = tlsChains(in, d.prefixes); len(d.names) > 0 {
			out = r.named(out, port.Number, d.names, own)
		}
		if len(out) > 0 && r.connections.GatewayAPI {
			return out, true
		}
	}
	if len(out) == 0 {
		out = tcpChains(in, d.prefixes, d.names)
	}
	out = r.within(out, d)
	n := len(out)
	return out, n > 0 && slices.Equal(out[n-1].Prefixes, d.prefixes) && slices.Equal(out[n-1].SNI, d.names)
}

// named leaves to chains for names those that belong to the hosts: of a pattern the part
// which is theirs and, where the rule is the service's own, names that no service has. It is for
// listeners that services share, at which the name is all that tells them apart.
func (r *resolver) named(chains []Chain, port uint32, hosts []string, own bool) []Chain {
	var exact, narrowed []Chain
	for _, c := range chains {
		sni := "*"
		if len(c.SNI) > 0 {
			sni = c.SNI[0]
		}
		met := false
		for _, host := range hosts {
			name, ok := object.IntersectHosts(host, sni)
			if !ok {
				continue
			}
			met = true
			if !r.leads(name, port) {
				continue
			}
			if c.SNI = []string{name}; name == sni {
				exact = append(exact, c)
			} else {
				narrowed = append(narrowed, c)
			}
		}
		if !met && own && r.Owner(sni, port) == nil {
			exact = append(exact, c)
		}
	}
	return append(exact, narrowed...)
}

// leads tells whether connections for the name are the service's and follow the rule: neither
// is another's, narrower one.
func (r *resolver) leads(name string, port uint32) bool {
	owner, rule := r.Owner(name, port), r.ConnectionRoute(name)
	return (owner == nil || owner.Host == r.service.Host) && (rule == nil || rule == r.connections)
}
