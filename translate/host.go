package translate

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// Plan is one host as seen from one scope, resolved: the inputs of all
// resources that the host needs there.
type Plan struct {
	Clusters     []ClusterInput
	Kept         []KeptCluster
	VirtualHosts []VirtualHostInput
	Claims       []Claim
	Findings     []object.Finding
}

// ResolveHost says what the sidecars of the view need for the host: a service,
// or a name that only VirtualServices know.
func ResolveHost(v *mesh.View, host string) *Plan {
	p := &Plan{Kept: KeptClusters(v, host)}
	s, endpoints := v.Service(host)
	route, overridden := v.Route(host)
	for _, o := range overridden {
		p.Findings = append(p.Findings, object.Finding{Object: o.Ref, Field: "spec.hosts", Code: object.CodeConflict, Winner: route.Ref,
			Message: "another VirtualService for host " + host + " is older, or private to the namespace; this one has no effect on sidecars: merge the two"})
	}
	if s != nil && s.Resolution != registry.ResolutionAlias {
		r := resolver{View: v, service: s, endpoints: endpoints, rule: v.Rule(s), route: route, connections: v.ConnectionRoute(host)}
		for i := range s.Ports {
			if i == route.FitsPorts() {
				p.Findings = append(p.Findings, tooManyPorts(route, host, len(s.Ports), s.Ports[i].Number))
				r.route = nil
			}
			if i == r.connections.FitsPorts() {
				r.connections = nil
			}
			r.port(p, &s.Ports[i])
		}
		p.Findings = append(p.Findings, r.idleRules()...)
	} else if s != nil {
		p.Findings = append(p.Findings, idleOfAlias(v, s)...)
	}
	if winner := v.BeatenBy(host); winner != nil && (s == nil || s.Resolution == registry.ResolutionAlias) {
		p.Findings = append(p.Findings, object.Finding{Object: route.Ref, Field: "spec.hosts", Code: object.CodeConflict, Winner: winner.Ref,
			Message: host + " is a name of a Service that has a rule of its own namespace, or an older one; this rule has no effect on sidecars: merge the two"})
	}
	p.Findings = append(p.Findings, addressFindings(v, host)...)
	p.requestPlaces(v, host)
	p.connectionPlaces(v, host)
	return p
}

// addressFindings tell of rules for addresses that are others'.
func addressFindings(v *mesh.View, host string) (out []object.Finding) {
	if s, _ := v.Service(host); s != nil { // which may be found by it
		return nil
	}
	refused, holder := v.AddressRefused(host)
	of := "may be an address of others"
	if holder != (object.Ref{}) {
		of = "is an address of " + holder.String() + " in another namespace"
	}
	for _, vs := range refused {
		out = append(out, object.Finding{Object: vs.Ref, Field: "spec.hosts", Code: object.CodeConflict, Winner: holder,
			Message: fmt.Sprintf("%s %s; for sidecars of other namespaces than %s the rule has no effect on requests to it: name a host of your own", host, of, vs.Namespace)})
	}
	return out
}

func tooManyPorts(rule *traffic.VirtualService, host string, ports int, from uint32) object.Finding {
	return object.Finding{Object: rule.Ref, Field: "spec.hosts", Code: object.CodeInvalid,
		Message: fmt.Sprintf("host %s has %d ports, and the rules are too large for all of them; from port %d on it is served without them: make the rules fewer", host, ports, from)}
}

// routeInput is what the routes of a VirtualService are made of in the view.
func routeInput(v *mesh.View, vs *traffic.VirtualService, port uint32) RouteInput {
	in := RouteInput{VirtualService: vs, Gateway: object.MeshGateway, Port: port, Config: v.Config}
	if vs == nil {
		return in
	}
	if vs.OfSource() {
		in.Source = Source{Namespace: v.Scope.Namespace, Labels: v.Scope.Labels}
	}
	in.Destinations = destinations(v, vs.Destinations)
	return in
}

// destinations looks up the hosts, and those that they are aliases of.
func destinations(v *mesh.View, hosts []string) map[string]Destination {
	out := make(map[string]Destination, len(hosts))
	for _, h := range hosts {
		for h != "" {
			if _, done := out[h]; done {
				break
			}
			s, _ := v.Service(h)
			out[h] = Destination{Service: s, Rule: v.Rule(s), Kept: v.Kept(h)}
			h = ""
			if s != nil {
				h = s.Alias
			}
		}
	}
	return out
}

// resolver resolves the ports of one service.
type resolver struct {
	*mesh.View
	service   *registry.Service
	endpoints *registry.EndpointSet
	rule      *traffic.DestinationRule
	// The VirtualServices in force for requests and for connections; nil: none.
	route, connections *traffic.VirtualService
	claims             map[netip.Addr]mesh.AddressClaims // to addresses of the service, once looked for
	held               map[netip.Prefix]heldRange        // of its ranges, once looked for
	cutSubnets         bool                              // see within; of the port that is looked at
}

