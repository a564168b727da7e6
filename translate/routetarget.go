package translate

import (
	"fmt"
	"strconv"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// target is a destination of a route, resolved.
type target struct {
	cluster string
	host    string
	port    uint32
	hash    []*routev3.RouteAction_HashPolicy
	// sourceHash: connections without requests are balanced by the hash of the
	// client's address.
	sourceHash bool
	// tunnel is what connections to the destination take, tunnelOfAll without
	// regard to its subset.
	tunnel, tunnelOfAll Tunnel
	session             proto.Message // nil: requests go to any endpoint
}

func (t target) address() string { return t.host + ":" + strconv.FormatUint(uint64(t.port), 10) }

// targets are the destinations of one http rule.
type targets struct {
	route   []target // one for each of HTTPRoute.route
	mirrors []target // one for each of mirrorsOf
}

// name is what the targets are called in traces: the one address, or the
// VirtualService that chooses among several.
func (t *targets) name(vs object.Ref) string {
	if len(t.route) == 1 {
		return t.route[0].address()
	}
	return vs.Name + "." + vs.Namespace
}

func (b *routeBuilder) targets(rule *networking.HTTPRoute, o object.Origin) *targets {
	t := &targets{}
	if rule.Redirect != nil || rule.DirectResponse != nil {
		return t
	}
	for i, d := range rule.Route {
		t.route = append(t.route, b.target(d.GetDestination(), o, ".route["+strconv.Itoa(i)+"].destination"))
	}
	for _, m := range mirrorsOf(rule) {
		t.mirrors = append(t.mirrors, b.target(m.destination, o, m.field))
	}
	return t
}

// maxAliases is how many ExternalNames in a row are followed, which also ends
// circles of them.
const maxAliases = 8

// target resolves a destination: its host in the VirtualService's namespace,
// through aliases, as it was when it is gone and kept, and its port, which is the service's only one, or else that
// of the listener, unless it is given.
func (b *routeBuilder) target(d *networking.Destination, o object.Origin, field string) target {
	host := object.ResolveHost(d.GetHost(), b.VirtualService.Namespace, object.Domain)
	to := b.Destinations[host]
	kept := to.Kept.Find(d.GetPort().GetNumber(), d.GetSubset())
	for range maxAliases {
		if kept != nil || to.Service == nil || to.Service.Resolution != registry.ResolutionAlias || to.Service.Alias == "" {
			break
		}
		host = to.Service.Alias
		to = b.Destinations[host]
	}
	if kept != nil {
		host, to = kept.Service.Host, Destination{Service: kept.Service, Rule: kept.Rule}
	}
	port := d.GetPort().GetNumber()
	if port == 0 {
		port = b.defaultPort(to.Service)
	}
	b.missing(to.Service, host, port, o, field)
	if to.Service != nil && d.GetSubset() != "" && to.Rule.Subset(d.GetSubset()) == nil {
		b.find(o, field+".subset", object.CodeSubsetMissing,
			fmt.Sprintf("no DestinationRule in force for host %s defines subset %q; requests get 503 until one does", host, d.GetSubset()))
	}
	return target{
		cluster: resource.OutboundCluster(host, port, d.GetSubset()), host: host, port: port,
		hash:       hashPolicies(to.Rule, d.GetSubset(), port),
		sourceHash: hashesSourceIP(to.Rule, d.GetSubset(), port),
		tunnel:     tunnelOf(to.Rule, d.GetSubset()), tunnelOfAll: tunnelOf(to.Rule, ""),
		session: session(to.Service),
	}
}

// missing reports a destination that does not exist.
func (b *routeBuilder) missing(s *registry.Service, host string, port uint32, o object.Origin, field string) {
	if s != nil && s.Port(port) != nil || host == gatewayapi.NoBackend {
		return
	}
	if b.VirtualService.GatewayAPI {
		if s == nil {
			b.findMissing(o, "", host, fmt.Sprintf("no Service that these clients see has the host %s; its share of requests gets 500 until there is one: check the name and namespace of the backend", host))
			return
		}
		b.find(o, "", object.CodePortNotFound, fmt.Sprintf("host %s has no port %d; its share of requests gets 500: set the port of the backend to one of its ports", host, port))
		return
	}
	if s == nil {
		b.findMissing(o, field+".host", host,
			fmt.Sprintf("no Service or ServiceEntry that these clients see has the host %s; requests get 503 until there is one: check the name, which is resolved in namespace %s", host, b.VirtualService.Namespace))
		return
	}
	b.find(o, field+".port", object.CodePortNotFound, fmt.Sprintf("host %s has no port %d; requests get 503: set port.number to one of its ports", host, port))
}

// defaultPort is the port of destinations that give none.
func (b *routeBuilder) defaultPort(s *registry.Service) uint32 {
	if only := onlyPort(s); only != 0 {
		return only
	}
	return b.Port
}

// onlyPort is the one port of a service; 0 when it has several or none.
func onlyPort(s *registry.Service) (only uint32) {
	if s == nil {
		return 0
	}
	for _, p := range s.Ports {
		if p.Protocol == object.ProtocolUDP {
			continue
		}
		if only != 0 {
			return 0
		}
		only = p.Number
	}
	return only
}
