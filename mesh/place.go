package mesh

import (
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// A rule's host is looked at from both sides: from a service, for which the most
// specific rule is in force (View.Route), and from the rule, whose host may be one that
// no service is found by (View.Places). Both are asked for each port: a name may be a
// service's on one and a rule's on another.

// RuleOnlyPort is where a rule's host is served that no service has: nothing says
// on which ports its clients look for it, and Istio serves this one.
const RuleOnlyPort = 80

// Place is a port on which a VirtualService serves a host by itself, since no service is
// found by that name there.
type Place struct {
	Port  uint32
	Names []string          // the host or, where a Sidecar imports parts of a pattern, these
	Under *registry.Service // of a pattern that covers the host, the narrowest on the port; nil: there is none
}

// knownRules is what a View knows of VirtualServices since it was asked.
type knownRules struct {
	imports map[*traffic.VirtualService]bool
	ports   map[*traffic.VirtualService]map[uint32]string
}

// importsRule tells whether the VirtualService is exported to the scope and, with a
// Sidecar, imported by it, which it is with any of its hosts.
func (v *View) importsRule(vs *traffic.VirtualService) bool {
	if !v.exportsRoute(vs) {
		return false
	}
	if v.Sidecar == nil || len(v.Sidecar.Egress) == 0 {
		return true
	}
	is, known := v.known.imports[vs]
	if !known {
		for i := range v.Sidecar.Egress {
			is = is || v.Sidecar.Egress[i].ImportsRule(v.Scope.Namespace, vs)
		}
		if v.known.imports == nil {
			v.known.imports = map[*traffic.VirtualService]bool{}
		}
		v.known.imports[vs] = is
	}
	return is
}

// Places are where the VirtualService in force for the requests for a host serves it by
// itself: on RuleOnlyPort, on the HTTP ports of the services that other hosts of the rule
// go by, and on such ports of services whose patterns cover the host.
func (v *View) Places(host string) (*traffic.VirtualService, []Place) {
	rule := v.standing(host, nil)
	if rule == nil {
		return nil, nil
	}
	ports := map[uint32]*registry.Service{RuleOnlyPort: nil}
	for port, of := range v.portsOf(rule) {
		if of != host {
			ports[port] = nil
		}
	}
	for port, s := range v.above(host) {
		if p := s.Port(port).Protocol; p.IsHTTP() || p == object.ProtocolAuto {
			ports[port] = s
		}
	}
	return rule, v.places(rule, host, ports)
}

// ConnectionPlaces does so for connections: on other ports of services whose patterns
// cover the host.
func (v *View) ConnectionPlaces(host string) (*traffic.VirtualService, []Place) {
	rule := v.standing(host, routesConnections)
	if rule == nil {
		return nil, nil
	}
	ports := v.above(host)
	maps.DeleteFunc(ports, func(port uint32, s *registry.Service) bool { return s.Port(port).Protocol.IsHTTP() })
	return rule, v.places(rule, host, ports)
}

// standing is the VirtualService that is in force for a host by that very name; nil when
// none of those that are meant is.
func (v *View) standing(host string, meant func(*traffic.VirtualService) bool) *traffic.VirtualService {
	if l, _ := v.routes.Get(host); len(l) == 0 {
		return nil
	}
	rule, by, _ := v.route(host, func(vs *traffic.VirtualService) bool {
		_, ok := v.standsAt(vs, host)
		return ok && (meant == nil || meant(vs))
	})
	if rule == nil || by != host || rule.GatewayAPI || v.BeatenBy(host) != nil {
		return nil
	}
	if rule.CoversOthers(host) && rule.Namespace != v.Scope.Namespace && rule.Namespace != v.Config.RootNamespace {
		return nil // the names are of Services that it does not cover, see coversService
	}
	return rule
}

func (v *View) places(rule *traffic.VirtualService, host string, ports map[uint32]*registry.Service) (out []Place) {
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		if v.serves(host, port) {
			continue
		}
		if names := v.namesAt(rule, host, port); len(names) > 0 {
			out = append(out, Place{port, names, ports[port]})
		}
	}
	return out
}

