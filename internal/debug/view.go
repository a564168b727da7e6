package debug

import (
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Finding is an object.Finding as JSON shows it.
type Finding struct {
	Object  string `json:"object"`
	Field   string `json:"field,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Winner  string `json:"winner,omitempty"`
}

// Findings are findings as JSON shows them.
func Findings(list []object.Finding) []Finding {
	out := make([]Finding, 0, len(list))
	for _, f := range list {
		j := Finding{Object: f.Object.String(), Field: f.Field, Code: string(f.Code), Message: f.Message}
		if f.Winner != (object.Ref{}) {
			j.Winner = f.Winner.String()
		}
		out = append(out, j)
	}
	return out
}

// Proxy is a connected proxy as JSON shows it.
type Proxy struct {
	// Replica is set by who asks several.
	Replica   string    `json:"replica,omitempty"`
	ID        string    `json:"proxy"`
	Workload  string    `json:"workload,omitempty"` // the Deployment, StatefulSet, ... of its pod
	Node      string    `json:"node"`
	Role      string    `json:"role"`
	Version   string    `json:"version,omitempty"`
	Fairway   string    `json:"fairway,omitempty"` // that made its bootstrap
	Delta     bool      `json:"delta"`
	Connected time.Time `json:"connectedSince"`
	// ConnectedSeconds is for how long, as the control plane has counted it: its clock may
	// have been set since, and that of who reads this may be another.
	ConnectedSeconds float64         `json:"connectedSeconds"`
	Phase            string          `json:"phase"`
	TooOld           bool            `json:"tooOld,omitempty"`
	Types            map[string]Type `json:"types"`
}

// Type is how far a proxy is with one type of resources.
type Type struct {
	State    string            `json:"state"`
	Sent     string            `json:"sent,omitempty"`
	Acked    string            `json:"acked,omitempty"`
	Rejected map[string]string `json:"rejected,omitempty"`
	LastNack string            `json:"lastNack,omitempty"`
}

func proxies(list []discovery.ProxyState, w *mesh.World) []Proxy {
	out := make([]Proxy, 0, len(list))
	for _, p := range list {
		j := Proxy{
			ID: p.Client.Pod + "." + p.Client.Namespace, Node: p.Client.NodeID, Role: string(p.Client.Role), Delta: p.Client.Delta,
			Fairway: p.Client.Fairway, Connected: p.ConnectedSince, ConnectedSeconds: time.Since(p.ConnectedSince).Seconds(), Phase: p.Phase, TooOld: p.TooOld, Types: map[string]Type{},
		}
		if x := workloadOf(w, p.Client); x != nil {
			j.Workload = x.Owner
		}
		if v := p.Client.Version; v.Major != 0 {
			j.Version = v.String()
		}
		for _, t := range p.Types {
			j.Types[t.Type.String()] = Type{State: string(t.State), Sent: t.Sent, Acked: t.Acked, Rejected: t.Rejected, LastNack: t.LastNack}
		}
		out = append(out, j)
	}
	return out
}

// Host is a host of the mesh as JSON shows it.
type Host struct {
	Host      string   `json:"host"`
	Object    string   `json:"object"`
	Addresses []string `json:"addresses,omitempty"`
	Ports     []Port   `json:"ports"`
	Endpoints []string `json:"endpoints"`
}

// Port is a port of a host.
type Port struct {
	Name     string `json:"name,omitempty"`
	Number   uint32 `json:"number"`
	Protocol string `json:"protocol"`
}

func hosts(w *mesh.World) []Host {
	out := []Host{}
	if w == nil {
		return out
	}
	for name, h := range w.Hosts() {
		for i, s := range h.Services {
			j := Host{Host: name, Object: s.Ref.String(), Endpoints: []string{}}
			for _, a := range s.Addresses {
				j.Addresses = append(j.Addresses, a.String())
			}
			for _, p := range s.Ports {
				j.Ports = append(j.Ports, Port{p.Name, p.Number, p.Protocol.String()})
			}
			for _, e := range h.Endpoints[i].Endpoints {
				j.Endpoints = append(j.Endpoints, e.Address)
			}
			out = append(out, j)
		}
	}
	return out
}

// Endpoints are those of one host as JSON shows them.
type Endpoints struct {
	Host      string     `json:"host"`
	Object    string     `json:"object"`
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is a workload behind a host.
type Endpoint struct {
	Address  string `json:"address"`
	Workload string `json:"workload,omitempty"`
	// Ports are those of the workload, by the number of the host's port.
	Ports    map[uint32]uint32 `json:"ports,omitempty"`
	Healthy  bool              `json:"healthy"`
	Weight   uint32            `json:"weight,omitempty"`
	Locality string            `json:"locality,omitempty"`
}

func endpoints(w *mesh.World) []Endpoints {
	out := []Endpoints{}
	if w == nil {
		return out
	}
	for name, h := range w.Hosts() {
		for i, s := range h.Services {
			j := Endpoints{Host: name, Object: s.Ref.String(), Endpoints: []Endpoint{}}
			for _, e := range h.Endpoints[i].Endpoints {
				j.Endpoints = append(j.Endpoints, endpoint(s, e))
			}
			out = append(out, j)
		}
	}
	return out
}

func endpoint(s *registry.Service, e registry.Endpoint) Endpoint {
	j := Endpoint{Address: e.Address, Healthy: e.Healthy, Weight: e.Weight, Ports: map[uint32]uint32{}}
	if e.Workload != nil {
		j.Workload = e.Workload.Ref.String()
	}
	if l := e.Locality; l != (registry.Locality{}) {
		j.Locality = strings.TrimRight(l.Region+"/"+l.Zone+"/"+l.SubZone, "/")
	}
	for i, p := range s.Ports {
		if i < len(e.Ports) && e.Ports[i] != 0 {
			j.Ports[p.Number] = e.Ports[i]
		}
	}
	return j
}

// workloadOf is the Pod of a proxy; nil when it is not known.
func workloadOf(w *mesh.World, c snapshot.Client) *registry.Workload {
	if w == nil {
		return nil
	}
	return w.Workload(c.Namespace, c.Pod)
}
