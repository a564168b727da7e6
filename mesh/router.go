package mesh

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// RouterPort is one listener of a router, with the servers that share it.
type RouterPort struct {
	Bind    string            // address, "" is any
	Port    uint32            // where the router listens
	Servers []*traffic.Server // in order of precedence; all of one sort, see Server.Plain
}

// privilegedPorts are the port numbers below, on which ordinary users cannot listen.
const privilegedPorts = 1024

// maxBinds is how many addresses of their own servers may name on one port of a
// router: each takes a listener with all servers of the port.
const maxBinds = 8

// maxForeignPorts is how many ports the Gateways of one namespace may open on pods of
// another: each is a listener, and hundreds of them keep a proxy from all else.
const maxForeignPorts = 100

// Ports are the listeners of the router of the view, whose Pod is w: the
// servers of all Gateways that select it, by the port that their number means
// for the Pod. A server without an address of its own is served at every address,
// those that others name included, so that nobody gets a port to himself by
// naming one. Findings tell which servers lose to others.
func (v *View) Ports(w *registry.Workload) ([]RouterPort, []object.Finding) {
	servers, order, findings := v.serversOf(w)
	var out []RouterPort
	for _, port := range order {
		var binds []string
		for _, s := range servers[port] {
			if slices.Contains(binds, s.Bind()) {
				continue
			}
			if len(binds) > maxBinds {
				findings = append(findings, s.Finding("bind", object.CodeConflict, servers[port][0], "servers of older Gateways name %d other addresses on port %d; the server is left out: leave out bind", maxBinds, port))
				continue
			}
			binds = append(binds, s.Bind())
		}
		for _, bind := range binds {
			p, lost := share(RouterPort{Bind: bind, Port: port}, servers[port])
			findings = append(findings, lost...)
			if len(p.Servers) > 0 {
				out = append(out, p)
			}
		}
	}
	return out, findings
}

// serversOf are the servers of the router by the port where it listens, oldest
// first, and the ports in the order of their oldest server.
func (v *View) serversOf(w *registry.Workload) (servers map[uint32][]*traffic.Server, order []uint32, findings []object.Finding) {
	services := v.ServicesOf(w)
	servers = map[uint32][]*traffic.Server{}
	gateways := v.SelectedGateways()
	owners := v.hostOwners(gateways)
	opened := map[string]int{} // ports by namespaces other than the router's
	for _, g := range gateways {
		for _, s := range g.Servers {
			port := routerPort(s.Number, services, w)
			if port < privilegedPorts && v.Scope.Unprivileged {
				findings = append(findings, object.Finding{Object: g.Ref, Field: s.Field(), Code: object.CodeUnsupported,
					Message: fmt.Sprintf("the gateway's pods say that they cannot listen on port %d; the server is left out: give it a port of their Service whose targetPort is 1024 or more", port)})
				continue
			}
			s, lost := owners.Keep(s)
			findings = append(findings, lost...)
			if s == nil {
				continue
			}
			if f, lacks := lacksPort(s, services, w); lacks {
				findings = append(findings, f)
			}
			if servers[port] == nil && g.Namespace != v.Scope.Namespace {
				if opened[g.Namespace] == maxForeignPorts {
					findings = append(findings, s.Finding("port.number", object.CodeInvalid, nil, "the Gateways of namespace %s open %d other ports on pods of namespace %s, the most that those of another namespace may; the server is left out: use a port that is open, or pods of your own", g.Namespace, maxForeignPorts, v.Scope.Namespace))
					continue
				}
				opened[g.Namespace]++
			}
			if servers[port] == nil {
				order = append(order, port)
			}
			servers[port] = append(servers[port], s)
		}
	}
	return servers, order, findings
}

