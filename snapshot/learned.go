package snapshot

import (
	"maps"
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
)

// Bounds of what one workload may learn. At a bound its sidecars hold all that they may
// use, as they would without a learned scope.
const (
	// MostLearned is how many virtual hosts: a change of one costs Envoy time for all of them.
	MostLearned = 500
	// MostAsked is how many names, known and unknown: whoever calls a workload may have it
	// ask for names that he makes up.
	MostAsked = 1000

	// Of workloads that have no sidecar connected so many names are remembered, of one
	// namespace and in all, and for so long.
	mostIdleOfOne = 5000
	mostIdle      = 100_000
	idleSet       = 24 * time.Hour
)

// learning is what sidecars hold that learn which hosts their workloads use. All of it is
// made of what was published of their scopes. Its methods are for who holds Engine.mu.
type learning struct {
	sets   map[workloadKey]*learnedSet
	frames map[mesh.Scope]*frame
	layers map[learnedKey]*learnedLayer
	bases  map[*Revision]*domains

	forgotten int // names, by all workloads
}

// workloadKey is a workload: all pods of a Deployment, say.
type workloadKey struct{ namespace, owner string }

type learnedKey struct {
	scope   mesh.Scope
	of      workloadKey
	inbound *inboundLayer // whose listeners may name clusters
	canary  bool          // see learnedSet
}

// learnedLayer is what the pods of a workload hold that are of one scope and shape.
type learnedLayer struct {
	key        learnedKey
	set        *learnedSet
	frame      *frame
	users      map[*attached]struct{}
	found      map[string]string // virtual hosts by name, of this generation; empty: there is none
	hosts      []string          // virtual hosts in force
	crowded    bool              // they are too many
	resolved   int               // learnedSet.news when hosts were found
	generation int               // of the frame, when hosts were found
	refers     map[*Resource][]string
	looked     map[Key]struct{}
	revision   *Revision
}

func newLearning() *learning {
	return &learning{sets: map[workloadKey]*learnedSet{}, frames: map[mesh.Scope]*frame{}, layers: map[learnedKey]*learnedLayer{}, bases: map[*Revision]*domains{}}
}

// enter is the layer of a key for one more user; scope is what its scope shows.
func (g *learning) enter(key learnedKey, scope Stack, a *attached) *learnedLayer {
	l := g.layers[key]
	if l == nil {
		set := g.sets[key.of]
		if set == nil {
			set = &learnedSet{key: key.of, asked: map[string]use{}, layers: map[*learnedLayer]struct{}{}, since: time.Now()}
			g.sets[key.of] = set
		}
		if len(set.layers) == 0 { // it comes back: what it does not use it will not ask for
			set.since, set.counting = time.Now(), false
		}
		l = &learnedLayer{key: key, set: set, frame: g.frameOf(key.scope, scope), users: map[*attached]struct{}{}, generation: -1}
		set.layers[l] = struct{}{}
		g.layers[key] = l
		l.derive()
	}
	l.users[a] = struct{}{}
	l.frame.users++
	return l
}

// users are the sidecars of a scope that learn.
func (g *learning) users(scope mesh.Scope) int {
	if f := g.frames[scope]; f != nil {
		return f.users
	}
	return 0
}

// leave takes a user from a layer. What the workload has learned stays for a while, if it is
// to be remembered.
func (g *learning) leave(l *learnedLayer, a *attached, remember bool) {
	delete(l.users, a)
	l.frame.users--
	if l.set.canary == a && (a.learned == l || a.learned.set != l.set) {
		l.set.canary = nil
	}
	if len(l.users) > 0 {
		return
	}
	delete(g.layers, l.key)
	delete(l.set.layers, l)
	if len(l.set.layers) > 0 {
		return
	}
	l.set.left = time.Now()
	for name := range l.set.asked { // what is no host is not worth the room
		if l.frame.answers(name) == "" {
			delete(l.set.asked, name)
		}
	}
	l.set.whole = false
	if !remember || len(l.set.asked) == 0 {
		delete(g.sets, l.set.key)
	}
}

// forget lets go of workloads that have no sidecar since, of those for which there is no
// room, and of the frames that nobody looks at.
func (g *learning) forget(now time.Time) {
	var idle []*learnedSet
	for _, s := range g.sets {
		if len(s.layers) == 0 {
			idle = append(idle, s)
		}
	}
	slices.SortFunc(idle, func(a, b *learnedSet) int { return b.left.Compare(a.left) })
	all, each := 0, map[string]int{}
	for _, s := range idle {
		n := len(s.asked)
		if all+n > mostIdle || each[s.key.namespace]+n > mostIdleOfOne || now.Sub(s.left) > idleSet {
			delete(g.sets, s.key)
			continue
		}
		all += n
		each[s.key.namespace] += n
	}
	used := map[mesh.Scope]struct{}{}
	for key := range g.layers {
		used[key.scope] = struct{}{}
	}
	bases := map[*Revision]*domains{}
	for scope, f := range g.frames {
		if _, is := used[scope]; !is {
			delete(g.frames, scope)
		} else if f.base != nil {
			bases[f.base.rev] = f.base
		}
	}
	g.bases = bases
}

