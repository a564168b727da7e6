package snapshot

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate"
)

// The oldest Envoy that asks on demand without fault. Older ones hold all that
// they may use.
const (
	learningMajor = 1
	learningMinor = 40
)

// learns tells whether a proxy is to hold what its workload uses: the mesh
// configuration or its Pod says so, it can, and all its listeners ask. The caller
// holds e.mu.
func (e *Engine) learns(a *attached) bool {
	c := a.client
	return a.asking == asksAll && a.proxy.Role == mesh.RoleSidecar && c.VHDS && c.UserAgent == "envoy" && c.Version.AtLeast(learningMajor, learningMinor) &&
		c.HasExtension(translate.OnDemandFilter) && e.world.Config.LearnsFor(a.proxy.Workload)
}

// learn gives a proxy that came in the layer of its workload. The caller holds
// e.mu.
func (e *Engine) learn(a *attached) {
	if e.learns(a) {
		a.learned = e.learning.enter(e.learnedKey(a), e.scopes.shown(a.scope), a)
	}
}

func (e *Engine) learnedKey(a *attached) learnedKey {
	w := a.proxy.Workload
	of := workloadKey{w.Namespace, w.Owner}
	return learnedKey{scope: a.scope, of: of, inbound: a.inbound, canary: e.learning.isCanary(of, a)}
}

// unlearn takes a proxy from it. The caller holds e.mu.
func (e *Engine) unlearn(a *attached) {
	if a.learned != nil {
		known := e.world.Workload(a.client.Namespace, a.client.Pod) != nil
		e.learning.leave(a.learned, a, known)
	}
}

// relearn moves a proxy to the layer that it is to look at now, and asks it to
// connect anew when the mesh configuration has changed its mind: how it asks is
// settled when its stream begins. The caller holds e.mu.
func (e *Engine) relearn(a *attached) {
	if e.learns(a) != (a.learned != nil) {
		a.view.End(status.Error(codes.Unavailable, "the mesh configuration says otherwise now which hosts this sidecar holds: connect anew"))
		return
	}
	if a.learned == nil {
		return
	}
	if key := e.learnedKey(a); key != a.learned.key {
		before := a.learned
		a.learned = e.learning.enter(key, e.scopes.shown(a.scope), a)
		a.learned.set.carry(before.set)
		e.learning.leave(before, a, true)
	}
}

// ask is View.Ask and, for names that are listed, View.Recall.
func (e *Engine) ask(a *attached, names []string, listed bool) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, there := e.proxies[a]; !there || a.learned == nil {
		return make([]string, len(names))
	}
	answers, news := e.learning.ask(a.learned, names, listed, time.Now())
	if !news {
		return answers
	}
	e.tellLearned(a.learned.set)
	return answers
}

// tellLearned publishes to all sidecars of a workload what it has learned.
func (e *Engine) tellLearned(s *learnedSet) {
	for l := range s.layers {
		for a := range l.users {
			a.view.Publish(e.stack(a))
		}
	}
}
