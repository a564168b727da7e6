package discovery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// A proxy that learns does not hold all virtual hosts. For a request that has no route it
// asks by name, ROUTECONFIG/HOST, and holds the request until that is answered: by the virtual
// host, which may bear another name, and an answer that bears the asked one (see
// snapshot.Answer), in one response. So nothing is answered before the clusters are there
// that the virtual host leads to: it comes with a newer stack, as in any change.

// questions are what a session has yet to answer.
type questions struct {
	learns bool // whether somebody is to be asked; else the proxy is to have all hosts
	// heard are names that nobody has been asked about yet; the stream asks. listed are those
	// that an earlier stream has answered.
	heard, listed []string
	// open are questions that the proxy waits for, with the virtual host that answers;
	// empty: there is none.
	open  map[string]string
	bytes int // of the names in open
	// own are virtual hosts on their way that answer to what they are named.
	own map[string]struct{}
	// recalled are virtual hosts that the proxy holds from an earlier stream and that it is
	// not known to use.
	recalled map[string]struct{}
	// kept are virtual hosts that the proxy holds although its workload has forgotten them: it
	// has refused the route configurations by which it would ask for them again.
	kept    map[string]struct{}
	renewAt time.Time // when leases are to be renewed; zero: not known yet
	due     bool      // they are to be renewed now
}

// maxAsked is how long a name may be that is looked for, in bytes, with its route
// configuration. Envoy does not ask for a Host header that is longer than a name with a port.
const maxAsked = 320

// What becomes of a name that is asked for, as it is counted.
const (
	askedHost = "host" // a host of the mesh
	askedNone = "none" // nothing that the mesh has
)

// boundQuestions is an error when there are too many with those that are open.
func (s *session) boundQuestions(asked []string) error {
	if len(s.questions.open)+len(asked) > maxNames || s.questions.bytes+sizeOf(asked) > maxNameBytes {
		return fmt.Errorf("more than %d questions for hosts, or %d bytes of them, that are not answered", maxNames, maxNameBytes)
	}
	return nil
}

// hear takes the names that a proxy asks for.
func (s *session) hear(asked []string) {
	for _, name := range asked {
		if name == wildcard || !strings.Contains(name, "/") {
			continue
		}
		host := ""
		if s.latest.Get(snapshot.VirtualHost, name) != nil {
			host = name
		}
		s.open(name, host)
		if s.questions.learns && len(name) <= maxAsked {
			s.questions.heard = append(s.questions.heard, name)
		}
	}
}

// unhear takes names that a proxy does not ask for any more. One that learns does so for all
// of a route configuration when it is to forget what it was answered, and goes on to hold the
// requests that wait: their questions stay open.
func (s *session) unhear(names []string) {
	if s.questions.learns {
		return
	}
	for _, name := range names {
		s.close(name)
	}
}

// forgetAnswers takes names for which the proxy will ask again. It would list those that
// it was answered without a virtual host for as long as it lives.
func (s *session) forgetAnswers(names []string) {
	st := &s.types[snapshot.VirtualHost]
	for _, name := range names {
		if _, open := s.questions.open[name]; !open && s.questions.learns && len(name) <= maxAsked && len(st.gone) < snapshot.MostAsked && st.sent.Get(snapshot.VirtualHost, name) == nil {
			st.remove(name)
		}
	}
}

// keep leaves out of the virtual hosts that are removed those for which the proxy would not
// ask again, since it has refused their route configuration. Requests for them may get 503,
// and do not leave the mesh by the route for unknown hosts.
func (s *session) keep(t snapshot.Type, gone []string) []string {
	if t != snapshot.VirtualHost || !s.questions.learns || len(s.types[snapshot.RouteConfig].rejected) == 0 {
		return gone
	}
	var out []string
	for _, name := range gone {
		if !s.refusedConfigOf(name) || len(s.questions.kept) >= maxLingering {
			out = append(out, name)
			continue
		}
		if s.questions.kept == nil {
			s.questions.kept = map[string]struct{}{}
		}
		s.questions.kept[name] = struct{}{}
	}
	return out
}

// letGo has what was kept removed of which the proxy does not refuse the route configuration
// any more.
func (s *session) letGo() {
	for name := range s.questions.kept {
		if !s.refusedConfigOf(name) {
			delete(s.questions.kept, name)
			s.types[snapshot.VirtualHost].remove(name)
		}
	}
}

func (s *session) refusedConfigOf(host string) bool {
	_, refused := s.types[snapshot.RouteConfig].rejected[routeConfigOf(host)]
	return refused
}

// close ends a question.
func (s *session) close(name string) {
	if _, open := s.questions.open[name]; open {
		delete(s.questions.open, name)
		s.questions.bytes -= len(name)
	}
}

// asks tells whether the names that the proxy subscribes to are questions. One that does not
// learn any more may ask until it has all hosts.
func (s *session) asks(t snapshot.Type) bool {
	return t == snapshot.VirtualHost && !s.form.state && !s.form.inline
}

// relearn takes the names that a proxy has asked for, when it comes back: the ones that it still
// waits for, and those that an earlier stream has answered, which it will not ask for again.
// Another control plane may have answered them.
func (s *session) relearn(list []string, answered map[string]string) {
	for _, name := range list {
		if _, ok := answered[name]; !ok {
			s.hear([]string{name})
		} else if s.questions.learns && len(name) <= maxAsked {
			s.questions.listed = append(s.questions.listed, name)
		}
	}
	if len(s.questions.heard)+len(s.questions.listed) == 0 {
		s.settleRecalled()
	}
}

