package requests

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/internal/operate"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Mesh answers what becomes of requests in one state of the mesh. It remembers what proxies
// hold; it is not safe for concurrent use.
type Mesh struct {
	offline *operate.Offline
	held    map[object.Ref]*explain.Resources // by workload
}

// NewMesh asks about the mesh that was read.
func NewMesh(o *operate.Offline) *Mesh {
	return &Mesh{o, map[object.Ref]*explain.Resources{}}
}

// Outcome is what becomes of a request.
type Outcome struct {
	explain.Answer
	// Servers are what the proxies of the servers say, each of the workloads that may get
	// the request once.
	Servers []Server `json:"servers,omitempty"`
}

// Server is what the proxy of one server says of a request.
type Server struct {
	Workload string          `json:"workload"` // "namespace/name" of what people call it
	Verdict  explain.Verdict `json:"verdict"`
	Closed   bool            `json:"closed,omitempty"` // it takes no such connection
}

// maxServers is how many workloads behind a request are asked.
const maxServers = 64

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
	client := m.offline.World().RoleOf(caller) == mesh.RoleSidecar
	if client {
		if !request.Destination.IsValid() {
			request.Destination = m.resolve(request.Host, caller.Namespace)
		}
		if !request.Source.IsValid() && len(caller.Addresses) > 0 {
			request.Source = caller.Addresses[0]
		}
	}
	return m.through(ctx, caller, request)
}

// through follows a request through the proxy of a workload.
func (m *Mesh) through(ctx context.Context, w *registry.Workload, request explain.Request) (Outcome, error) {
	held, err := m.resources(ctx, w)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Answer: explain.Explain(held, request)}
	err = m.arrive(ctx, w, held, request, &out)
	return out, err
}

// direct is a request of somebody without a proxy: to the address of a pod, or to a service
// whose endpoints are pods.
func (m *Mesh) direct(ctx context.Context, namespace string, request explain.Request) (out Outcome, err error) {
	world := m.offline.World()
	if w := world.WorkloadAt(request.Destination); w != nil && world.RoleOf(w) == mesh.RoleRouter {
		return m.through(ctx, w, request)
	}
	var sent *explain.Sent
	if request.Scheme != "tcp" {
		sent = &explain.Sent{Host: request.Authority, Path: request.Path, Header: request.Header}
	}
	asked := map[string]bool{}
	for _, hop := range m.hops(namespace, request) {
		server := world.WorkloadAt(hop.Address)
		if server == nil || asked[behind(server)] || len(asked) == maxServers {
			continue
		}
		asked[behind(server)] = true
		v, err := m.server(ctx, server, request, sent, hop, explain.Caller{Address: request.Source})
		if err != nil {
			return out, err
		}
		out.Servers = append(out.Servers, v)
	}
	if len(out.Servers) == 0 {
		return out, fmt.Errorf("from outside, without a proxy: no pod has the address or is behind the service %s, port %d", request.Host, request.Port)
	}
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
			if err == nil && port >= 0 && port < len(e.Ports) {
				hop.Address, hop.Port = a, e.Ports[port]
				out = append(out, hop)
			}
		}
	}
	return out
}

// behind tells workloads apart whose proxies may say different things.
func behind(w *registry.Workload) string {
	return w.Namespace + "/" + w.Owner + " " + object.CanonicalLabels(w.Labels)
}

// arrive asks the proxies of the servers.
func (m *Mesh) arrive(ctx context.Context, caller *registry.Workload, held *explain.Resources, request explain.Request, out *Outcome) error {
	from := explain.Caller{Principal: caller.Identity(m.offline.World().Config.TrustDomains()[0])}
	if len(caller.Addresses) > 0 {
		from.Address = caller.Addresses[0]
	}
	asked := map[string]bool{}
	for _, share := range out.To {
		for _, hop := range held.Hops(share.Cluster) {
			server := m.offline.World().WorkloadAt(hop.Address)
			if server == nil || len(asked) == maxServers {
				continue
			}
			// Pods of one workload and account are under the same policies.
			key := fmt.Sprintf("%s %d %s", share.Cluster, hop.Port, behind(server))
			if asked[key] {
				continue
			}
			asked[key] = true
			v, err := m.server(ctx, server, request, share.Sent, hop, from)
			if err != nil {
				return err
			}
			out.Servers = append(out.Servers, v)
		}
	}
	return nil
}

