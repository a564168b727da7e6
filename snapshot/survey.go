package snapshot

import (
	"log/slog"

	"github.com/fairway-mesh/fairway/mesh"
)

// Survey is what Engine.Findings tells of the world while the proxies are connected,
// by the same layers, and without a control plane.
func Survey(w *mesh.World, proxies []*mesh.Proxy) []mesh.Finding {
	e := NewEngine(slog.New(slog.DiscardHandler), nil, nil)
	e.Update(w, &mesh.Dirty{All: true})
	e.work.Lock()
	defer e.work.Unlock()
	for _, p := range proxies {
		e.survey(p)
	}
	_, e.tooMany = e.wantedSecrets()
	e.settle()
	return e.Findings()
}

// survey makes the layers exist that a proxy looks at. It asks for no Secrets: the world
// has all that there are.
func (e *Engine) survey(p *mesh.Proxy) {
	scope := e.world.ScopeOf(p)
	if !e.enter(scope) {
		if p.Role == mesh.RoleRouter {
			r := newRouterLayer(e.memo, scope, p.Workload, e.laid)
			e.routers.add(scope, r, r.stack())
		} else {
			l := e.newScope(scope, nil)
			e.scopes.add(scope, l, l.stack())
		}
	}
	if p.Role == mesh.RoleSidecar {
		e.enterInbound(e.world.InboundOf(p.Workload))
	}
}