// addressOwner is AddressOwner for an address of the service.
func (r *resolver) addressOwner(a netip.Addr, port uint32) string {
	claims, known := r.claims[a]
	if !known {
		if claims = r.ClaimsTo(a); r.claims == nil {
			r.claims = map[netip.Addr]mesh.AddressClaims{}
		}
		r.claims[a] = claims
	}
	return claims.Owner(port)
}

func (r *resolver) port(p *Plan, port *registry.Port) {
	if port.Protocol == object.ProtocolUDP {
		return
	}
	p.Clusters = append(p.Clusters, r.clusters(port)...)
	if !r.Listens(r.service, port.Number) {
		return
	}
	switch {
	case port.Protocol.IsHTTP():
		r.http(p, port, servedAt(r.View, port.Number))
	case port.Protocol == object.ProtocolAuto:
		r.sniffed(p, port)
	default:
		p.Claims = append(p.Claims, r.tcpClaims(port)...)
	}
	r.shareAddresses(p, port)
	p.Findings = append(p.Findings, r.subnetFindings(port)...)
	if !port.Protocol.IsHTTP() {
		p.Findings = append(p.Findings, r.rangeFindings(port)...)
	}
	if !port.Protocol.IsHTTP() {
		p.Findings = append(append(p.Findings, r.l4Findings(port)...), r.nameFindings(port)...)
	}
}

// clusters are those of the port: the whole service, each subset and, for a
// headless service, the pods by their own address.
func (r *resolver) clusters(port *registry.Port) []ClusterInput {
	in := clusterInput(r.View, r.service, r.endpoints, r.rule, port.Number)
	out := []ClusterInput{in}
	if r.rule != nil {
		for _, s := range r.rule.Subsets {
			sub := in
			sub.Subset = s
			out = append(out, sub)
		}
	}
	if r.service.Headless {
		direct := in
		direct.OriginalDestination = true
		direct.Endpoints, direct.PeerAuthentications = r.endpoints, r.PeerAuthentications // mutual TLS with all of them, or with none
		out = append(out, direct)
	}
	return out
}

// clusterInput is what the cluster of a service's port is made of in the view.
func clusterInput(v *mesh.View, s *registry.Service, endpoints *registry.EndpointSet, rule *traffic.DestinationRule, port uint32) ClusterInput {
	in := ClusterInput{
		Service: s, Port: port, Rule: rule, Config: v.Config, Router: v.Scope.Role == mesh.RoleRouter,
		Identities: endpoints.Identities, MutualTLS: endpoints.MutualTLS, Client: clientOf(v, s, rule),
	}
	if p := s.Port(port); p != nil {
		if in.TLS = v.BackendTLS(s, p); in.TLS != nil {
			in.Certificate, _ = v.ClientCertificate()
		}
	}
	if s.Resolution != registry.ResolutionStatic {
		in.Endpoints, in.PeerAuthentications = endpoints, v.PeerAuthentications
	}
	return in
}

// clientOf is as much of the client as endpoints of the service may depend on.
func clientOf(v *mesh.View, s *registry.Service, rule *traffic.DestinationRule) Client {
	var c Client
	if s.Distribution != "" || rule.AsksLocality() || v.Config.AsksLocality() {
		c.Locality, c.Labels = v.Scope.Locality, v.Scope.Labels
	}
	if s.LocalOnly || s.Distribution == "PreferSameNode" || comparesNodes(v.Config, rule) {
		c.Node = v.Scope.Node
	}
	return c
}

// http serves requests to a port through the route configuration that services
// share at the key, which tell them apart by their names.
func (r *resolver) http(p *Plan, port *registry.Port, key ListenerKey) {
	if bind := r.Sidecar.BindOf(port.Number); key.reserved(bind.Socket && bind.Address == key.Address) {
		p.Findings = append(p.Findings, reservedFinding(r.service.Ref, key))
		return
	}
	r.answers(p, port, key.RouteConfig())
	p.Claims = append(p.Claims, Claim{Key: key, Kind: ClaimHTTP, Host: r.service.Host})
}

// answers adds what answers to the names of the service in a route configuration.
func (r *resolver) answers(p *Plan, port *registry.Port, config string) {
	hosts, others := r.aliases(port, config)
	p.VirtualHosts = append(p.VirtualHosts, hosts...)
	domains := domainsOf(r.View, r.service.Host, r.service, port.Number).and(others)
	vh := VirtualHostInput{Config: config, Name: r.service.Host, Domains: domains, Service: r.service, Port: port.Number, Route: r.input(r.route, port.Number)}
	if r.choosesPods(port) {
		pods := vh
		pods.Name, pods.Domains, pods.OriginalDst, pods.Route.VirtualService = "*."+vh.Name, podDomainsOf(r.View, r.service.Host).and(Domains{Wide: r.podAddresses(port)}), true, nil
		p.VirtualHosts = append(p.VirtualHosts, pods)
		vh.OriginalDst = !r.asksForBalancing() && !routesHTTP(r.route)
	}
	p.VirtualHosts = append(p.VirtualHosts, vh)
}

