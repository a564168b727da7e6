package snapshot

import (
	"log/slog"

	"github.com/fairway-mesh/fairway/internal/parallel"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate"
)

// Survey is what Engine.Findings tells of the world while the proxies are connected,
// by the same layers, and without a control plane.
func Survey(w *mesh.World, proxies []*mesh.Proxy) []object.Finding {
	e := NewEngine(slog.New(slog.DiscardHandler), nil, nil)
	e.Update(w, &mesh.Dirty{All: true})
	e.work.Lock()
	defer e.work.Unlock()
	e.surveyScopes(proxies)
	found := e.surveyInbound(proxies)
	_, e.tooMany = e.wantedSecrets()
	e.tooMany = append(e.tooMany, found...)
	e.settle()
	return e.Findings()
}

// surveyScopes makes the layers exist that the proxies look at, those of different scopes
// at a time. It asks for no Secrets: the world has all that there are.
func (e *Engine) surveyScopes(proxies []*mesh.Proxy) {
	type wanted struct {
		scope mesh.Scope
		of    *registry.Workload
	}
	var all []wanted
	known := map[mesh.Scope]bool{}
	for _, p := range proxies {
		if s := e.world.ScopeOf(p); !known[s] {
			known[s] = true
			all = append(all, wanted{s, p.Workload})
			if s.Role == mesh.RoleSidecar && !e.standsAlone(e.laid.View(s)) {
				e.baseOf(s) // made before others read the bases
			}
		}
	}
	routers, sidecars := make([]*routerLayer, len(all)), make([]*hostLayer, len(all))
	parallel.Each(len(all), func(i int) {
		if all[i].scope.Role == mesh.RoleRouter {
			routers[i] = newRouterLayer(e.memo, all[i].scope, all[i].of, e.laid)
		} else {
			sidecars[i] = e.newScope(all[i].scope, nil)
		}
	})
	for i, x := range all {
		if r := routers[i]; r != nil {
			e.routers.add(x.scope, r, r.stack())
		} else {
			e.scopes.add(x.scope, sidecars[i], sidecars[i].stack())
		}
	}
}

// surveyInbound is what is found in what the sidecars accept. Of workloads that differ in
// names alone one is translated: nothing is found in those.
func (e *Engine) surveyInbound(proxies []*mesh.Proxy) (found []object.Finding) {
	var shapes []mesh.Inbound
	known := map[mesh.Inbound]bool{}
	some := &registry.Service{}
	for _, p := range proxies {
		if p.Role != mesh.RoleSidecar {
			continue
		}
		in, findings := e.world.InboundOf(p.Workload)
		found = append(found, findings...)
		if s := shapeOf(in, some); !known[s] {
			known[s] = true
			shapes = append(shapes, in)
		}
	}
	lists := make([][]object.Finding, len(shapes))
	parallel.Each(len(shapes), func(i int) { lists[i] = translate.InboundFindings(shapes[i]) })
	for _, l := range lists {
		found = append(found, l...)
	}
	return found
}

// shapeOf is what of a workload findings depend on: not the names in its metrics, nor
// which service leads to a port, in whose place stands some.
func shapeOf(in mesh.Inbound, some *registry.Service) mesh.Inbound {
	in.Workload, in.CanonicalName, in.CanonicalRevision, in.App, in.Version, in.ServiceAccount = "", "", "", "", "", ""
	ports := append([]mesh.InboundPort(nil), in.Ports.Slice()...)
	for i := range ports {
		if ports[i].Service != nil {
			ports[i].Service = some
		}
	}
	in.Ports = mesh.ListOf(ports...)
	return in
}
