package discovery

import (
	"fmt"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// request takes one message of the proxy. What is to be answered goes out with
// the next step. An error ends the stream.
func (s *session) request(r request, now time.Time) error {
	st := &s.types[r.typ]
	current := true
	if r.nonce != "" {
		current = s.acknowledge(r, now)
	}
	if s.form.state {
		// A message about an older response says nothing of what the proxy
		// wants now: it will answer the newer one, too.
		if !current {
			return nil
		}
		return s.subscribeState(r)
	}
	if !st.subscribed {
		return s.begin(r)
	}
	return s.subscribeDelta(r.typ, r.subscribe, r.unsubscribe)
}

// acknowledge takes an ACK or NACK and reports whether it is about the newest
// response of its type.
func (s *session) acknowledge(r request, now time.Time) bool {
	st := &s.types[r.typ]
	f := st.flight
	if f == nil || f.nonce != r.nonce {
		// Of an earlier response, or of none: only what is in flight can be
		// acknowledged. A message that names the last, acknowledged response
		// merely subscribes.
		return f == nil
	}
	st.flight = nil
	if r.nack && len(f.renewed) > 0 {
		s.lapsed(f)
		return true
	}
	if r.nack {
		s.refused(r.typ, f, r.refuse, now)
		return true
	}
	st.acked = f.to
	s.taken(f)
	for _, p := range f.put {
		delete(st.rejected, p.Name)
		s.court.accept(p)
	}
	s.forgetRejected(r.typ, f.to)
	return true
}

// forgetRejected forgets refusals of what a stack no longer has.
func (s *session) forgetRejected(t snapshot.Type, stack snapshot.Stack) {
	rejected := s.types[t].rejected
	for name, r := range rejected {
		if now := s.standing(t, name, stack); now == nil || t != now.Type && now.Version != r.version {
			delete(rejected, name)
		}
	}
}

// standing is what a stack has under a name that was refused: for a route
// configuration that carries its virtual hosts, that may be one of those.
func (s *session) standing(t snapshot.Type, name string, stack snapshot.Stack) *snapshot.Resource {
	if t == snapshot.RouteConfig && s.form.inline && routeConfigOf(name) != name {
		t = snapshot.VirtualHost
	}
	return stack.Get(t, name)
}

// wildcard is the name that stands for everything of a type.
const wildcard = "*"

// begin takes the first message about a type on an incremental stream.
func (s *session) begin(r request) error {
	st := &s.types[r.typ]
	st.subscribed = true
	if r.typ == snapshot.Endpoint {
		s.coverEndpoints(r.subscribe, s.types[snapshot.Cluster].sent)
	}
	var list []string
	for _, name := range r.subscribe {
		if name == wildcard {
			st.all = true
		} else {
			list = append(list, name)
		}
	}
	if len(r.subscribe) == 0 && broadcast(r.typ) {
		st.all = true // the older way to ask for everything
	}
	asks := s.asks(r.typ)
	if r.typ != snapshot.Endpoint && !asks {
		st.names = s.shared.names.of(list)
	}
	if err := s.bound(r.typ); err != nil {
		return err
	}
	if asks {
		if err := s.boundQuestions(list); err != nil {
			return err
		}
		s.questions.due = r.held.count > 0 // the time of what it has leased runs on
	}
	if asks && r.held.count == 0 {
		s.hear(list)
		list = nil
	}
	s.noteSubscribed(r.typ, list)
	if r.held.count > 0 {
		s.resume(r.typ, r.held, list)
		return nil
	}
	if st.all && broadcast(r.typ) && r.typ != snapshot.VirtualHost {
		st.fresh = true
	}
	if s.tellsUnknown(r.typ) {
		for _, name := range list {
			st.force(name, false)
		}
	}
	return nil
}

// tellsUnknown says whether names of which there is no resource are told as removed. For
// secrets that is so until a proxy has its first load, which Envoy does not end before it
// has heard of each, or 15 s. Later it keeps what it had until a secret comes, which may
// only not have been read yet; so does a proxy that comes back. Streams of the state of the
// world have no way to say it.
func (s *session) tellsUnknown(t snapshot.Type) bool {
	return t == snapshot.Cluster || t == snapshot.Listener || t == snapshot.Secret && !s.complete && !s.returned && !s.form.state
}

// broadcast says whether a subscription without names means everything.
func broadcast(t snapshot.Type) bool {
	return t == snapshot.Cluster || t == snapshot.Listener || t == snapshot.VirtualHost
}

// bound is an error when the proxy asks for too much by name.
func (s *session) bound(t snapshot.Type) error {
	if t == snapshot.Endpoint {
		return s.boundExtra()
	}
	if n := s.types[t].names; n.len() > maxNames || sizeOf(n.list()) > maxNameBytes {
		return fmt.Errorf("subscription to more than %d %s names, or %d bytes of them", maxNames, t, maxNameBytes)
	}
	return nil
}

// noteSubscribed has what follows unasked from a subscription sent, too.
func (s *session) noteSubscribed(t snapshot.Type, list []string) {
	if t == snapshot.RouteConfig && s.types[snapshot.VirtualHost].subscribed {
		// Envoy does not ask for the virtual hosts of a route configuration
		// that comes later; it waits for them.
		for _, name := range list {
			s.types[snapshot.VirtualHost].force(name+"/", false)
		}
	}
}

// subscribeDelta changes what an incremental stream asks for.
func (s *session) subscribeDelta(t snapshot.Type, add, remove []string) error {
	if len(add)+len(remove) == 0 {
		return nil
	}
	st := &s.types[t]
	if s.asks(t) {
		s.unhear(remove)
		s.forgetAnswers(remove)
		if err := s.boundQuestions(add); err != nil {
			return err
		}
		s.hear(add)
		return nil
	}
	if t == snapshot.Endpoint {
		s.unsubscribeEndpoints(remove)
		if err := s.subscribeEndpoints(add); err != nil {
			return err
		}
		for _, name := range add {
			st.force(name, false)
		}
		return nil
	}
	s.unsubscribe(t, remove)
	var list []string
	for _, name := range add {
		if name != wildcard {
			list = append(list, name)
			st.force(name, false)
		} else if !st.all {
			st.all = true
			st.sent, st.fresh = snapshot.Stack{}, broadcast(t)
		}
	}
	st.names = s.shared.names.change(st.names, list, nil)
	if err := s.bound(t); err != nil {
		return err
	}
	s.noteSubscribed(t, list)
	return nil
}

func (s *session) unsubscribe(t snapshot.Type, remove []string) {
	st := &s.types[t]
	for _, name := range remove {
		delete(st.forced, name)
		switch {
		case name == wildcard:
			st.all = false
		case t == snapshot.RouteConfig:
			s.parked = without(s.parked, name)
			delete(s.types[snapshot.VirtualHost].forced, name+"/")
		case st.all:
			st.force(name, true) // it is still asked for by the wildcard, says the protocol
		}
		delete(st.rejected, name)
	}
	st.names = s.shared.names.change(st.names, nil, remove)
}

// subscribeState takes the list of names of a state-of-the-world request.
func (s *session) subscribeState(r request) error {
	st := &s.types[r.typ]
	if r.typ == snapshot.VirtualHost {
		return nil // cannot be served by this variant: route configurations carry them
	}
	first := !st.subscribed
	if !first && st.digest == r.digest && (r.typ != snapshot.Endpoint || len(s.endpoints.missing) == 0 && !s.awaits(snapshot.Endpoint)) {
		return nil
	}
	st.subscribed, st.digest = true, r.digest
	var list []string
	all := false
	for _, name := range r.names {
		if name == wildcard {
			all = true
		} else {
			list = append(list, name)
		}
	}
	if len(r.names) == 0 && first && broadcast(r.typ) {
		all = true
	}
	if r.typ == snapshot.Endpoint {
		return s.listEndpoints(list, first)
	}
	if r.typ == snapshot.Listener && first && s.phase.returning() {
		for l := range s.goal(r.typ).All(r.typ) {
			s.awaitNeeds(l)
		}
	}
	before := st.names
	wasAll := st.all
	st.all, st.names = all, s.shared.names.of(list)
	if err := s.bound(r.typ); err != nil {
		return err
	}
	switch {
	case r.typ != snapshot.Cluster && r.typ != snapshot.Listener:
		for _, name := range list {
			if !first && !before.has(name) {
				st.force(name, false)
			}
		}
		if all && !wasAll {
			st.sent = snapshot.Stack{}
		}
	case first && r.version != "":
		// The proxy holds something of an earlier stream.
		if all && r.version == s.form.version(s.goal(r.typ), r.typ) {
			st.sent, st.acked = s.goal(r.typ), s.goal(r.typ)
			return nil
		}
		st.fresh = true
		if r.typ == snapshot.Cluster && all {
			s.recall()
		}
	case first || len(r.names) > 0:
		st.fresh = true
		st.sent = snapshot.Stack{}
	}
	return nil
}

// listEndpoints takes a complete list of endpoint names.
func (s *session) listEndpoints(list []string, first bool) error {
	if first {
		clusters := s.types[snapshot.Cluster].sent
		if s.phase == phaseRecalling {
			s.recalled(list)
			clusters = s.target // which is sent at once
		}
		s.coverEndpoints(list, clusters)
		return s.boundExtra()
	}
	var added []string
	for _, name := range list {
		// A cluster that went and came back may be in the list all the time.
		_, awaited := s.awaited[snapshot.Key{Type: snapshot.Endpoint, Name: name}]
		if awaited || !s.wantsEndpoints(name) {
			added = append(added, name)
		}
	}
	s.coverEndpoints(list, s.types[snapshot.Cluster].sent)
	for _, name := range added {
		s.types[snapshot.Endpoint].force(name, false)
	}
	return s.boundExtra()
}
