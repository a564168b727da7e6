package snapshot

import (
	"cmp"
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
)

// Findings are all that is known to be wrong with the objects of the mesh:
// what parsing found, and what the layers of connected proxies found, each
// once and in the order of the objects.
func (e *Engine) Findings() []mesh.Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.world == nil {
		return nil
	}
	seen := map[mesh.Finding]struct{}{}
	add := func(list []mesh.Finding) {
		for _, f := range list {
			seen[f] = struct{}{}
		}
	}
	for f := range e.world.Findings() {
		seen[f] = struct{}{}
	}
	for _, l := range e.hostLayers() {
		add(l.secrets.findings)
		for _, s := range l.hosts {
			add(s.findings)
		}
		for _, s := range l.ports {
			add(s.findings)
		}
	}
	for _, r := range e.routers.used() {
		add(r.findings)
	}
	add(e.tooMany)
	for _, in := range e.inbounds.used() {
		add(in.findings)
	}
	out := make([]mesh.Finding, 0, len(seen))
	for f := range seen {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b mesh.Finding) int {
		return cmp.Or(cmp.Compare(a.Object.String(), b.Object.String()), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	return out
}

func (e *Engine) hostLayers() []*hostLayer {
	out := []*hostLayer{e.base}
	for _, l := range e.scopes.used() {
		out = append(out, l)
	}
	return out
}
