package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// RouterPort is one listener of a router, with the servers that share it.
type RouterPort struct {
	Bind    string    // address, "" is any
	Port    uint32    // where the router listens
	Servers []*Server // in order of precedence; all of one sort, see Server.Plain
}

// privilegedPorts are the port numbers below, on which ordinary users cannot listen.
const privilegedPorts = 1024

// maxBinds is how many addresses of their own servers may name on one port of a
// router: each takes a listener with all servers of the port.
const maxBinds = 8

// maxForeignPorts is how many ports the Gateways of one namespace may open on pods of
// another: each is a listener, and hundreds of them keep a proxy from all else.
const maxForeignPorts = 100

// Plain tells whether requests come to the server as plain HTTP.
func (s *Server) Plain() bool { return s.Protocol.IsHTTP() }

// Bind is the address that the server listens at; "" is any, however it is
// written.
func (s *Server) Bind() string {
	a, err := netip.ParseAddr(s.Spec.GetBind())
	if err != nil || a.Unmap().IsUnspecified() {
		return ""
	}
	return a.Unmap().String()
}

// Ports are the listeners of the router of the view, whose Pod is w: the
// servers of all Gateways that select it, by the port that their number means
// for the Pod. A server without an address of its own is served at every address,
// those that others name included, so that nobody gets a port to himself by
// naming one. Findings tell which servers lose to others.
func (v *View) Ports(w *Workload) ([]RouterPort, []object.Finding) {
	servers, order, findings := v.serversOf(w)
	var out []RouterPort
	for _, port := range order {
		var binds []string
		for _, s := range servers[port] {
			if slices.Contains(binds, s.Bind()) {
				continue
			}
			if len(binds) > maxBinds {
				findings = append(findings, s.finding("bind", object.CodeConflict, servers[port][0], "servers of older Gateways name %d other addresses on port %d; the server is left out: leave out bind", maxBinds, port))
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
func (v *View) serversOf(w *Workload) (servers map[uint32][]*Server, order []uint32, findings []object.Finding) {
	services := v.ServicesOf(w)
	servers = map[uint32][]*Server{}
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
			s, lost := owners.keep(s)
			findings = append(findings, lost...)
			if s == nil {
				continue
			}
			if f, lacks := lacksPort(s, services, w); lacks {
				findings = append(findings, f)
			}
			if servers[port] == nil && g.Namespace != v.Scope.Namespace {
				if opened[g.Namespace] == maxForeignPorts {
					findings = append(findings, s.finding("port.number", object.CodeInvalid, nil, "the Gateways of namespace %s open %d other ports on pods of namespace %s, the most that those of another namespace may; the server is left out: use a port that is open, or pods of your own", g.Namespace, maxForeignPorts, v.Scope.Namespace))
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
func share(p RouterPort, servers []*Server) (RouterPort, []object.Finding) {
	var findings []object.Finding
	for _, s := range servers {
		if s.Bind() != "" && s.Bind() != p.Bind {
			continue
		}
		if len(p.Servers) > 0 {
			head := p.Servers[0]
			switch {
			case sortOf(head) != sortOf(s):
				findings = append(findings, s.finding("", object.CodeConflict, head, "port %d already serves %s for an older server; this server is left out: use another port", s.Number, head.Spec.Port.Protocol))
				continue
			case sortOf(s) == sortTCP:
				findings = append(findings, s.finding("", object.CodeConflict, head, "port %d already serves TCP for an older server; this server is left out: use another port", s.Number))
				continue
			}
		}
		p.Servers = append(p.Servers, s)
	}
	return p, findings
}

// finding is one about a field of the server ("" is the server itself).
func (s *Server) finding(field string, code object.Code, winner *Server, format string, args ...any) object.Finding {
	f := object.Finding{Object: s.Gateway.Ref, Field: s.FieldOf(field), Code: code, Message: fmt.Sprintf(format, args...)}
	if winner != nil {
		f.Winner = winner.Gateway.Ref
	}
	return f
}

// lacksPort tells whether the router's pods have Services and none of them leads
// to the server.
func lacksPort(s *Server, services []*Service, w *Workload) (object.Finding, bool) {
	if len(services) == 0 || s.Gateway.Ref.Kind == object.KindIngress {
		return object.Finding{}, false
	}
	for _, service := range services {
		for _, p := range service.Ports {
			if p.Number == s.Number || targetPort(p, w) == s.Number {
				return object.Finding{}, false
			}
		}
	}
	return s.finding("port.number", object.CodePortNotFound, nil, "no Service of the gateway's pods has port %d, so that clients reach the server at the pods' own addresses only: add the port to Service %s/%s, or use one of its ports",
		s.Number, services[0].Namespace, services[0].Name), true
}

type serverSort uint8

const (
	sortHTTP serverSort = iota
	sortTLS
	sortTCP
)

func sortOf(s *Server) serverSort {
	switch {
	case s.Plain():
		return sortHTTP
	case s.Protocol.IsTLS():
		return sortTLS
	}
	return sortTCP
}

// hostOwners are the hosts of a router's Gateways, each with the oldest of those
// that have it. It is nil in a mesh that does not give hosts to namespaces
// (Settings.OwnedGatewayHosts).
type hostOwners map[string]*Server

func (v *View) hostOwners(gateways []*Gateway) hostOwners {
	if !v.Config.OwnedGatewayHosts {
		return nil
	}
	owners := hostOwners{}
	for _, g := range gateways { // oldest first
		for _, s := range g.Servers {
			for _, h := range s.named() {
				if owners.of(h) == nil {
					owners[h] = s
				}
			}
		}
	}
	return owners
}

// of is the server that owns a host: by itself, or else by the narrowest pattern
// that covers it.
func (o hostOwners) of(host string) *Server {
	owner := o[host]
	if owner == nil {
		object.WildcardsOf(host, func(pattern string) bool { owner = o[pattern]; return owner == nil })
	}
	return owner
}

// named are the hosts that the server has by its object.
func (s *Server) named() (out []string) {
	if s.Gateway.Ref.Kind == object.KindIngress && s.Index < 0 { // for HTTP, those of its rules
		for _, b := range s.Bound {
			out = append(out, b.Host)
		}
		return out
	}
	for _, h := range s.Hosts {
		out = append(out, h.Host)
	}
	return out
}

// keep is the server with those of its hosts that belong to its namespace, nil
// when none do. What others own of a pattern is taken out of the rules that are
// bound to it, see View.BoundTo.
func (o hostOwners) keep(s *Server) (*Server, []object.Finding) {
	if o == nil {
		return s, nil
	}
	out := *s
	out.owners = o
	if s.Gateway.Ref.Kind == object.KindIngress && s.Index < 0 {
		return &out, nil // its hosts are those of its rules
	}
	out.Hosts = nil
	var findings []object.Finding
	for _, h := range s.Hosts {
		if owner := o.of(h.Host); owner.Gateway.Namespace != s.Gateway.Namespace {
			findings = append(findings, s.finding("hosts", object.CodeConflict, owner, "host %s belongs to namespace %s, whose Gateway is older (the mesh setting gatewayHosts is owned); it is left out here: use another host", h.Host, owner.Gateway.Namespace))
			continue
		}
		out.Hosts = append(out.Hosts, h)
	}
	if len(out.Hosts) == 0 {
		return nil, findings
	}
	return &out, findings
}

// routerPort is where a router listens for a server's port: a port of a
// Service that selects the router means that port's target, any other number
// means itself.
func routerPort(number uint32, services []*Service, w *Workload) uint32 {
	for _, s := range services {
		if p := s.Port(number); p != nil {
			if t := targetPort(*p, w); t != 0 {
				return t
			}
		}
	}
	return number
}

// Bound is a VirtualService as far as it is served by a host of a server.
type Bound struct {
	VirtualService *VirtualService
	Host           string // the narrower of the two hosts
}

// Since is when a rule came to be bound to a server: when the younger of the two
// objects was created.
func (b Bound) Since(s *Server) time.Time {
	if b.VirtualService.Created.After(s.Gateway.Created) {
		return b.VirtualService.Created
	}
	return s.Gateway.Created
}

// BoundTo are the VirtualServices that the server serves, with the hosts that
// they have in common with it, in order of precedence: by host those that are
// private to the router's namespace, then the others, each by age. How widely
// others export theirs is for them to choose and gives them no precedence.
func (v *View) BoundTo(s *Server) []Bound {
	if s.Gateway.Ref.Kind != object.KindGateway {
		return slices.DeleteFunc(slices.Clone(s.Bound), func(b Bound) bool { return !s.May(b.Host) })
	}
	var out []Bound
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
					out = append(out, Bound{vs, host})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Bound) int {
		if c := strings.Compare(a.Host, b.Host); c != 0 {
			return c
		}
		return v.rank(a.VirtualService) - v.rank(b.VirtualService)
	})
	return out
}

// May tells whether the server's namespace may serve the host.
func (s *Server) May(host string) bool {
	if s.owners == nil {
		return true
	}
	owner := s.owners.of(host)
	return owner == nil || owner.Gateway.Namespace == s.Gateway.Namespace
}

// rank orders VirtualServices of a host: the router's own come first.
func (v *View) rank(vs *VirtualService) int {
	if v.OwnRoute(vs) {
		return 0
	}
	return 1
}

// OwnRoute tells whether a VirtualService is private to the namespace of the
// router, whose pods are its owner's.
func (v *View) OwnRoute(vs *VirtualService) bool {
	return vs.Namespace == v.Scope.Namespace && vs.ExportTo.Private(vs.Namespace, v.Config.DefaultVirtualServiceExportTo)
}
