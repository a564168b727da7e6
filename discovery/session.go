package discovery

import (
	"strconv"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// session is one stream as values: what the proxy asked for, what it was sent
// and accepted, and what it gets next. It does no I/O and starts nothing: the
// stream hands in requests, newer stacks and the time, and sends what comes
// out. Its size at rest does not depend on the size of the mesh.
//
// A change goes out in phases (see the package comment): first clusters with their
// endpoints and secrets, then listeners and routes, then the removal of
// clusters. Each phase begins when the proxy has acknowledged the one before.
type session struct {
	shared *shared
	form   form
	wait   time.Duration // the longest that a phase waits for the proxy

	latest    snapshot.Stack // the newest that was published
	latestAt  time.Time
	target    snapshot.Stack // what the clusters go to
	reached   snapshot.Stack // what listeners and routes may go to: clusters for it are warm
	phase     phase
	deadline  time.Time // of the wait under way; zero when nothing waits
	putOffs   int       // how often that was prolonged
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
	parked  map[string][]string // names of virtual hosts, which others may share
	changed bool                // something was published that the proxy may not have taken yet
	told    bool                // and something was sent since
	// behind is since when the proxy lacks something that was published; zero
	// when it lacks nothing.
	behind time.Time
	// complete says that the proxy has had a complete configuration.
	complete bool
	returned bool // the proxy holds listeners or secrets of an earlier stream
	warming  bool // clusters were sent in this phase
	standsIn bool // stand-ins are among the clusters that linger
	// expects says that the proxy was sent clusters that take endpoints.
	expects bool
	// spared are versions that the proxy was not sent since others refused them.
	spared   map[version]struct{}
	verdicts *verdicts                // what is withheld from the proxy, as of the last step: what
	judged   *verdicts                // the court withholds, and what
	mine     map[version]*refusedCase // it has refused itself
	court    *court                   // of its namespace; nil: none
	juror    juror                    // the proxy as that knows it
	// hasty says that a step of a change went on without the proxy's word, so
	// that it may have been sent things before what they need.
	hasty bool
	// secretless says that the proxy let a wait for a secret pass and has never asked for
	// any, so that it is not waited for again until it does.
	secretless  bool
	refusedMore bool // mine is not in verdicts yet
	refusals    int
	untrusted   int // refused secrets of authorities, which do not count there
	nonce       uint64
	questions   questions

	events events
}

// shared is what all sessions of a server have in common.
type shared struct {
	steps  *steps
	names  *nameTable
	courts *courts
}

func newShared(cacheBytes int) *shared {
	return &shared{steps: newSteps(cacheBytes), names: newNameTable(), courts: newCourts()}
}

// events is what a session has to tell besides messages; the stream empties it.
type events struct {
	refusals  []refusal
	converged []time.Duration
	overdue   []phase // phases that went on without the proxy's word
	found     int     // names that were asked for and have a host
	unknown   int     // and those that have none
	progress  bool    // what the proxy holds or refuses is not what it was
	// took is when what the proxy has accepted all of was published; zero: it has not.
	took time.Time
}

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
	rejected map[string]rejected // by name: what the proxy refused and that still stands
	lastNack *nack               // nil: it never refused
}

// flight is a response on its way.
type flight struct {
	nonce string
	to    snapshot.Stack
	put   []*snapshot.Resource
	from  snapshot.Stack
	trial []*snapshot.Resource // see part

	renewed []*snapshot.Resource // leases that it renews, and nothing else
	answers []*snapshot.Resource // to questions
}

// part is some resources of a response that was refused as a whole.
type part struct {
	names []string
	from  snapshot.Stack // what the proxy held before that response
	// trial, for a route configuration that carries its virtual hosts, are
	// those of the changed ones that go with this part.
	trial []*snapshot.Resource
}

// rejected is what a proxy said to one version of a resource.
type rejected struct {
	version string
	owners  []object.Ref
	message string
	counts  bool // see mayJudge
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
		latest: stack, latestAt: at, target: stack, reached: stack, behind: at,
	}
}

// publish says that there is a newer stack.
func (s *session) publish(stack snapshot.Stack, at time.Time) {
	s.latest, s.latestAt = stack, at
	s.changed = true
	if s.behind.IsZero() {
		s.behind = at
	}
}

// step does all that can be done now and returns the messages to be sent, in order.
func (s *session) step(now time.Time) []message {
	s.reconsider()
	s.remind(now)
	var out []message
	for again := true; again; again = s.reconsider() { // a newcomer that is complete is offered more
		out = s.proceed(now, out)
		s.converge(now)
	}
	if s.phase == phaseIdle {
		s.deadline = time.Time{}
	} else if s.deadline.IsZero() {
		s.deadline = now.Add(s.wait)
	}
	return out
}

// proceed goes as far as the proxy's word allows, and adds what is to be sent.
func (s *session) proceed(now time.Time, out []message) []message {
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
	return out
}

// reconsider sends what was withheld and is so no longer. It reports whether
// there is anything.
func (s *session) reconsider() bool {
	judged := s.court.of(audience{s.juror, !s.complete})
	if judged == s.judged && !s.refusedMore {
		return false
	}
	s.judged, s.refusedMore = judged, false
	now := judged.and(s.mine)
	s.verdicts = now
	found := false
	for v := range s.spared {
		if now.refuses(v) {
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
		found = true
	}
	return found
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

// goal is the stack that a type is to reach now. Endpoints, secrets and runtime
// values do not wait for anything.
func (s *session) goal(t snapshot.Type) snapshot.Stack {
	switch t {
	case snapshot.Cluster:
		return s.target
	case snapshot.Endpoint, snapshot.Secret, snapshot.Runtime:
		return s.latest
	default:
		return s.reached
	}
}

// blocked says whether a type must not be answered yet.
func (s *session) blocked(t snapshot.Type) bool {
	switch t {
	case snapshot.Cluster:
		return s.phase == phaseRecalling
	case snapshot.Endpoint, snapshot.Secret, snapshot.Runtime:
		return false
	case snapshot.VirtualHost:
		// Envoy passes over virtual hosts of a route configuration that it does not have.
		// And one that learns may lose a virtual host only when it knows that it has to ask
		// for it again: the route configurations say so (see snapshot.Resource.Era).
		if rc := &s.types[snapshot.RouteConfig]; len(rc.forced) > 0 || s.questions.learns && (rc.flight != nil || len(rc.retry) > 0) {
			return true
		}
	}
	return s.phase.gates()
}

func (s *session) newNonce() string {
	s.nonce++
	return strconv.FormatUint(s.nonce, 10)
}
