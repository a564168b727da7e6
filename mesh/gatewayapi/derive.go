package gatewayapi

import (
	"slices"

	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// GatewaySecretScheme begins the credential names of servers that are made of
// listeners of the Gateway API: "kubernetes-gateway://namespace/name".
const GatewaySecretScheme = "kubernetes-gateway://"

// NameOf is the name of the Gateway that is made of one of the Gateway API, or of a
// ListenerSet. No VirtualService can be bound to it.
func NameOf(ref object.Ref) string {
	if ref.Kind == object.KindKubeGateway {
		return Group + "/" + ref.Namespace + "/" + ref.Name
	}
	return string(ref.Kind) + "/" + ref.Namespace + "/" + ref.Name
}

// Derive makes of the listeners that a Gateway of the Gateway API or a ListenerSet
// declares, and of the routes on them, a Gateway with servers, which bring their routes
// along: nil when this control plane serves no such listeners. The servers of a ListenerSet
// are on the pods of its Gateway, and come after those of the Gateway itself.
func (b *Builder) Derive(w *View, ref object.Ref, selector func(host string) (traffic.PodSelector, bool)) *traffic.Gateway {
	rules := b.merges(ref)
	defer b.keepMerged(rules)
	g := w.ServedBy(ref)
	if g == nil {
		return nil
	}
	d, listeners := g.declaredIn(ref)
	if d == nil {
		return nil
	}
	out := &traffic.Gateway{Ref: d.Ref, Name: NameOf(d.Ref), Namespace: d.Ref.Namespace, Created: g.since(d), Certificate: w.clientCertificate(g)}
	owner := b.ownersOf(w, g)
	if g.managed() {
		out.Pods = []traffic.PodSelector{{Namespace: g.Ref.Namespace, Labels: map[string]string{GatewayNameLabel: GatewayLabel(g.Ref.Name)}}}
	}
	for _, host := range g.Services {
		if s, ok := selector(host); ok && w.ForeignAddress(g) == "" && (s.Namespace == g.Ref.Namespace || !w.Guarded(g.Ref)) {
			out.Pods = append(out.Pods, s)
		}
	}
	attached := w.routesOn(d, listeners)
	for _, l := range listeners {
		if !w.derives(g, l) {
			continue
		}
		for _, s := range w.servers(g, l, attached[l], owner, rules) {
			s.Gateway = out
			out.Servers = append(out.Servers, s)
		}
	}
	return out
}

// servers are those of one listener: one, but for TLS that ends here and is led
// on by the name that clients ask for, which takes one for each name.
func (w *View) servers(g *Gateway, l *listener, attached []attachment, owner owners, rules *merges) []*traffic.Server {
	s := &traffic.Server{Index: l.index, Number: uint32(l.spec.Port), Listener: string(l.spec.Name), Hosts: []traffic.GatewayHost{{Namespace: "*", Host: l.hostname}}}
	s.Spec = &networking.Server{Port: &networking.Port{Number: s.Number, Name: string(l.spec.Name), Protocol: string(l.spec.Protocol)}, Hosts: []string{l.hostname}}
	s.Protocol, _ = object.ParseProtocol(string(l.spec.Protocol))
	if l.sort() == traffic.SortTLS {
		s.Spec.Tls = &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_PASSTHROUGH}
		if deref(l.spec.TLS.Mode, string(gatewayv1.TLSModeTerminate)) == string(gatewayv1.TLSModeTerminate) {
			s.Spec.Tls.Mode, _ = l.terminateMode()
			if l.clients != nil {
				s.ClientRoots, _ = w.clientRoots(g, l)
				s.Spec.Tls.Mode = networking.ServerTLSSettings_MUTUAL
				if l.clients.fallback {
					s.Spec.Tls.Mode, s.Spec.Tls.InsecureSkipVerify = networking.ServerTLSSettings_OPTIONAL_MUTUAL, wrapperspb.Bool(true)
				}
			}
			secrets, _ := w.certificates(l)
			for _, c := range secrets {
				s.Spec.Tls.CredentialNames = append(s.Spec.Tls.CredentialNames, GatewaySecretScheme+c.Namespace+"/"+c.Name)
			}
		}
	}
	byHost := map[string][]*Route{}
	var hosts []string
	for _, a := range attached {
		for _, h := range a.hosts {
			if owner.of(l, h) != l {
				continue
			}
			if byHost[h] == nil {
				hosts = append(hosts, h)
			}
			byHost[h] = append(byHost[h], a.route)
		}
	}
	slices.Sort(hosts)
	for _, h := range hosts {
		s.Bound = append(s.Bound, traffic.Bound{VirtualService: rules.of(w, l, byHost[h], merging{host: h, names: s.Spec.Tls.GetMode() == networking.ServerTLSSettings_PASSTHROUGH}), Host: h})
	}
	if s.Protocol != object.ProtocolTLS || s.Spec.Tls.Mode == networking.ServerTLSSettings_PASSTHROUGH {
		return []*traffic.Server{s}
	}
	var out []*traffic.Server
	if !slices.Contains(hosts, l.hostname) { // what no route leads on is the listener's nevertheless
		rest := *s
		rest.Bound = nil
		out = append(out, &rest)
	}
	for _, b := range s.Bound {
		one := *s
		one.Hosts, one.Bound = []traffic.GatewayHost{{Namespace: "*", Host: b.Host}}, []traffic.Bound{b}
		out = append(out, &one)
	}
	return out
}