// above are the services of patterns that cover the host, by their ports.
func (v *View) above(host string) map[uint32]*registry.Service {
	var out map[uint32]*registry.Service
	object.WildcardsOf(host, func(pattern string) bool {
		s, _ := v.Service(pattern)
		if s == nil {
			return true
		}
		for _, p := range s.Ports {
			if out[p.Number] == nil && p.Protocol != object.ProtocolUDP && v.Listens(s, p.Number) {
				if out == nil {
					out = map[uint32]*registry.Service{}
				}
				out[p.Number] = s
			}
		}
		return true
	})
	return out
}

// Owner is the service to which a name belongs on a port: the one that is found by it, or
// that of the narrowest pattern which covers it; nil when there is none.
func (v *View) Owner(name string, port uint32) *registry.Service {
	if v.serves(name, port) {
		return v.reach(name).service
	}
	return v.above(name)[port]
}

// portsOf are the HTTP ports of the services for which the rule is in force, each with
// the host of the rule that the services go by; "" is several hosts.
func (v *View) portsOf(rule *traffic.VirtualService) map[uint32]string {
	if len(rule.Hosts) == 1 {
		return nil // its ports are those of its own host
	}
	if out, known := v.known.ports[rule]; known {
		return out
	}
	out := map[uint32]string{}
	add := func(host, name string) {
		s, _ := v.Service(name)
		if s == nil {
			return
		}
		if r, by, _ := v.route(name, nil); r != rule || by != host {
			return
		}
		for _, p := range s.Ports {
			shared := p.Protocol.IsHTTP() || p.Protocol == object.ProtocolAuto && v.ByNameOnly(s, p.Number)
			if !shared || !v.Listens(s, p.Number) {
				continue
			}
			if first, taken := out[p.Number]; taken && first != host {
				out[p.Number] = ""
			} else {
				out[p.Number] = host
			}
		}
	}
	var wildcards object.Set
	for _, host := range rule.Routed() {
		add(host, host)
		if object.IsWildcard(host) {
			wildcards.Add(host)
		}
	}
	if len(wildcards) > 0 {
		for name := range v.Hosts() {
			object.WildcardsOf(name, func(pattern string) bool {
				if _, ok := wildcards[pattern]; ok {
					add(pattern, name)
				}
				return true
			})
		}
	}
	if v.known.ports == nil {
		v.known.ports = map[*traffic.VirtualService]map[uint32]string{}
	}
	v.known.ports[rule] = out
	return out
}

// ByNameOnly tells whether nothing but names says which service clients of the
// port mean: it has no address. A listener of a Sidecar with an address of its own is the
// first service's, whatever clients call it there.
func (v *View) ByNameOnly(s *registry.Service, port uint32) bool {
	return len(s.Addresses) == 0 && !s.Headless && v.Sidecar.BindOf(port).Address == ""
}

// serves tells whether clients find a service by the name on the port, or the one that
// the name stands for.
func (v *View) serves(host string, port uint32) bool {
	s := v.reach(host).service
	if s == nil {
		return false
	}
	p := s.Port(port)
	return p != nil && p.Protocol != object.ProtocolUDP && v.Listens(s, port)
}

// namesAt are the names that the rule serves of its host on the port.
func (v *View) namesAt(rule *traffic.VirtualService, host string, port uint32) []string {
	if v.Sidecar == nil || len(v.Sidecar.Egress) == 0 {
		return []string{host}
	}
	var names object.Set
	var out []string
	for _, l := range v.Sidecar.InCharge(port) {
		if !l.ImportsRule(v.Scope.Namespace, rule) {
			continue
		}
		for _, name := range l.Shown(v.Scope.Namespace, rule, host) {
			if name == host {
				return []string{host}
			}
			if _, by, _ := v.route(name, nil); by == host && !v.serves(name, port) && names.Add(name) {
				out = append(out, name)
			}
		}
	}
	return out
}