// server asks the proxy of one server, where it has one.
func (m *Mesh) server(ctx context.Context, server *registry.Workload, request explain.Request, sent *explain.Sent, hop explain.Hop, from explain.Caller) (Server, error) {
	v := Server{Workload: server.Namespace + "/" + server.Owner}
	if !server.MutualTLS {
		v.Verdict = explain.Verdict{Decision: explain.Allow, Why: "The server has no proxy that could refuse it."}
		return v, nil
	}
	held, err := m.resources(ctx, server)
	if err != nil {
		return v, err
	}
	a := explain.Arrive(held, request, sent, hop, from)
	v.Verdict = explain.Verdict{Decision: explain.Allow, Why: "No policy is about it."}
	if a.Verdict != nil {
		v.Verdict, v.Closed = *a.Verdict, a.Verdict.Decision == explain.Deny && a.Status == 0
	}
	return v, nil
}

// resources are what the proxy of a workload holds.
func (m *Mesh) resources(ctx context.Context, w *registry.Workload) (*explain.Resources, error) {
	if held := m.held[w.Ref]; held != nil {
		return held, nil
	}
	held, err := m.offline.Resources(ctx, w)
	if err == nil {
		m.held[w.Ref] = held
	}
	return held, err
}

// workloadKinds are what stands before the name of a caller.
var workloadKinds = map[string]bool{
	"": true, "deploy": true, "deployment": true, "statefulset": true, "sts": true, "daemonset": true, "ds": true,
	"replicaset": true, "rs": true, "job": true, "cronjob": true, "cj": true, "pod": true, "po": true, "gateway": true,
}

// caller is the workload that a request comes from, or through.
func (m *Mesh) caller(s *Suite, from string) (*registry.Workload, error) {
	kind, name, ok := strings.Cut(from, "/")
	if !ok {
		kind, name = "", from
	}
	if !workloadKinds[kind] {
		return nil, fmt.Errorf("from %q: there are deploy, statefulset, daemonset, replicaset, job, cronjob, pod and gateway", from)
	}
	namespace := s.Namespace
	world := m.offline.World()
	if kind == "gateway" {
		return m.gateway(name, namespace)
	}
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name, namespace = name[:i], name[i+1:]
	}
	for _, w := range world.Workloads() {
		pod := kind == "pod" || kind == "po"
		if w.Namespace == namespace && w.Ref.Kind == object.KindPod && (pod && w.Name == name || !pod && w.Owner == name) {
			return w, nil
		}
	}
	return nil, fmt.Errorf("from %q: no pod of it is in namespace %s", from, namespace)
}

// gateway is a pod that a Gateway selects, or what stands for one where there is none.
func (m *Mesh) gateway(name, namespace string) (*registry.Workload, error) {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name, namespace = name[:i], name[i+1:]
	}
	world := m.offline.World()
	g := world.Gateway(namespace + "/" + name)
	if g == nil {
		return nil, fmt.Errorf("there is no Gateway %s/%s", namespace, name)
	}
	for _, p := range world.ImpliedProxies() {
		if p.Role == mesh.RoleRouter && g.Selects(p.Workload.Namespace, p.Workload.Labels) {
			return p.Workload, nil
		}
	}
	return nil, errors.New("no pod is selected by Gateway " + namespace + "/" + name)
}

// host is what a name means to a client of the namespace; nil when the mesh has none.
func (m *Mesh) host(name, namespace string) *registry.Host {
	name = strings.TrimSuffix(name, ".")
	for _, suffix := range []string{"." + namespace + ".svc." + object.Domain, ".svc." + object.Domain, "." + object.Domain, ""} {
		if h := m.offline.World().Host(name + suffix); h != nil {
			return h
		}
	}
	return nil
}

// resolve is the address that a client of the namespace finds for a name: the host's own,
// or that of one of its endpoints; zero when the mesh has none.
func (m *Mesh) resolve(name, namespace string) netip.Addr {
	h := m.host(name, namespace)
	if h == nil {
		return netip.Addr{}
	}
	for i, s := range h.Services {
		for _, a := range s.Addresses {
			return a.Addr()
		}
		for _, e := range h.Endpoints[i].Endpoints {
			if a, err := netip.ParseAddr(e.Address); err == nil {
				return a
			}
		}
	}
	return netip.Addr{}
}
