package discovery

import (
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// phase is where a session stands on the way from one stack to the next. The package
// comment tells what each promises to the proxy.
type phase uint8

const (
	// phaseIdle: listeners and routes are at target. What is asked for anew is sent.
	phaseIdle phase = iota
	// phaseClusters: clusters, endpoints and secrets go to target; listeners and routes
	// stay at reached.
	phaseClusters
	// phaseRoutes: listeners and routes go to target, too.
	phaseRoutes
	// phaseRecalling: a state-of-the-world client came back and has yet to name its
	// clusters. None are answered, and neither are listeners and routes.
	phaseRecalling
	// phaseResuming is phaseClusters for a proxy that came back: nothing was reached on
	// this stream, so that listeners and routes are not answered.
	phaseResuming
	// phaseHearing is phaseRoutes for a proxy that came back and has yet to say what
	// listeners and routes it holds.
	phaseHearing
)

// phases is the table of what leads where. A phase ends when the proxy has done what it
// is for, or has had the time for it.
var phases = [...]struct {
	name string
	done func(*session) bool
	end  func(*session)
	next phase
}{
	phaseIdle:      {"idle", (*session).outdated, (*session).aim, phaseClusters},
	phaseClusters:  {"clusters", (*session).clustersSettled, (*session).openRoutes, phaseRoutes},
	phaseRoutes:    {"routes", (*session).routesSettled, (*session).closeChange, phaseIdle},
	phaseRecalling: {"recalling", never, (*session).openRoutes, phaseHearing}, // recalled leads on to phaseResuming
	phaseResuming:  {"resuming", (*session).clustersSettled, (*session).openRoutes, phaseHearing},
	phaseHearing:   {"hearing", (*session).allHeardAndSettled, (*session).closeChange, phaseIdle},
}

// String is the name used in metrics and by `fairway status`.
func (p phase) String() string { return phases[p].name }

// returning says whether the stream is of a proxy that came back and has not yet got
// through its first change.
func (p phase) returning() bool { return p >= phaseRecalling }

// gates says whether listeners and routes are not answered at all.
func (p phase) gates() bool { return p == phaseRecalling || p == phaseResuming }

// converge takes the time when the proxy has accepted all that there is.
func (s *session) converge(now time.Time) {
	if s.behind.IsZero() || s.phase != phaseIdle || s.target != s.latest {
		return
	}
	for t := range s.types {
		if !s.types[t].quiet() {
			return
		}
	}
	if s.changed && s.told {
		s.events.converged = append(s.events.converged, now.Sub(s.latestAt))
	}
	s.changed, s.told = false, false
	if s.types[snapshot.Cluster].subscribed && s.types[snapshot.Listener].subscribed { // else it has only begun
		s.behind, s.complete, s.hasty, s.events.progress, s.events.took = time.Time{}, true, false, true, s.latestAt
	}
}

// advance goes on to the next phase when the one under way is done or has waited long
// enough, and reports whether it did.
func (s *session) advance(now time.Time) bool {
	p := phases[s.phase]
	if !p.done(s) {
		if !s.overdue(now) {
			return false
		}
		s.giveUp()
	}
	p.end(s)
	s.enter(p.next)
	return true
}

func never(*session) bool { return false }

// outdated says whether there is something newer to go to.
func (s *session) outdated() bool { return s.target != s.latest }

// aim begins a change.
func (s *session) aim() {
	s.release()
	s.target, s.warming = s.latest, false
}

// openRoutes lets listeners and routes go where the clusters are.
func (s *session) openRoutes() {
	if s.target != s.latest && !s.addsClusters(s.latest) {
		// What came meanwhile needs no other clusters: no need to stop here.
		s.target = s.latest
	}
	s.reached = s.target
}

// closeChange ends a change: nothing refers any more to what it removes.
func (s *session) closeChange() {
	s.awaited = nil
	s.removeClusters()
}

func (s *session) enter(p phase) { s.phase, s.deadline, s.putOffs = p, time.Time{}, 0 }

// giveUp stops waiting for what the proxy was bound to do.
func (s *session) giveUp() {
	s.events.overdue = append(s.events.overdue, s.phase)
	if s.awaits(snapshot.Secret) && !s.types[snapshot.Secret].subscribed {
		s.secretless = true
	}
	s.awaited, s.hasty = nil, true
}

// addsClusters says whether a stack has clusters that target lacks or has otherwise.
func (s *session) addsClusters(stack snapshot.Stack) bool {
	for _, d := range s.target.Diff(stack, snapshot.Cluster) {
		if d.New != nil {
			return true
		}
	}
	return false
}

// clustersSettled says whether the proxy has warmed the clusters of target. An
// acknowledged cluster is not warm; its acknowledged endpoints are.
func (s *session) clustersSettled() bool {
	clusters := &s.types[snapshot.Cluster]
	if !clusters.subscribed {
		return true
	}
	if !clusters.settled(s.target) && !(s.standsIn && clusters.unanswered(s.target)) || s.awaits(snapshot.Endpoint, snapshot.Secret) {
		return false
	}
	if !s.warming {
		return true // endpoints and secrets may be on their way, but not for a cluster that needs them first
	}
	return s.types[snapshot.Endpoint].quiet() && s.types[snapshot.Secret].quiet() && (!s.expects || s.types[snapshot.Endpoint].subscribed)
}

// routesSettled says whether the proxy has accepted listeners and routes of target.
func (s *session) routesSettled() bool {
	if s.awaits(snapshot.RouteConfig, snapshot.ExtensionConfig, snapshot.Secret) {
		return false
	}
	for _, t := range []snapshot.Type{snapshot.ExtensionConfig, snapshot.Listener, snapshot.RouteConfig, snapshot.VirtualHost} {
		if st := &s.types[t]; st.subscribed && !st.settled(s.reached) {
			return false
		}
	}
	return true
}

func (s *session) allHeardAndSettled() bool { return s.heardAll() && s.routesSettled() }

// heardAll says whether a reconnected proxy has asked for all that it is bound
// to have. Before that, routes of its past may lead to clusters that are gone.
func (s *session) heardAll() bool {
	if !s.types[snapshot.Listener].subscribed {
		return false
	}
	return s.form.state || s.form.inline || s.types[snapshot.RouteConfig].names.len() == 0 || s.types[snapshot.VirtualHost].subscribed
}

// awaits says whether the proxy is bound to ask for something of these types.
// What vanished meanwhile together with the listener that needed it does not count.
func (s *session) awaits(of ...snapshot.Type) bool {
	for k := range s.awaited {
		if k.Type == snapshot.Secret && s.secretless && !s.types[snapshot.Secret].subscribed {
			continue
		}
		if k.Type == snapshot.ExtensionConfig && !s.types[k.Type].subscribed {
			continue // Envoy asks before it acknowledges the listener; others do without
		}
		listeners := k.Type == snapshot.RouteConfig || k.Type == snapshot.ExtensionConfig
		if slices.Contains(of, k.Type) && (!listeners || s.reached.Get(k.Type, k.Name) != nil) {
			return true
		}
	}
	return false
}

// quiet says that nothing is on its way or bound to go.
func (st *typeState) quiet() bool {
	return st.flight == nil && len(st.forced) == 0 && len(st.retry) == 0
}

func (st *typeState) settled(at snapshot.Stack) bool {
	return st.quiet() && st.sent == at && len(st.gone) == 0 && !st.fresh
}

// unanswered says that all that a stack has was sent, and is not acknowledged.
func (st *typeState) unanswered(at snapshot.Stack) bool {
	return st.flight != nil && len(st.forced)+len(st.retry)+len(st.gone) == 0 && st.sent == at && !st.fresh
}

// removeClusters lets the clusters go that nothing refers to any more. While
// the proxy holds on to something that it had instead of what it refused, that
// may refer to them, and they stay.
func (s *session) removeClusters() {
	for _, t := range []snapshot.Type{snapshot.ExtensionConfig, snapshot.Listener, snapshot.RouteConfig, snapshot.VirtualHost} {
		if len(s.types[t].rejected) > 0 {
			return
		}
	}
	clusters := &s.types[snapshot.Cluster]
	for name := range s.linger {
		if s.latest.Get(snapshot.Cluster, name) != nil {
			continue // it is coming back
		}
		clusters.remove(name)
		s.linger = without(s.linger, name)
	}
	s.release()
	s.standsIn = s.standsIn && len(s.linger) > 0
}
