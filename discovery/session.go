package discovery

import (
	"slices"
	"strconv"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// session is one stream as values: what the proxy asked for, what it was sent
// and accepted, and what it gets next. It does no I/O and starts nothing: the
// stream hands in requests, newer stacks and the time, and sends what comes
// out. Its size at rest does not depend on the size of the mesh.
//
// A change goes out in phases (see advance): first clusters with their
// endpoints and secrets, then listeners and routes, then the removal of
// clusters. Each phase begins when the proxy has acknowledged the one before.
type session struct {
	shared *shared
	form   form
	wait   time.Duration // the longest that a phase waits for the proxy

	latest    snapshot.Stack // the newest that was published
	latestAt  time.Time
	target    snapshot.Stack // what the clusters go to
	targetAt  time.Time
	reached   snapshot.Stack // what listeners and routes may go to: clusters for it are warm
	gated     bool           // a reconnected proxy whose clusters are not settled yet: reached does not count
	resumed   bool           // a reconnected proxy that has yet to say what listeners and routes it holds
	phase     phase
	deadline  time.Time // of the wait under way; zero when nothing waits
	types     [snapshot.NumTypes]typeState
	endpoints endpointNames
	// linger holds clusters that the proxy has and target has not. They are
	// removed when the routes to them are. The value is nil when only the name is known.
	linger map[string]*snapshot.Resource
	// awaited are resources that the proxy is bound to ask for since it was
	// sent what needs them.
	awaited map[snapshot.Key]struct{}
	// parked are route configurations that vanished while the proxy still
	// uses them (a listener drains), with the virtual hosts that it has of them.
	parked map[string]parking
	// expects says that the proxy was sent clusters that take endpoints.
	expects bool
	// spared are versions that the proxy was not sent since another one
	// refused them, as of the verdicts of that generation.
	spared     map[version]struct{}
	generation uint64
	refusals   int
	nonce      uint64

	events events
}

// shared is what all sessions of a server have in common.
type shared struct {
	steps    *steps
	names    *nameTable
	verdicts *verdicts
}

func newShared(cacheBytes int) *shared {
	v := newVerdicts()
	return &shared{steps: newSteps(cacheBytes, v), names: newNameTable(), verdicts: v}
}

// events is what a session has to tell besides messages; the stream empties it.
type events struct {
	refusals  []refusal
	converged []time.Duration
	overdue   []phase // phases that went on without the proxy's word
}

// phase is where a session stands on the way from one stack to the next.
type phase uint8

const (
	phaseIdle     phase = iota
	phaseClusters       // clusters, endpoints and secrets go to target
	phaseRoutes         // listeners and routes go to it, too
)

// String is the name used in metrics.
func (p phase) String() string { return [...]string{"idle", "clusters", "routes"}[p] }

// typeState is what a session knows of one type.
type typeState struct {
	subscribed bool
	all        bool   // the proxy asks for everything of the type
	names      *names // and, or only, for these
	digest     uint64 // of the names in the last state-of-the-world request

	fresh    bool // the proxy waits for a first answer, even an empty one
	sent     snapshot.Stack
	acked    snapshot.Stack
	flight   *flight             // the response that is not acknowledged yet; nil: none
	forced   map[string]bool     // to be sent although sent has it; true: the proxy holds an older version
	gone     map[string]struct{} // to be told as removed
	retry    []part              // of a refused response that are tried again by themselves
	rejected map[string]string   // name to version that the proxy refused and that still stands
	lastNack nack
}

// flight is a response on its way.
type flight struct {
	nonce string
	to    snapshot.Stack
	put   []*snapshot.Resource
	from  snapshot.Stack
	trial []*snapshot.Resource // see part
}

// parking says which virtual hosts a proxy has of a route configuration.
type parking struct {
	stack snapshot.Stack // those of this stack
	names []string       // and these
}

// part is some resources of a response that was refused as a whole.
type part struct {
	names []string
	from  snapshot.Stack // what the proxy held before that response
	// trial, for a route configuration that carries its virtual hosts, are
	// those of the changed ones that go with this part.
	trial []*snapshot.Resource
}

type nack struct {
	at      time.Time
	message string
}

// message is a response to be sent.
type message struct {
	typ snapshot.Type
	response
}

func newSession(sh *shared, f form, stack snapshot.Stack, at time.Time, wait time.Duration) *session {
	return &session{
		shared: sh, form: f, wait: wait,
		latest: stack, latestAt: at, target: stack, targetAt: at, reached: stack,
	}
}

// publish says that there is a newer stack.
func (s *session) publish(stack snapshot.Stack, at time.Time) { s.latest, s.latestAt = stack, at }

// step does all that can be done now and returns the messages to be sent, in order.
func (s *session) step(now time.Time) []message {
	s.reconsider()
	var out []message
	for progress := true; progress; {
		progress = false
		for s.advance(now) {
			progress = true
		}
		for t := range snapshot.NumTypes {
			m, did := s.next(t)
			progress = progress || did
			if m != nil {
				out = append(out, *m)
			}
		}
	}
	if s.phase == phaseIdle {
		s.deadline = time.Time{}
	} else if s.deadline.IsZero() {
		s.deadline = now.Add(s.wait)
	}
	return out
}

// reconsider sends what was withheld and is no longer held to be bad.
func (s *session) reconsider() {
	now := s.shared.verdicts.generation.Load()
	if now == s.generation {
		return
	}
	s.generation = now
	for v := range s.spared {
		if s.shared.verdicts.refuses(v) {
			continue
		}
		delete(s.spared, v)
		t, name := v.key.Type, v.key.Name
		if r := s.goal(t).Get(t, name); r == nil || r.Version != v.version {
			continue
		}
		if t == snapshot.VirtualHost && s.form.inline {
			t, name = snapshot.RouteConfig, routeConfigOf(name)
		}
		s.types[t].force(name, true)
	}
}

// advance goes on to the next phase when the one under way is settled or has
// waited long enough, and reports whether it did.
func (s *session) advance(now time.Time) bool {
	overdue := !s.deadline.IsZero() && !now.Before(s.deadline)
	switch s.phase {
	case phaseIdle:
		if s.target == s.latest {
			return false
		}
		s.target, s.targetAt = s.latest, s.latestAt
		s.enter(phaseClusters)
		return true
	case phaseClusters:
		if !s.clustersSettled() {
			if !overdue {
				return false
			}
			s.giveUp()
		}
		if s.target != s.latest && !s.addsClusters(s.latest) {
			// What came meanwhile needs no other clusters: no need to stop here.
			s.target, s.targetAt = s.latest, s.latestAt
		}
		s.reached, s.gated = s.target, false
		s.enter(phaseRoutes)
		return true
	default:
		if !s.routesSettled() {
			if !overdue {
				return false
			}
			s.giveUp()
		}
		s.resumed, s.awaited = false, nil
		s.removeClusters()
		s.enter(phaseIdle)
		if !overdue {
			s.events.converged = append(s.events.converged, now.Sub(s.targetAt))
		}
		return true
	}
}

func (s *session) enter(p phase) { s.phase, s.deadline = p, time.Time{} }

// giveUp stops waiting for what the proxy was bound to do.
func (s *session) giveUp() {
	s.events.overdue = append(s.events.overdue, s.phase)
	s.awaited = nil
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
	if s.expects && !s.types[snapshot.Endpoint].subscribed {
		return false
	}
	return !s.awaits(snapshot.Endpoint, snapshot.Secret) && clusters.settled(s.target) &&
		s.types[snapshot.Endpoint].quiet() && s.types[snapshot.Secret].quiet()
}

// routesSettled says whether the proxy has accepted listeners and routes of target.
func (s *session) routesSettled() bool {
	if s.resumed && !s.heardAll() {
		return false
	}
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
		delete(s.linger, name)
	}
}

