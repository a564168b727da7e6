package requests

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/internal/operate"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Mesh answers what becomes of requests in one state of the mesh. It is not safe for
// concurrent use.
type Mesh struct{ offline *operate.Offline }

// NewMesh asks about the mesh that was read.
func NewMesh(o *operate.Offline) *Mesh { return &Mesh{o} }

// Ask follows a request of a suite.
func (m *Mesh) Ask(ctx context.Context, s *Suite, r *Request) (Outcome, error) {
	request, err := r.request()
	if err != nil {
		return Outcome{}, err
	}
	if r.From == "outside" {
		return m.direct(ctx, s.Namespace, request)
	}
	caller, err := m.caller(s, r.From)
	if err != nil {
		return Outcome{}, err
	}
	if m.offline.World().RoleOf(caller) == mesh.RoleRouter {
		return m.through(ctx, caller, request, nil)
	}
	if !request.Source.IsValid() {
		request.Source = m.address(caller)
	}
	if !caller.MutualTLS { // which it would have with a proxy
		return m.direct(ctx, caller.Namespace, request)
	}
	chosen := []netip.Addr{request.Destination}
	if !request.Destination.IsValid() {
		if chosen = m.resolve(request.Host, caller.Namespace); len(chosen) > 0 {
			request.Destination = chosen[0]
		}
	}
	return m.through(ctx, caller, request, chosen)
}

// address is that of a workload; zero: it is not known.
func (m *Mesh) address(w *registry.Workload) netip.Addr {
	if len(w.Addresses) == 0 || m.offline.Assumed(w) {
		return netip.Addr{}
	}
	return w.Addresses[0]
}

// through follows a request through the proxy of a workload. Chosen are the addresses to one
// of which its client connects; none: they are not known.
func (m *Mesh) through(ctx context.Context, w *registry.Workload, request explain.Request, chosen []netip.Addr) (Outcome, error) {
	held, err := m.offline.Resources(ctx, w)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Answer: explain.Explain(held, request)}
	from := explain.Caller{Principal: w.Identity(m.offline.World().Config.TrustDomains()[0]), Address: m.address(w)}
	if m.offline.World().RoleOf(w) == mesh.RoleRouter {
		from.Forwards, from.Client = true, request.Source
	}
	for _, share := range out.To {
		if share.Flag != "" {
			continue
		}
		a := arrival{mesh: m, cluster: share.Cluster, request: request, sent: share.Sent, from: from}
		if err := a.ask(ctx, held.Hops(share.Cluster, chosen, request.Port)); err != nil {
			return out, err
		}
		out.Servers = append(out.Servers, a.servers...)
	}
	return out, nil
}

// direct is a request of somebody without a proxy: to the address of a pod, or to a service
// whose endpoints are pods.
func (m *Mesh) direct(ctx context.Context, namespace string, request explain.Request) (out Outcome, err error) {
	hops := m.hops(namespace, request)
	for _, hop := range hops {
		if w := m.offline.World().WorkloadAt(hop.Address); w != nil && m.offline.World().RoleOf(w) == mesh.RoleRouter {
			request.Destination, request.Port = hop.Address, hop.Port
			return m.through(ctx, w, request, nil)
		}
	}
	a := arrival{mesh: m, request: request, from: explain.Caller{Address: request.Source}}
	if request.Scheme != "tcp" {
		a.sent = &explain.Sent{Host: request.Authority, Path: request.Path, Header: request.Header}
	}
	if err := a.ask(ctx, hops); err != nil {
		return out, err
	}
	if !a.found {
		return out, fmt.Errorf("without a proxy of its own: no pod has the address or is behind the service %s, port %d", request.Host, request.Port)
	}
	out.Servers = a.servers
	return out, nil
}

// hops are where a client without a proxy may get to.
func (m *Mesh) hops(namespace string, request explain.Request) (out []explain.Hop) {
	hop := explain.Hop{Address: request.Destination, Port: request.Port, Encrypted: request.Scheme == "https"}
	if request.Destination.IsValid() {
		return []explain.Hop{hop}
	}
	h := m.host(request.Host, namespace)
	if h == nil {
		return nil
	}
	for i, s := range h.Services {
		port := s.PortIndex(request.Port)
		for _, e := range h.Endpoints[i].Endpoints {
			a, err := netip.ParseAddr(e.Address)
			if port < 0 || port >= len(e.Ports) {
				continue
			}
			if hop.Address, hop.Port = a, e.Ports[port]; err != nil {
				hop.Address = netip.Addr{}
			}
			out = append(out, hop)
		}
	}
	return out
}

// host is what a name means to a client of the namespace; nil when the mesh has none.
func (m *Mesh) host(name, namespace string) *registry.Host {
	for _, full := range object.SearchedNames(name, namespace) {
		if h := m.offline.World().Host(full); h != nil {
			return h
		}
	}
	return nil
}

// mostAliases is how many ExternalNames in a row a name is followed through.
const mostAliases = 8

// resolve are the addresses of which a client of the namespace finds one for a name: the
// host's own, or those of its endpoints, and of an ExternalName those of what it stands for; none when
// the mesh has none.
func (m *Mesh) resolve(name, namespace string) (out []netip.Addr) {
	h := m.host(name, namespace)
	for range mostAliases { // which the client's resolver follows
		if h == nil || len(h.Services) == 0 || h.Services[0].Resolution != registry.ResolutionAlias {
			break
		}
		h = m.offline.World().Host(h.Services[0].Alias)
	}
	if h == nil {
		return nil
	}
	for i, s := range h.Services {
		if len(s.Addresses) > 0 {
			return []netip.Addr{s.Addresses[0].Addr()}
		}
		for _, e := range h.Endpoints[i].Endpoints {
			if a, err := netip.ParseAddr(e.Address); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}
