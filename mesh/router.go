package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// RouterPort is one listener of a router, with the servers that share it.
type RouterPort struct {
	Bind    string    // address, "" is any
	Port    uint32    // where the router listens
	Servers []*Server // in order of precedence; all of one sort, see Server.Plain
}

// privilegedPorts are the port numbers below, on which ordinary users cannot listen.
const privilegedPorts = 1024

// Plain tells whether requests come to the server as plain HTTP.
func (s *Server) Plain() bool { return s.Protocol.IsHTTP() }

// Ports are the listeners of the router of the view, whose Pod is w: the
// servers of all Gateways that select it, by the port that their number means
// for the Pod. Findings tell which servers lose to others.
func (v *View) Ports(w *Workload) ([]RouterPort, []Finding) {
	var findings []Finding
	services := v.ServicesOf(w)
	var out []RouterPort
	claimed := map[string]*Server{} // SNI hosts by listener
	for _, g := range v.SelectedGateways() {
		for _, s := range g.Servers {
			port := routerPort(s.Number, services, w)
			lost := func(code Code, winner *Server, format string, args ...any) {
				findings = append(findings, Finding{Object: g.Ref, Field: s.Field(), Code: code, Winner: winner.Gateway.Ref, Message: fmt.Sprintf(format, args...)})
			}
			if port < privilegedPorts && v.Scope.Unprivileged {
				findings = append(findings, Finding{Object: g.Ref, Field: s.Field(), Code: CodeUnsupported,
					Message: fmt.Sprintf("the gateway's pods say that they cannot listen on port %d; the server is left out: give it a port of their Service whose targetPort is 1024 or more", port)})
				continue
			}
			i := slices.IndexFunc(out, func(p RouterPort) bool { return p.Port == port && p.Bind == s.Spec.Bind })
			if i < 0 {
				out = append(out, RouterPort{Bind: s.Spec.Bind, Port: port})
				i = len(out) - 1
			}
			if len(out[i].Servers) > 0 {
				head := out[i].Servers[0]
				if sortOf(head) != sortOf(s) {
					lost(CodeConflict, head, "port %d already serves %s for an older server; this server is left out: use another port", s.Number, head.Spec.Port.Protocol)
					continue
				}
				if sortOf(s) == sortTCP {
					lost(CodeConflict, head, "port %d already serves TCP for an older server; this server is left out: use another port", s.Number)
					continue
				}
			}
			if sortOf(s) == sortTLS {
				if winner := claimSNI(claimed, out[i], s); winner != nil {
					lost(CodeConflict, winner, "a host of this server is already served with TLS on port %d; this server is left out: every host may stand in one TLS server of a port", s.Number)
					continue
				}
			}
			out[i].Servers = append(out[i].Servers, s)
		}
	}
	out = slices.DeleteFunc(out, func(p RouterPort) bool { return len(p.Servers) == 0 })
	return out, findings
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

// claimSNI takes the hosts of a TLS server for it, unless another server of
// the listener has one of them.
func claimSNI(claimed map[string]*Server, p RouterPort, s *Server) *Server {
	key := func(h GatewayHost) string { return fmt.Sprintf("%s:%d %s", p.Bind, p.Port, h.Host) }
	for _, h := range s.Hosts {
		if w := claimed[key(h)]; w != nil {
			return w
		}
	}
	for _, h := range s.Hosts {
		claimed[key(h)] = s
	}
	return nil
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

// BoundTo are the VirtualServices that the server serves, with the hosts that
// they have in common with it, in order of precedence: by host those that are
// private to the router's namespace, then those that are exported to it, then
// public ones, each by age.
func (v *View) BoundTo(s *Server) []Bound {
	if s.Gateway.Ref.Kind != KindGateway {
		return s.Bound
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
				if host, ok := IntersectHosts(gh.Host, h); ok && !seen[host] {
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

// rank orders VirtualServices of a host by how few they are exported to.
func (v *View) rank(vs *VirtualService) int {
	switch {
	case vs.Namespace == v.Scope.Namespace && vs.ExportTo.Private(vs.Namespace, v.Config.DefaultVirtualServiceExportTo):
		return 0
	case slices.Contains(vs.ExportTo, v.Scope.Namespace):
		return 1
	}
	return 2
}