// frameOf is the frame of a scope, made of what that shows.
func (g *learning) frameOf(scope mesh.Scope, shows Stack) *frame {
	f := g.frames[scope]
	if f == nil {
		f = &frame{}
		g.frames[scope] = f
	}
	if f.revision == nil || f.stack != shows {
		f.update(shows, g.baseOf(nil, shows[LayerBase]))
	}
	return f
}

// baseOf are the names of a base, brought there from those of the one before, if any.
func (g *learning) baseOf(before *domains, base *Revision) *domains {
	if base == nil {
		return nil
	}
	d := g.bases[base]
	if d == nil {
		if d = before; d == nil {
			d = newDomains()
		}
		delete(g.bases, d.rev)
		d.update(base)
		g.bases[base] = d
	}
	return d
}

// follow brings all layers to what their scopes show now.
func (g *learning) follow(shown func(mesh.Scope) Stack) {
	shownBases := map[*Revision]struct{}{}
	for scope := range g.frames {
		shownBases[shown(scope)[LayerBase]] = struct{}{}
	}
	for scope, f := range g.frames {
		s := shown(scope)
		if f.changes = nil; s != f.stack {
			before := f.base
			if before != nil {
				if _, used := shownBases[before.rev]; used { // another scope's, or brought elsewhere already
					before = nil
				}
			}
			f.update(s, g.baseOf(before, s[LayerBase]))
		}
	}
	for _, l := range g.layers {
		if l.outdated() {
			l.derive()
		}
	}
}

// outdated tells whether the last change of the frame concerns the layer. Where names lead
// elsewhere it mostly does not: a new host is a new name.
func (l *learnedLayer) outdated() bool {
	if l.all() {
		return l.revision != nil
	}
	if l.unresolved() {
		before := l.hosts
		if l.resolve(); !slices.Equal(before, l.hosts) {
			return true
		}
	}
	return slices.ContainsFunc(l.frame.changes, func(k Key) bool { _, looked := l.looked[k]; return looked })
}

// derive makes the revision of a layer.
func (l *learnedLayer) derive() {
	if l.all() {
		l.revision, l.hosts, l.found, l.refers, l.looked = nil, nil, nil, nil, nil
		l.generation, l.resolved = l.frame.generation, l.set.news
		return
	}
	if l.unresolved() {
		l.resolve()
	}
	if l.crowded {
		l.revision, l.refers, l.looked = nil, nil, nil
		return
	}
	w := want(l.frame.stack, l.refers)
	for _, host := range l.hosts {
		w.find(VirtualHost, host)
	}
	if l.key.inbound != nil {
		for r := range l.key.inbound.revision.All(Listener) {
			for _, name := range w.named(r) {
				w.find(Cluster, name)
			}
		}
	}
	// What the frame has as well stays: the frame lets go of it for reasons of its own.
	l.refers, l.looked = w.refers, w.looked
	l.pardon(w)
	l.revision = l.revision.to(w.out)
}

// all tells whether its sidecars hold everything, since the workload asked for too much.
func (l *learnedLayer) all() bool {
	return l.set.whole && (!l.key.canary || l.set.overflow)
}

// unresolved tells whether there are names to look for.
func (l *learnedLayer) unresolved() bool {
	return l.generation != l.frame.generation || l.resolved != l.set.news
}

// resolve finds the virtual hosts that answer to what the workload has asked for, and those
// that it would not ask for since it holds a pattern that covers them.
func (l *learnedLayer) resolve() {
	if l.found == nil || l.generation != l.frame.generation {
		l.found = map[string]string{}
	}
	held := map[string]struct{}{}
	for name, u := range l.set.asked {
		if l.key.canary && u.last.Before(l.set.since) {
			continue
		}
		host, known := l.found[name]
		if !known {
			host = l.frame.answers(name)
			l.found[name] = host
		}
		if host == "" {
			continue
		}
		if _, done := held[host]; done {
			continue
		}
		held[host] = struct{}{}
		for _, narrower := range l.frame.below(host) {
			held[narrower] = struct{}{}
		}
	}
	l.generation, l.resolved = l.frame.generation, l.set.news
	l.hosts = slices.Sorted(maps.Keys(held))
	l.crowded = len(l.hosts) > MostLearned
}

// stack is what a sidecar of the layer sees of what is outside of its pod.
func (l *learnedLayer) stack() Stack {
	if l.all() || l.crowded {
		return l.frame.stack
	}
	return Stack{LayerOutbound: l.revision, LayerBase: l.frame.revision}
}

// ask has a workload take names, listed or asked for (see learnedSet.take), and returns for
// each the virtual host that answers to it; empty: there is none. It tells whether the layers
// have to be published, which are others now.
func (g *learning) ask(l *learnedLayer, names []string, listed bool, now time.Time) (answers []string, news bool) {
	for _, name := range names {
		answers = append(answers, l.frame.answers(name))
		news = l.set.take(name, listed, l.key.canary, now) || news
	}
	if news {
		l.set.derive()
	}
	return answers, news
}
