package requests

import (
	"context"
	"fmt"
	"slices"

	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Server is what the proxies of one workload say of a request, or what is said of servers
// that are not known.
type Server struct {
	Cluster  string          `json:"cluster,omitempty"` // that leads there; empty: the client has no proxy
	Workload string          `json:"workload"`          // "namespace/name" of what people call it, or an address
	Verdict  explain.Verdict `json:"verdict"`
	Closed   bool            `json:"closed,omitempty"` // it takes no such connection
}

// maxServers is how many servers behind one cluster are asked that may hold different things.
const maxServers = 256

// arrival asks the servers of one cluster.
type arrival struct {
	mesh    *Mesh
	cluster string
	request explain.Request
	sent    *explain.Sent
	from    explain.Caller
	servers []Server
	found   bool // one of them is known
}

// ask asks the servers at the ends of the hops, of those alike one. Those that are not known
// are told as well: what becomes of the request there is not known either.
func (a *arrival) ask(ctx context.Context, hops []explain.Hop) error {
	if len(hops) == 0 {
		a.unknown("somebody", "Who is behind it is not known, nor what they refuse.")
		return nil
	}
	asked := map[string]bool{}
	for _, hop := range hops {
		w := a.mesh.offline.World().WorkloadAt(hop.Address)
		if w == nil {
			a.unknown(fmt.Sprintf("%s port %d", hop.Address, hop.Port), "Nothing of the mesh has the address: what is refused there is not known.")
			continue
		}
		a.found = true
		key := fmt.Sprint(hop.Port, hop.Mutual, hop.Encrypted, " ", behind(w))
		if asked[key] {
			continue
		}
		if len(asked) == maxServers {
			a.unknown("others", fmt.Sprintf("There are more servers than the %d that are asked.", maxServers))
			return nil
		}
		asked[key] = true
		if err := a.server(ctx, w, hop); err != nil {
			return err
		}
	}
	return nil
}

// behind tells workloads apart whose proxies may say different things: pods of one workload
// with the same labels are under the same policies.
func behind(w *registry.Workload) string {
	return w.Namespace + "/" + w.Owner + " " + w.ServiceAccount + " " + object.CanonicalLabels(w.Labels)
}

func (a *arrival) unknown(who, why string) {
	a.add(Server{Workload: who, Verdict: explain.Verdict{Decision: explain.Unknown, Why: why}})
}

// add notes what is said; pods of one workload that say the same are told once.
func (a *arrival) add(s Server) {
	s.Cluster = a.cluster
	if !slices.Contains(a.servers, s) {
		a.servers = append(a.servers, s)
	}
}

// server asks the proxy of one server, where it has one.
func (a *arrival) server(ctx context.Context, server *registry.Workload, hop explain.Hop) error {
	v := Server{Workload: server.Namespace + "/" + server.Owner}
	switch {
	case a.mesh.offline.World().RoleOf(server) == mesh.RoleRouter:
		a.unknown(v.Workload, "It is a gateway, behind which the way is not followed: test what comes after it from there.")
		return nil
	case !server.MutualTLS && server.Labels["security.istio.io/tlsMode"] != "":
		a.unknown(v.Workload, "The server takes no mutual TLS, and whether it has a proxy is not known.")
		return nil
	case !server.MutualTLS:
		v.Verdict = explain.Verdict{Decision: explain.Allow, Why: "The server has no proxy that could refuse it."}
		a.add(v)
		return nil
	}
	held, err := a.mesh.offline.Resources(ctx, server)
	if err != nil {
		return err
	}
	hop.Assumed = a.mesh.offline.Assumed(server)
	sent := a.sent
	if sent == nil && a.request.Scheme == "http" { // it went as a connection
		sent = &explain.Sent{Host: a.request.Authority, Path: a.request.Path, Header: a.request.Header}
	}
	got := explain.Arrive(held, a.request, sent, hop, a.from)
	v.Verdict = explain.Verdict{Decision: explain.Allow, Why: "No policy is about it."}
	if got.Verdict != nil {
		v.Verdict, v.Closed = *got.Verdict, got.Verdict.Decision == explain.Deny && got.Status == 0
	}
	a.add(v)
	return nil
}