// share gives the port to those servers that are served at its address and can
// share it with the oldest of them.
func share(p RouterPort, servers []*traffic.Server) (RouterPort, []object.Finding) {
	var findings []object.Finding
	for _, s := range servers {
		if s.Bind() != "" && s.Bind() != p.Bind {
			continue
		}
		if len(p.Servers) > 0 {
			head := p.Servers[0]
			switch {
			case traffic.SortOf(head) != traffic.SortOf(s):
				findings = append(findings, s.Finding("", object.CodeConflict, head, "port %d already serves %s for an older server; this server is left out: use another port", s.Number, head.Spec.Port.Protocol))
				continue
			case traffic.SortOf(s) == traffic.SortTCP:
				findings = append(findings, s.Finding("", object.CodeConflict, head, "port %d already serves TCP for an older server; this server is left out: use another port", s.Number))
				continue
			}
		}
		p.Servers = append(p.Servers, s)
	}
	return p, findings
}

// lacksPort tells whether the router's pods have Services and none of them leads
// to the server.
func lacksPort(s *traffic.Server, services []*registry.Service, w *registry.Workload) (object.Finding, bool) {
	if len(services) == 0 || s.Gateway.Ref.Kind == object.KindIngress {
		return object.Finding{}, false
	}
	for _, service := range services {
		for _, p := range service.Ports {
			if p.Number == s.Number || registry.TargetPort(p, w) == s.Number {
				return object.Finding{}, false
			}
		}
	}
	return s.Finding("port.number", object.CodePortNotFound, nil, "no Service of the gateway's pods has port %d, so that clients reach the server at the pods' own addresses only: add the port to Service %s/%s, or use one of its ports",
		s.Number, services[0].Namespace, services[0].Name), true
}

func (v *View) hostOwners(gateways []*traffic.Gateway) traffic.HostOwners {
	if !v.Config.OwnedGatewayHosts {
		return nil
	}
	owners := traffic.HostOwners{}
	for _, g := range gateways { // oldest first
		for _, s := range g.Servers {
			for _, h := range s.Named() {
				if owners.Of(h) == nil {
					owners[h] = s
				}
			}
		}
	}
	return owners
}

// routerPort is where a router listens for a server's port: a port of a
// Service that selects the router means that port's target, any other number
// means itself.
func routerPort(number uint32, services []*registry.Service, w *registry.Workload) uint32 {
	for _, s := range services {
		if p := s.Port(number); p != nil {
			if t := registry.TargetPort(*p, w); t != 0 {
				return t
			}
		}
	}
	return number
}

// BoundTo are the VirtualServices that the server serves, with the hosts that
// they have in common with it, in order of precedence: by host those that are
// private to the router's namespace, then the others, each by age. How widely
// others export theirs is for them to choose and gives them no precedence.
func (v *View) BoundTo(s *traffic.Server) []traffic.Bound {
	if s.Gateway.Ref.Kind != object.KindGateway {
		return slices.DeleteFunc(slices.Clone(s.Bound), func(b traffic.Bound) bool { return !s.May(b.Host) })
	}
	var out []traffic.Bound
	for _, vs := range v.VirtualServicesOf(s.Gateway.Name) {
		if !v.exportsRoute(vs) {
			continue
		}
		seen := map[string]bool{}
		for _, h := range vs.Hosts {
			for _, gh := range s.Hosts {
				if !gh.Admits(vs.Namespace) {
					continue
				}
				if host, ok := object.IntersectHosts(gh.Host, h); ok && !seen[host] && s.May(host) {
					seen[host] = true
					out = append(out, traffic.Bound{VirtualService: vs, Host: host})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b traffic.Bound) int {
		if c := strings.Compare(a.Host, b.Host); c != 0 {
			return c
		}
		return v.rank(a.VirtualService) - v.rank(b.VirtualService)
	})
	return out
}

// rank orders VirtualServices of a host: the router's own come first.
func (v *View) rank(vs *traffic.VirtualService) int {
	if v.OwnRoute(vs) {
		return 0
	}
	return 1
}

// OwnRoute tells whether a VirtualService is private to the namespace of the
// router, whose pods are its owner's.
func (v *View) OwnRoute(vs *traffic.VirtualService) bool {
	return vs.Namespace == v.Scope.Namespace && vs.ExportTo.Private(vs.Namespace, v.Config.DefaultVirtualServiceExportTo)
}
