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
	// heard are names that nobody has been asked about yet; the stream asks.
	heard []string
	// open are questions that the proxy waits for, with the virtual host that answers;
	// empty: there is none.
	open  map[string]string
	bytes int // of the names in open
	// recalled are virtual hosts that the proxy holds from an earlier stream and that it is
	// not known to use.
	recalled map[string]struct{}
	renewAt  time.Time // when leases are to be renewed; zero: not known yet
	due      bool      // they are to be renewed now
}

// maxOpen is how many questions one proxy may have open; each holds a request in it. Others
// are answered as if there was no such host.
const maxOpen = 1000

// maxAsked is how long a name may be that is asked for, in bytes, with its route
// configuration. Envoy does not ask for a Host header that is longer than a name with a port.
const maxAsked = 600

// hear takes the names that a proxy asks for.
func (s *session) hear(asked []string) error {
	if len(s.questions.open)+len(asked) > maxNames || s.questions.bytes+sizeOf(asked) > maxNameBytes {
		return fmt.Errorf("more than %d questions for hosts, or %d bytes of them, that are not answered", maxNames, maxNameBytes)
	}
	for _, name := range asked {
		if name == wildcard || !strings.Contains(name, "/") {
			continue
		}
		if s.questions.open == nil {
			s.questions.open = map[string]string{}
		}
		if _, again := s.questions.open[name]; again {
			continue
		}
		s.questions.bytes += len(name)
		s.questions.open[name] = ""
		if s.latest.Get(snapshot.VirtualHost, name) != nil {
			s.questions.open[name] = name
		}
		if s.questions.learns && len(name) <= maxAsked && len(s.questions.open) <= maxOpen {
			s.questions.heard = append(s.questions.heard, name)
		}
	}
	return nil
}

// unhear takes names that a proxy does not ask for any more.
func (s *session) unhear(names []string) {
	for _, name := range names {
		s.close(name)
	}
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

// learned tells whether a proxy that holds virtual hosts of an earlier stream has learned
// them. One that held all hosts then does not use them all; and what none was asked for is
// asked for when it is needed, so that nothing is lost without it.
func (s *session) learned(held map[string]string) bool {
	for _, version := range held {
		if version == snapshot.AnsweredVersion {
			return true
		}
	}
	return false
}

// relearn notes a virtual host, or an answer, that the proxy holds and the stack lacks. It
// is asked about once more: the proxy uses it, and another control plane may have answered.
func (s *session) relearn(name, version string) {
	if len(name) > maxAsked {
		s.types[snapshot.VirtualHost].remove(name)
		return
	}
	s.questions.heard = append(s.questions.heard, name)
	if version == snapshot.AnsweredVersion {
		return
	}
	if s.questions.recalled == nil {
		s.questions.recalled = map[string]struct{}{}
	}
	s.questions.recalled[name] = struct{}{}
}

// takeHeard are the names to ask about now.
func (s *session) takeHeard() []string {
	heard := s.questions.heard
	s.questions.heard = nil
	return heard
}

// answer takes what answers to names: the virtual hosts are in the newest stack.
func (s *session) answer(names, hosts []string) {
	for i, name := range names {
		if hosts[i] != "" {
			s.events.found++
		} else {
			s.events.unknown++
		}
		if _, recalled := s.questions.recalled[name]; recalled {
			delete(s.questions.recalled, name)
			if hosts[i] == "" {
				s.types[snapshot.VirtualHost].remove(name)
			}
		}
		if _, open := s.questions.open[name]; open {
			s.questions.open[name] = hosts[i]
		}
	}
}

// answers are those to the questions that can be answered with the next response, which
// takes the proxy to a stack.
func (s *session) answers(t snapshot.Type, to snapshot.Stack) (out []*snapshot.Resource) {
	if !s.asks(t) {
		return nil
	}
	for name, host := range s.questions.open {
		// A host that has gone again is answered, too: it is in neither stack.
		if host == "" || to.Get(snapshot.VirtualHost, host) != nil || s.latest.Get(snapshot.VirtualHost, host) == nil {
			s.close(name)
			if name == host && to.Get(snapshot.VirtualHost, host) != nil {
				s.types[t].force(host, false) // it is its own answer, and no name may be there twice
				continue
			}
			out = append(out, snapshot.Answer(name))
		}
	}
	slices.SortFunc(out, func(a, b *snapshot.Resource) int { return strings.Compare(a.Name, b.Name) })
	return out
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
func (s *session) renew(t snapshot.Type) (*message, bool) {
	if t != snapshot.VirtualHost || !s.questions.due {
		return nil, false
	}
	s.questions.due = false
	st := &s.types[t]
	var renewed []*snapshot.Resource
	for r := range st.sent.All(t) {
		if r.Leased() && s.types[snapshot.RouteConfig].names.has(routeConfigOf(r.Name)) {
			renewed = append(renewed, r.Renewal())
		}
	}
	if len(renewed) == 0 {
		return nil, false
	}
	return s.launch(t, &flight{from: st.sent, to: st.sent, renewed: renewed}, renewed, nil), true
}

// lapsed takes the refusal of renewals: the proxy has let go of what they renew, and is
// sent it anew.
func (s *session) lapsed(f *flight) {
	for _, r := range f.renewed {
		s.types[snapshot.VirtualHost].force(r.Name, false)
	}
}