// recallHost notes a virtual host that the proxy holds and the stack lacks. It may be what answers
// to a name that is asked about once more. If it is not, the proxy does without: others of its
// workload asked for it, or it held all hosts then; it asks when it needs it.
func (s *session) recallHost(name string) {
	if s.questions.recalled == nil {
		s.questions.recalled = map[string]struct{}{}
	}
	s.questions.recalled[name] = struct{}{}
}

// settleRecalled removes those that answer to no name.
func (s *session) settleRecalled() {
	for name := range s.questions.recalled {
		if s.latest.Get(snapshot.VirtualHost, name) == nil {
			s.types[snapshot.VirtualHost].remove(name)
		}
	}
	s.questions.recalled = nil
}

// takeHeard are the names to ask about now, and those that an earlier stream has answered.
func (s *session) takeHeard() (heard, listed []string) {
	heard, listed = s.questions.heard, s.questions.listed
	s.questions.heard, s.questions.listed = nil, nil
	return heard, listed
}

// answer takes what answers to names: the virtual hosts are in the newest stack.
func (s *session) answer(names, hosts []string) {
	for i, name := range names {
		if hosts[i] != "" {
			s.events.found++
		} else {
			s.events.unknown++
		}
		if _, open := s.questions.open[name]; open {
			s.questions.open[name] = hosts[i]
		}
	}
}

// answers are those to the questions that can be answered with the next response, which
// takes the proxy to a stack. The proxy may refuse it; see reopen.
func (s *session) answers(key stepKey) (out []*snapshot.Resource) {
	if !s.asks(key.typ) {
		return nil
	}
	t := key.typ
	for name, host := range s.questions.open {
		// A host that has gone again is answered, too: it is in neither stack.
		switch there := host != "" && key.to.Get(t, host) != nil; {
		case !there && host != "" && s.latest.Get(t, host) != nil:
		case there && name == host && s.lookup(key, host) != nil && !s.refusedNow(host):
			// It is its own answer, and no name may be there twice.
			s.types[t].force(host, false)
			s.close(name)
			if s.questions.own == nil {
				s.questions.own = map[string]struct{}{}
			}
			s.questions.own[name] = struct{}{}
		default:
			out = append(out, snapshot.Answer(name))
			s.close(name)
		}
	}
	slices.SortFunc(out, func(a, b *snapshot.Resource) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// refusedNow tells whether the proxy has refused a virtual host as it is: then it goes on
// without.
func (s *session) refusedNow(host string) bool {
	_, refused := s.types[snapshot.VirtualHost].rejected[host]
	return refused
}

// reopen takes back the answers of a response that the proxy has refused, and those of virtual hosts
// that it refuses: they go again by themselves, after what is tried again of it.
func (s *session) reopen(f *flight, refused []*snapshot.Resource) {
	if len(f.put) > 0 || s.refusals < maxRefusals { // else the proxy refuses them for what they are
		for _, r := range f.answers {
			s.open(r.Name, "")
		}
	}
	for _, r := range refused {
		if _, own := s.questions.own[r.Name]; own {
			delete(s.questions.own, r.Name)
			s.open(r.Name, "")
		}
	}
}

// taken ends questions that a virtual host answers by its name.
func (s *session) taken(f *flight) {
	if len(s.questions.own) == 0 {
		return
	}
	for _, r := range f.put {
		delete(s.questions.own, r.Name)
	}
}

// open notes a question.
func (s *session) open(name, host string) {
	if _, again := s.questions.open[name]; again {
		return
	}
	if s.questions.open == nil {
		s.questions.open = map[string]string{}
	}
	s.questions.open[name] = host
	s.questions.bytes += len(name)
	delete(s.types[snapshot.VirtualHost].gone, name) // see forgetAnswers; it is to be answered
}

// renewTime is how often leases are renewed.
const renewTime = snapshot.LeaseTime / 3

// remind says when leases are due.
func (s *session) remind(now time.Time) {
	q := &s.questions
	switch {
	case !q.learns || !s.types[snapshot.VirtualHost].subscribed:
	case q.renewAt.IsZero():
		q.renewAt = now.Add(renewTime)
	case !now.Before(q.renewAt):
		q.renewAt, q.due = now.Add(renewTime), true
	}
}

// renew is the message that renews what the proxy has leased, when that is due and there
// is anything.
func (s *session) renew(t snapshot.Type) *message {
	if t != snapshot.VirtualHost || !s.questions.due {
		return nil
	}
	s.questions.due = false
	st := &s.types[t]
	var renewed []*snapshot.Resource
	for r := range st.sent.All(t) {
		if _, sent := st.forced[r.Name]; r.Leased() && !sent && s.types[snapshot.RouteConfig].names.has(routeConfigOf(r.Name)) {
			renewed = append(renewed, r.Renewal())
		}
	}
	if len(renewed) == 0 {
		return nil
	}
	return s.launch(t, &flight{from: st.sent, to: st.sent, renewed: renewed}, renewed, nil)
}

// lapsed takes the refusal of renewals: the proxy has let go of what they renew, and is
// sent it anew.
func (s *session) lapsed(f *flight) {
	for _, r := range f.renewed {
		s.types[snapshot.VirtualHost].force(r.Name, false)
	}
}
