package gatewayapi

import (
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// merges are the VirtualServices that routes on the listeners of one object are joined to.
// Those whose routes are as they were stay the same, by pointer, so that a change of one
// route leaves alone what is made of all others.
type merges struct {
	ref     object.Ref
	crosses map[object.Ref]struct{}
	last    map[mergedOn]merged
	next    map[mergedOn]merged
}

// mergedOn is what routes are joined for.
type mergedOn struct {
	listener int
	how      merging
}

// merged is what routes were joined to.
type merged struct {
	routes []*Route
	rules  *traffic.VirtualService
}

func (b *Builder) merges(ref object.Ref) *merges {
	return &merges{ref: ref, crosses: b.crosses, last: b.merged[ref], next: map[mergedOn]merged{}}
}

// keepMerged remembers what is in force now, and nothing else.
func (b *Builder) keepMerged(m *merges) {
	if b.merged[m.ref] = m.next; len(m.next) == 0 {
		delete(b.merged, m.ref)
	}
}

// of joins routes, which are in order of precedence. Routes with backends of other namespaces
// are always joined anew, since ReferenceGrants decide about them.
func (m *merges) of(w *View, l *listener, routes []*Route, how merging) *traffic.VirtualService {
	on := mergedOn{l.index, how}
	out := m.last[on]
	across := slices.ContainsFunc(routes, func(r *Route) bool { _, is := m.crosses[r.Ref]; return is })
	if across || !slices.Equal(out.routes, routes) {
		out = merged{routes, w.merge(routes, how)}
	}
	m.next[on] = out
	return out.rules
}