// merging says how routes are joined.
type merging struct {
	host string // of the VirtualService
	port uint32 // that its rules are for; 0: any
	// names leads TLS on by the name that clients ask for; else it has ended.
	names bool
	// mesh is for the clients of a service: the hostnames of TLSRoutes are the
	// names that they ask for.
	mesh bool
}

// mergedRule is a rule with one match, and where it was written.
type mergedRule struct {
	*networking.HTTPRoute
	origin object.Origin
}

// merge joins routes, which are in order of precedence, to one VirtualService:
// the most specific match first.
func (w *View) merge(routes []*Route, how merging) *traffic.VirtualService {
	first := routes[0]
	v := &traffic.VirtualService{Ref: first.Ref, Namespace: first.Ref.Namespace, Created: first.created, Hosts: []string{how.host}, GatewayAPI: true,
		Spec: &networking.VirtualService{Hosts: []string{how.host}}}
	for _, r := range routes {
		v.Sources = append(v.Sources, r.Ref)
	}
	w.addRules(v, routes, how)
	v.SetDestinations(object.Domain)
	v.Destinations = slices.DeleteFunc(v.Destinations, func(h string) bool { return h == NoBackend })
	return v
}

// addRules adds the rules of routes to a VirtualService.
func (w *View) addRules(v *traffic.VirtualService, routes []*Route, how merging) {
	var http []mergedRule
	for _, r := range routes {
		for _, rule := range r.http {
			for _, m := range rule.matches {
				http = append(http, mergedRule{w.httpRule(r.Ref, rule, onPort(m, how.port), how.mesh), rule.origin})
			}
		}
		for _, rule := range r.l4 {
			w.addL4Rule(v, r, rule, how)
		}
	}
	slices.SortStableFunc(http, func(a, b mergedRule) int { return compareMatches(a.Match[0], b.Match[0]) })
	for _, e := range http {
		v.AddHTTP(e.HTTPRoute, e.origin)
	}
}

func (w *View) addL4Rule(v *traffic.VirtualService, r *Route, rule l4Rule, how merging) {
	var to []*networking.RouteDestination
	for _, b := range rule.backends {
		if b.weight > 0 {
			d, _ := w.Destination(r.Ref, b, how.mesh)
			to = append(to, &networking.RouteDestination{Destination: d, Weight: b.weight})
		}
	}
	if len(to) == 0 { // connections are closed
		to = []*networking.RouteDestination{{Destination: &networking.Destination{Host: NoBackend, Port: &networking.PortSelector{Number: 1}}}}
	}
	if r.Ref.Kind == object.KindTLSRoute && how.names {
		names := []string{how.host}
		if how.mesh {
			if names = r.Hostnames; len(names) == 0 {
				names = []string{"*"}
			}
		}
		v.AddTLS(&networking.TLSRoute{Match: []*networking.TLSMatchAttributes{{SniHosts: names, Port: how.port}}, Route: to}, rule.origin)
		return
	}
	t := &networking.TCPRoute{Route: to}
	if how.port != 0 {
		t.Match = []*networking.L4MatchAttributes{{Port: how.port}}
	}
	v.AddTCP(t, rule.origin)
}

// onPort is the match for requests to one port; 0: any.
func onPort(m *networking.HTTPMatchRequest, port uint32) *networking.HTTPMatchRequest {
	if port == 0 {
		return m
	}
	out := traffic.CopyOf(m)
	out.Port = port
	return out
}

// httpRule is a rule as VirtualServices have them, with one of its matches. A
// backend that may not be used keeps its share, and NoBackend gets it.
func (w *View) httpRule(route object.Ref, rule httpRule, m *networking.HTTPMatchRequest, mesh bool) *networking.HTTPRoute {
	out := traffic.CopyOf(rule.served)
	out.Match = []*networking.HTTPMatchRequest{m}
	if out.Redirect != nil && !rule.refused {
		return out
	}
	for _, b := range rule.backends {
		if b.weight > 0 && !rule.refused {
			d, _ := w.Destination(route, b, mesh)
			out.Route = append(out.Route, &networking.HTTPRouteDestination{Destination: d, Weight: b.weight, Headers: b.headers})
		}
	}
	if len(out.Route) == 0 {
		out.Redirect, out.Rewrite, out.DirectResponse = nil, nil, &networking.HTTPDirectResponse{Status: 500}
		return out
	}
	for _, b := range rule.mirrors {
		if d, problem := w.Destination(route, b, mesh); problem == (BackendProblem{}) && b.percent > 0 {
			out.Mirrors = append(out.Mirrors, &networking.HTTPMirrorPolicy{Destination: d, Percentage: &networking.Percent{Value: b.percent}})
		}
	}
	return out
}
