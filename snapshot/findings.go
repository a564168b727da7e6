package snapshot

import (
	"cmp"
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// faults is what the layers of connected proxies found, as it was published.
type faults struct {
	world *mesh.World
	lists [][]object.Finding
}

// report publishes what the layers of connected proxies found.
func (e *Engine) report() {
	if e.world == nil {
		return
	}
	f := &faults{world: e.world}
	add := func(list []object.Finding) {
		if len(list) > 0 {
			f.lists = append(f.lists, list)
		}
	}
	of := func(l *hostLayer) {
		add(l.secrets.findings)
		for host := range l.faulty {
			add(l.hosts[host].findings)
		}
		for _, s := range l.ports {
			add(s.findings)
		}
	}
	for _, b := range e.bases {
		of(b)
	}
	add(e.tooMany)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.scopes.places {
		if p.users > 0 {
			of(p.layer)
		}
	}
	for _, p := range e.routers.places {
		if p.users > 0 {
			add(p.layer.findings)
		}
	}
	for _, p := range e.inbounds.places {
		if p.users > 0 {
			add(p.layer.findings)
			add(p.layer.ofServices)
		}
	}
	e.untold = false
	e.faults.Store(f)
}

// Findings are all that is known to be wrong with the objects of the mesh:
// what parsing found, and what the layers of connected proxies found, each
// once and in the order of the objects. They are those of the last pass.
func (e *Engine) Findings() []object.Finding {
	f := e.faults.Load()
	if f == nil {
		return nil
	}
	seen := map[object.Finding]struct{}{}
	for x := range f.world.Findings() {
		seen[x] = struct{}{}
	}
	for _, list := range f.lists {
		for _, x := range list {
			seen[x] = struct{}{}
		}
	}
	out := make([]object.Finding, 0, len(seen))
	for x := range seen {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b object.Finding) int {
		return cmp.Or(cmp.Compare(a.Object.String(), b.Object.String()), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	return out
}

// holdRouters tells whether there are layers of routers.
func (e *Engine) holdRouters() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.routers.places) > 0
}