func (st *typeState) remove(name string) {
	if st.gone == nil {
		st.gone = map[string]struct{}{}
	}
	st.gone[name] = struct{}{}
}

// force has a resource sent although it did not change. held says that the
// proxy has an older version of it.
func (st *typeState) force(name string, held bool) {
	if st.forced == nil {
		st.forced = map[string]bool{}
	}
	st.forced[name] = held
}

// goal is the stack that a type is to reach now. Endpoints and secrets do not
// wait for anything.
func (s *session) goal(t snapshot.Type) snapshot.Stack {
	switch t {
	case snapshot.Cluster:
		return s.target
	case snapshot.Endpoint, snapshot.Secret:
		return s.latest
	default:
		return s.reached
	}
}

// blocked says whether a type must not be answered yet.
func (s *session) blocked(t snapshot.Type) bool {
	switch t {
	case snapshot.Cluster, snapshot.Endpoint, snapshot.Secret:
		return false
	case snapshot.VirtualHost:
		// Envoy passes over virtual hosts of a route configuration that it does not have.
		if len(s.types[snapshot.RouteConfig].forced) > 0 {
			return true
		}
	}
	return s.gated
}

func (s *session) newNonce() string {
	s.nonce++
	return strconv.FormatUint(s.nonce, 10)
}
