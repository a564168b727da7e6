package mesh

import (
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Role is what a proxy is for.
type Role uint8

// The roles.
const (
	RoleSidecar Role = iota
	RoleRouter       // an ingress or egress gateway
)

// Proxy is what is known of one connected proxy. It never changes.
type Proxy struct {
	Role     Role
	Workload *registry.Workload // its Pod, or what its node says where no Pod is known
	// Unprivileged proxies say that they cannot listen on ports below 1024.
	Unprivileged bool
}

// Scope is all that decides how a proxy sees the mesh. Proxies of equal scopes
// share every resource of the outbound side.
type Scope struct {
	Role      Role
	Namespace string
	// Labels are the pairs of the proxy's labels that some object asks for, in
	// canonical text; for a router all of its labels.
	Labels string
	// Locality, Node and Network are set only where some object asks for them.
	Locality registry.Locality
	Node     string
	Network  string
	IPv6     bool // the proxy has an IPv6 address
	// Unprivileged is Proxy.Unprivileged, for routers only.
	Unprivileged bool
}

// LabelMap reads back the labels of the scope.
func (s Scope) LabelMap() map[string]string {
	m := map[string]string{}
	for pair := range strings.SplitSeq(s.Labels, ",") {
		if k, v, ok := strings.Cut(pair, "="); ok {
			m[k] = v
		}
	}
	return m
}

// ScopeOf is the scope of the proxy in this world.
func (w *World) ScopeOf(p *Proxy) Scope {
	s := Scope{Role: p.Role, Namespace: p.Workload.Namespace}
	for _, a := range p.Workload.Addresses {
		s.IPv6 = s.IPv6 || a.Is6()
	}
	if p.Role == RoleRouter {
		s.Labels = object.CanonicalLabels(p.Workload.Labels)
		s.Unprivileged = p.Unprivileged
	} else {
		s.Labels = object.CanonicalLabels(w.asked.labels(p.Workload.Labels))
	}
	if w.asked.locality > 0 {
		s.Locality = p.Workload.Locality
	}
	if w.asked.node > 0 {
		s.Node = p.Workload.Node
	}
	if w.asked.network > 0 {
		s.Network = p.Workload.Network
	}
	return s
}

// Asked counts, for each fact about a client that could narrow a scope, the
// objects that ask for it. Facts that nobody asks for do not split scopes.
type asked struct {
	selectors map[string]askedSelector // by canonical text
	keys      map[string]int           // label keys whose value is compared (failoverPriority)
	locality  int
	node      int
	network   int
}

type askedSelector struct {
	labels map[string]string
	count  int
}

// labels is the union of the asked selectors that the labels satisfy, and of
// the asked keys: enough to answer each selector as the full labels would.
func (a *asked) labels(labels map[string]string) map[string]string {
	if len(a.selectors) == 0 && len(a.keys) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, s := range a.selectors {
		if object.Selects(s.labels, labels) {
			for k, v := range s.labels {
				out[k] = v
			}
		}
	}
	for k := range a.keys {
		if v, ok := labels[k]; ok {
			out[k] = v
		}
	}
	return out
}