// aliases are what answers to other names of the service that have rules of their own,
// and those names that have none.
func (r *resolver) aliases(port *registry.Port, config string) (hosts []VirtualHostInput, others Domains) {
	for _, alias := range r.AliasesOf(r.service.Host) {
		a, _ := r.Service(alias)
		if a == nil {
			continue
		}
		names := domainsOf(r.View, alias, nil, port.Number)
		if own, _ := r.Route(alias); own != nil && slices.Contains(own.Hosts, alias) {
			ruled := names
			if a.Port(port.Number) == nil { // its short names are none of it on a port that it does not declare
				ruled, names = names.full()
				others = others.and(names)
			}
			hosts = append(hosts, VirtualHostInput{Config: config, Name: alias, Domains: ruled, Service: r.service, Port: port.Number, Route: r.input(own, port.Number)})
			continue
		}
		others = others.and(names)
	}
	return hosts, others
}

// choosesPods tells whether clients choose a pod by its address: those of a headless
// service do, unless they find it at an address of the proxy.
func (r *resolver) choosesPods(port *registry.Port) bool {
	return r.service.Headless && r.Sidecar.BindOf(port.Number) == traffic.Bind{}
}

func routesHTTP(vs *traffic.VirtualService) bool { return vs != nil && len(vs.Spec.Http) > 0 }

// asksForBalancing tells whether a rule says how the pods of a headless
// service share requests; otherwise the pod that the client resolved is used.
func (r *resolver) asksForBalancing() bool { return r.rule.Balances() }

// input is routeInput with the service itself among the destinations.
func (r *resolver) input(vs *traffic.VirtualService, port uint32) RouteInput {
	in := routeInput(r.View, vs, port)
	if in.Destinations == nil {
		in.Destinations = map[string]Destination{}
	}
	in.Destinations[r.service.Host] = Destination{Service: r.service, Rule: r.rule, Kept: r.Kept(r.service.Host)}
	return in
}

// sniffed serves a port whose protocol nobody declared: HTTP is recognised by
// its first bytes and routed by a configuration of the port's own, anything
// else is TCP. At listeners that others share requests are told apart by their
// host.
func (r *resolver) sniffed(p *Plan, port *registry.Port) {
	claims := r.tcpClaims(port)
	if r.ByNameOnly(r.service, port.Number) || len(claims) == 0 && r.cutsRanges() { // requests still say whom they mean
		r.http(p, port, servedAt(r.View, port.Number))
		p.Claims = append(p.Claims, claims...)
		return
	}
	for i := range claims {
		claims[i].Kind = ClaimSniffed
		claims[i].RouteConfig = hostConfig(r.service.Host, port.Number)
	}
	if len(claims) == 0 {
		return
	}
	p.Claims = append(p.Claims, claims...)
	hosts, _ := r.aliases(port, hostConfig(r.service.Host, port.Number))
	p.VirtualHosts = append(p.VirtualHosts, hosts...)
	vh := VirtualHostInput{Config: hostConfig(r.service.Host, port.Number), Name: r.service.Host, Domains: Domains{Wide: []string{"*"}}, Service: r.service, Port: port.Number, Route: r.input(r.route, port.Number)}
	vh.OriginalDst = r.choosesPods(port) && !r.asksForBalancing() && !routesHTTP(r.route)
	p.VirtualHosts = append(p.VirtualHosts, vh)
}

// ResolveDestination says which clusters a router needs for a host that its
// routes lead to: those of all its ports and subsets.
func ResolveDestination(v *mesh.View, host string) []ClusterInput {
	s, endpoints := v.Service(host)
	for hops := 0; s != nil && s.Resolution == registry.ResolutionAlias && hops < maxAliasHops; hops++ {
		s, endpoints = v.Service(s.Alias)
	}
	if s == nil || s.Resolution == registry.ResolutionAlias {
		return nil
	}
	rule := v.Rule(s)
	var out []ClusterInput
	for _, p := range s.Ports {
		if p.Protocol == object.ProtocolUDP {
			continue
		}
		in := clusterInput(v, s, endpoints, rule, p.Number)
		out = append(out, in)
		if rule != nil {
			for _, sub := range rule.Subsets {
				in.Subset = sub
				out = append(out, in)
			}
		}
	}
	return out
}

// maxAliasHops bounds chains of ExternalName services, which may be loops.
const maxAliasHops = 8
