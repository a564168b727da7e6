package mesh

import (
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// ImpliedProxies are the proxies that the objects speak of, for those who look at
// objects without a control plane: one for each Pod that has one, a router for each
// selector of Gateways that no Pod has, and a sidecar of no particular workload for each
// selector of a Service and each namespace with rules that have no Pods. They are in
// the order of their names.
func (w *World) ImpliedProxies() []*Proxy {
	var out []*Proxy
	pods := w.gatewayPods()
	sidecars := map[string]bool{} // namespaces that have some
	routers := 0
	for _, x := range w.Workloads() {
		if x.Ref.Kind != object.KindPod {
			continue
		}
		switch {
		case pods.selected(x):
			routers++
			out = append(out, &Proxy{Role: RoleRouter, Workload: x})
		case hasSidecar(x):
			sidecars[x.Namespace] = true
			out = append(out, &Proxy{Workload: x})
		}
	}
	for _, s := range pods.sorted {
		if s.found || len(s.labels) == 0 && routers > 0 {
			continue
		}
		routers++
		x := stranger(s.home(w.Config.RootNamespace), "gateway", s.labels)
		out = append(out, &Proxy{Role: RoleRouter, Workload: x})
	}
	return append(out, w.impliedSidecars(sidecars)...)
}

// RoleOf tells what the proxy of a workload is for: that of a router when a Gateway
// selects the workload by labels.
func (w *World) RoleOf(x *registry.Workload) Role {
	for _, g := range w.Gateways() {
		if (len(g.Selector) > 0 || g.OfAPI()) && g.Selects(x.Namespace, x.Labels) {
			return RoleRouter
		}
	}
	return RoleSidecar
}

// hasSidecar tells whether nothing speaks against a sidecar in the Pod.
func hasSidecar(x *registry.Workload) bool {
	const inject = "sidecar.istio.io/inject"
	if said := x.Labels[inject]; said != "" {
		return said == "true"
	}
	return !x.HostNetwork && x.Annotations[inject] != "false"
}

// impliedSidecars are those of Services and namespaces whose Pods are not known.
func (w *World) impliedSidecars(known map[string]bool) (out []*Proxy) {
	missing := map[string]*registry.Workload{} // by namespace and labels
	add := func(namespace string, labels map[string]string) {
		key := namespace + "/" + object.CanonicalLabels(labels)
		if namespace != "" && missing[key] == nil {
			missing[key] = stranger(namespace, "workload", labels)
		}
		known[namespace] = true
	}
	served := map[*registry.Service]bool{}
	for _, x := range w.Workloads() {
		for _, s := range w.ServicesOf(x) {
			served[s] = true
		}
	}
	for _, s := range w.selecting.All() {
		if len(s.Selector) > 0 && !served[s] {
			add(s.Namespace, s.Selector)
		}
	}
	plain := func(namespace string) {
		if !known[namespace] {
			add(namespace, nil)
		}
	}
	for _, h := range w.Hosts() {
		for _, s := range h.Services {
			plain(s.Namespace)
		}
	}
	for _, v := range w.VirtualServices() {
		if v.On(object.MeshGateway) {
			plain(v.Namespace)
		}
	}
	for _, rules := range w.DestinationRules() {
		for _, r := range rules {
			plain(r.Namespace)
		}
	}
	for namespace := range w.sidecars {
		plain(namespace)
	}
	keys := make([]string, 0, len(missing))
	for k := range missing {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out = append(out, &Proxy{Workload: missing[k]})
	}
	return out
}

// stranger is a workload that no object describes.
func stranger(namespace, name string, labels map[string]string) *registry.Workload {
	return &registry.Workload{
		Ref: object.Ref{Kind: object.KindPod, Namespace: namespace, Name: name}, Namespace: namespace, Name: name, Owner: name,
		Labels: labels, ServiceAccount: "default", Ready: true,
	}
}

// gatewayPods are the selectors of Gateways, each once.
type gatewayPods struct {
	byPair map[string][]*gatewaySelector // by the first pair of their labels
	sorted []*gatewaySelector
}

// gatewaySelector is what selects the Pods of some Gateways.
type gatewaySelector struct {
	namespace string // of the Pods; empty: any
	labels    map[string]string
	of        map[string]bool // namespaces of the Gateways
	found     bool            // a Pod has the labels
}

func (w *World) gatewayPods() *gatewayPods {
	p := &gatewayPods{byPair: map[string][]*gatewaySelector{}}
	known := map[string]*gatewaySelector{}
	add := func(g *traffic.Gateway, namespace string, labels map[string]string) {
		key := namespace + "/" + object.CanonicalLabels(labels)
		s := known[key]
		if s == nil {
			s = &gatewaySelector{namespace: namespace, labels: labels, of: map[string]bool{}}
			known[key] = s
			p.sorted = append(p.sorted, s)
			pair, _, _ := strings.Cut(object.CanonicalLabels(labels), ",")
			p.byPair[pair] = append(p.byPair[pair], s)
		}
		s.of[g.Namespace] = true
	}
	for _, g := range w.Gateways() {
		if !g.OfAPI() {
			add(g, "", g.Selector)
		}
		for _, s := range g.Pods {
			add(g, s.Namespace, s.Labels)
		}
	}
	return p
}

// selected tells whether some Gateway selects the workload by labels.
func (p *gatewayPods) selected(x *registry.Workload) (any bool) {
	for k, v := range x.Labels {
		for _, s := range p.byPair[k+"="+v] {
			if (s.namespace == "" || s.namespace == x.Namespace) && object.Selects(s.labels, x.Labels) {
				s.found, any = true, true
			}
		}
	}
	return any
}

// home is the namespace in which the Pods are looked for that nobody has seen: that of
// their Gateways, or the root namespace where those have several.
func (s *gatewaySelector) home(root string) string {
	if s.namespace != "" {
		return s.namespace
	}
	if len(s.of) > 1 {
		return root
	}
	for n := range s.of {
		return n
	}
	return root
}
