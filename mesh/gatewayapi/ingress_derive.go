package gatewayapi

import (
	"fmt"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// ingressName is the name of the Gateway that is made of an Ingress. No
// VirtualService can be bound to it.
func ingressName(ref object.Ref) string { return "ingress/" + ref.Namespace + "/" + ref.Name }

// IngressGateways makes Gateways of the Ingresses that the mesh serves, which are in
// order of age. port finds the number of a Service's port by its name; 0: there is none.
func IngressGateways(config *meshconfig.MeshConfig, served []*Ingress, port func(service object.Ref, name string) uint32) []*traffic.Gateway {
	m := &ingressMaker{config: config, port: port}
	return m.gateways(served)
}

// ingressMaker makes Gateways of Ingresses.
type ingressMaker struct {
	config *meshconfig.MeshConfig
	// port finds the number of a Service's port by its name; 0: there is none.
	port func(service object.Ref, name string) uint32
	// rules are those of each host, of all Ingresses together, since the longest
	// path of a host wins, whose ever it is.
	rules map[string]*traffic.VirtualService
	// served are the Secrets of names that have a TLS server already.
	served map[string]string
}

// gateways are made of the Ingresses, which are in order of age: one for each, with
// a server for HTTP and one for each entry of spec.tls.
func (m *ingressMaker) gateways(all []*Ingress) []*traffic.Gateway {
	m.makeRules(all)
	m.served = map[string]string{}
	var out []*traffic.Gateway
	for _, in := range all {
		g := &traffic.Gateway{Ref: in.Ref, Name: ingressName(in.Ref), Namespace: in.Ref.Namespace, Created: in.Created, Selector: ingressSelector(m.config)}
		plain := &traffic.Server{Gateway: g, Index: -1, Number: 80, Protocol: object.ProtocolHTTP, Hosts: []traffic.GatewayHost{{Namespace: "*", Host: "*"}}, Bound: m.bound(in, "*")}
		plain.Spec = &networking.Server{Port: &networking.Port{Number: 80, Protocol: "HTTP", Name: "http-80-ingress-" + in.Ref.Name + "-" + in.Ref.Namespace}, Hosts: []string{"*"}}
		g.Servers = []*traffic.Server{plain}
		for i, t := range in.tls {
			if s := m.secured(in, i, t.Hosts, t.SecretName); s != nil {
				s.Gateway = g
				g.Servers = append(g.Servers, s)
			}
		}
		out = append(out, g)
	}
	return out
}

// secured is the server of an entry of spec.tls; nil when others serve its hosts
// with the same Secret.
func (m *ingressMaker) secured(in *Ingress, i int, hosts []string, secret string) *traffic.Server {
	if len(hosts) == 0 {
		hosts = []string{"*"}
	}
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return m.served[h] == secret })
	if secret == "" || len(hosts) == 0 {
		return nil
	}
	s := &traffic.Server{Index: i, Number: 443, Protocol: object.ProtocolHTTPS}
	s.Spec = &networking.Server{
		Port:  &networking.Port{Number: 443, Protocol: "HTTPS", Name: fmt.Sprintf("https-443-ingress-%s-%s-%d", in.Ref.Name, in.Ref.Namespace, i)},
		Hosts: hosts, Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_SIMPLE, CredentialName: secret},
	}
	for _, h := range hosts {
		m.served[h] = secret
		s.Hosts = append(s.Hosts, traffic.GatewayHost{Namespace: "*", Host: h})
		s.Bound = append(s.Bound, m.bound(in, h)...)
	}
	return s
}

// bound are the rules of the Ingress' hosts as far as a server for the host serves
// them.
func (m *ingressMaker) bound(in *Ingress, server string) (out []traffic.Bound) {
	seen := map[string]bool{}
	for _, p := range in.Paths() {
		if h, ok := object.IntersectHosts(server, p.Host); ok && !seen[h] && m.rules[p.Host] != nil {
			seen[h] = true
			out = append(out, traffic.Bound{VirtualService: m.rules[p.Host], Host: h})
		}
	}
	return out
}

// Paths is the paths, and for each host and for all what no path matches.
func (in *Ingress) Paths() []IngressPath {
	out := slices.Clone(in.paths)
	if in.fallback == nil {
		return out
	}
	var hosts []string
	for _, p := range in.paths {
		if p.Host != "*" && !slices.Contains(hosts, p.Host) {
			hosts = append(hosts, p.Host)
		}
	}
	for _, h := range append(hosts, "*") {
		p := *in.fallback
		p.Host = h
		out = append(out, p)
	}
	return out
}

// makeRules joins the paths of all Ingresses by host: exact ones first, then the
// longest, of equal ones the oldest.
func (m *ingressMaker) makeRules(all []*Ingress) {
	m.rules = map[string]*traffic.VirtualService{}
	rules := map[string][]mergedRule{}
	for _, in := range all {
		for _, p := range in.Paths() {
			v := m.rules[p.Host]
			if v == nil {
				v = &traffic.VirtualService{Ref: in.Ref, Namespace: in.Ref.Namespace, Created: in.Created, Hosts: []string{p.Host}, GatewayAPI: true, Spec: &networking.VirtualService{Hosts: []string{p.Host}}}
				m.rules[p.Host] = v
			}
			if !slices.Contains(v.Sources, in.Ref) {
				v.Sources = append(v.Sources, in.Ref)
			}
			rules[p.Host] = append(rules[p.Host], mergedRule{m.rule(in.Ref, p), object.Origin{Ref: in.Ref, Field: p.Field}})
		}
	}
	for host, v := range m.rules {
		slices.SortStableFunc(rules[host], func(a, b mergedRule) int {
			return compareMatches(a.Match[0], b.Match[0])
		})
		for _, r := range rules[host] {
			v.AddHTTP(r.HTTPRoute, r.origin)
		}
		v.SetDestinations(object.Domain)
	}
}

// rule leads one path to its Service; a port that has no number gets 500.
func (m *ingressMaker) rule(in object.Ref, p IngressPath) *networking.HTTPRoute {
	out := &networking.HTTPRoute{Match: []*networking.HTTPMatchRequest{p.match}}
	number := uint32(p.To.Port.Number)
	if p.ByName {
		number = m.port(object.Ref{Kind: object.KindService, Namespace: in.Namespace, Name: p.To.Name}, p.To.Port.Name)
	}
	if number == 0 {
		out.DirectResponse = &networking.HTTPDirectResponse{Status: 500}
		return out
	}
	out.Route = []*networking.HTTPRouteDestination{{
		Destination: &networking.Destination{Host: p.To.Name + "." + in.Namespace + ".svc." + object.Domain, Port: &networking.PortSelector{Number: number}}, Weight: 1,
	}}
	return out
}
