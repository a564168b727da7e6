package traffic

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

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

// Finding is one about a field of the server ("" is the server itself).
func (s *Server) Finding(field string, code object.Code, winner *Server, format string, args ...any) object.Finding {
	f := object.Finding{Object: s.Gateway.Ref, Field: s.FieldOf(field), Code: code, Message: fmt.Sprintf(format, args...)}
	if winner != nil {
		f.Winner = winner.Gateway.Ref
	}
	return f
}

// ServerSort is what servers of one port have to have in common.
type ServerSort uint8

// The sorts.
const (
	SortHTTP ServerSort = iota
	SortTLS
	SortTCP
)

// SortOf is the sort of a server.
func SortOf(s *Server) ServerSort {
	switch {
	case s.Plain():
		return SortHTTP
	case s.Protocol.IsTLS():
		return SortTLS
	}
	return SortTCP
}

// Rules is one of the lists of rules of a VirtualService, by its field.
type Rules string

// The lists.
const (
	HTTPRules Rules = "http"
	TCPRules  Rules = "tcp"
	TLSRules  Rules = "tls"
)

// Serves tells whether rules of the list can be in force at the server: what it does not
// read of a connection they cannot look at.
func (s *Server) Serves(r Rules) bool {
	mode := s.Spec.GetTls().GetMode()
	passes := s.Protocol.IsTLS() && mode == networking.ServerTLSSettings_PASSTHROUGH
	switch {
	case s.Protocol.IsTLS() && mode == networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		return true // which is told of as a whole
	case r == HTTPRules:
		return s.Plain() || s.Protocol == object.ProtocolHTTPS && !passes
	case r == TLSRules:
		return passes
	}
	return passes || !s.Plain() && s.Protocol != object.ProtocolHTTPS
}

// Admits tells whether the server has one of the hosts of a VirtualService for it.
func (s *Server) Admits(v *VirtualService) bool {
	return slices.ContainsFunc(s.Hosts, func(h GatewayHost) bool {
		return h.Admits(v.Namespace) && slices.ContainsFunc(v.Hosts, func(host string) bool {
			_, ok := object.IntersectHosts(h.Host, host)
			return ok
		})
	})
}

// HostOwners are the hosts of a router's Gateways, each with the oldest of those
// that have it. It is nil in a mesh that does not give hosts to namespaces
// (mesh.Settings.OwnedGatewayHosts).
type HostOwners map[string]*Server

// Of is the server that owns a host: by itself, or else by the narrowest pattern
// that covers it.
func (o HostOwners) Of(host string) *Server {
	owner := o[host]
	if owner == nil {
		object.WildcardsOf(host, func(pattern string) bool { owner = o[pattern]; return owner == nil })
	}
	return owner
}

// Named are the hosts that the server has by its object.
func (s *Server) Named() (out []string) {
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

// Keep is the server with those of its hosts that belong to its namespace, nil
// when none do. What others own of a pattern is taken out of the rules that are
// bound to it.
func (o HostOwners) Keep(s *Server) (*Server, []object.Finding) {
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
		if owner := o.Of(h.Host); owner.Gateway.Namespace != s.Gateway.Namespace {
			findings = append(findings, s.Finding("hosts", object.CodeConflict, owner, "host %s belongs to namespace %s, whose Gateway is older (the mesh setting gatewayHosts is owned); it is left out here: use another host", h.Host, owner.Gateway.Namespace))
			continue
		}
		out.Hosts = append(out.Hosts, h)
	}
	if len(out.Hosts) == 0 {
		return nil, findings
	}
	return &out, findings
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

// May tells whether the server's namespace may serve the host.
func (s *Server) May(host string) bool {
	if s.owners == nil {
		return true
	}
	owner := s.owners.Of(host)
	return owner == nil || owner.Gateway.Namespace == s.Gateway.Namespace
}
