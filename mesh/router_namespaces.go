package mesh

import (
	"maps"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// RouterNamespaces are, of each Gateway, the namespaces of the Pods that it
// selects. A Gateway without a selector is served by every router; of those only
// the ones count that another Gateway selects, since nothing else tells a router
// from a workload.
func (w *World) RouterNamespaces() map[*traffic.Gateway]map[string]struct{} {
	out := map[*traffic.Gateway]map[string]struct{}{}
	note := func(g *traffic.Gateway, namespace string) {
		if out[g] == nil {
			out[g] = map[string]struct{}{}
		}
		out[g][namespace] = struct{}{}
	}
	type label struct{ key, value string }
	by := map[label][]*traffic.Gateway{} // by one label of the selector
	var every []*traffic.Gateway
	for _, g := range w.Gateways() {
		switch {
		case g.OfAPI():
			for _, p := range g.Pods {
				note(g, p.Namespace)
			}
		case len(g.Selector) == 0:
			every = append(every, g)
		default:
			key := slices.Min(slices.Collect(maps.Keys(g.Selector)))
			l := label{key, g.Selector[key]}
			by[l] = append(by[l], g)
		}
	}
	routers := map[string]struct{}{}
	for _, x := range w.Workloads() {
		for k, v := range x.Labels {
			for _, g := range by[label{k, v}] {
				if g.Selects(x.Namespace, x.Labels) {
					note(g, x.Namespace)
					routers[x.Namespace] = struct{}{}
				}
			}
		}
	}
	for _, g := range every {
		for namespace := range routers {
			note(g, namespace)
		}
	}
	return out
}
