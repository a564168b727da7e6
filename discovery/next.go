package discovery

import (
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/snapshot"
)

// next brings one type nearer to its goal. It returns the message to be sent,
// if any, and whether anything changed.
func (s *session) next(t snapshot.Type) (*message, bool) {
	st := &s.types[t]
	if !st.subscribed || st.flight != nil || s.blocked(t) {
		return nil, false
	}
	to := s.goal(t)
	if len(st.retry) > 0 {
		return s.sendRetry(t), true
	}
	if st.sent == to && len(st.forced) == 0 && len(st.gone) == 0 && !st.fresh {
		return nil, false
	}
	key := s.keyOf(t, to)
	shared := s.shared.steps.get(key)
	fresh := st.fresh
	s.park(t, shared, st.sent)
	var put []*snapshot.Resource
	var body []byte
	count := 0
	if s.isCommon(t, shared) {
		put, body, count = shared.put, shared.body, len(shared.put)+len(shared.gone)
		s.noteShared(t, shared, fresh)
		if body == nil && fresh {
			body = s.emptyBody(key)
		}
	} else {
		put, body, count = s.own(key, shared)
	}
	from := st.sent
	st.sent, st.forced, st.gone, st.fresh = to, nil, nil, false
	if body == nil {
		st.acked = to
		return nil, true
	}
	return s.launch(t, &flight{from: from, to: to, put: put, count: count}, body), true
}

// keyOf is the key of the way from what the proxy has to a stack.
func (s *session) keyOf(t snapshot.Type, to snapshot.Stack) stepKey {
	st := &s.types[t]
	key := stepKey{typ: t, from: st.sent, to: to, all: st.all, names: st.names, form: s.form}
	switch t {
	case snapshot.Endpoint:
		key.all, key.names = s.endpoints.covers, s.endpoints.extra
		if key.all {
			key.clusters = s.types[snapshot.Cluster].sent
		}
	case snapshot.VirtualHost:
		key.all, key.names = false, s.types[snapshot.RouteConfig].names
	}
	return key
}

func (s *session) launch(t snapshot.Type, f *flight, body []byte) *message {
	if len(s.awaited) > 0 {
		for _, r := range f.put {
			delete(s.awaited, snapshot.Key{Type: t, Name: r.Name})
		}
	}
	if t == snapshot.Cluster && !s.expects {
		s.expects = slices.ContainsFunc(f.put, func(r *snapshot.Resource) bool { return needsEndpoints(r) != "" })
	}
	f.nonce = s.newNonce()
	s.types[t].flight = f
	return &message{typ: t, response: response{body: body, nonce: encodeNonce(f.nonce)}}
}

// isCommon says whether the shared step is just what this proxy needs.
func (s *session) isCommon(t snapshot.Type, shared *step) bool {
	st := &s.types[t]
	if len(st.forced) > 0 || len(st.gone) > 0 {
		return false
	}
	switch {
	case t == snapshot.Endpoint && len(s.endpoints.missing) > 0:
		return !slices.ContainsFunc(shared.put, func(r *snapshot.Resource) bool { return !s.wantsEndpoints(r.Name) })
	case t == snapshot.Cluster && s.form.state:
		return len(s.linger) == 0
	}
	return true
}

func (s *session) emptyBody(key stepKey) []byte {
	if key.complete() {
		return s.shared.steps.encodeComplete(key, nil)
	}
	return s.shared.steps.encodeParts(key, nil, nil)
}

// own makes the message of a proxy that needs something of its own.
func (s *session) own(key stepKey, shared *step) (put []*snapshot.Resource, body []byte, count int) {
	t := key.typ
	st := &s.types[t]
	fresh := st.fresh
	seen := map[string]bool{}
	for i, r := range shared.put {
		seen[r.Name] = true
		if t == snapshot.Endpoint && !s.wantsEndpoints(r.Name) {
			continue
		}
		put = append(put, r)
		if !fresh {
			s.notePut(t, r, shared.held[i])
		}
	}
	s.noteDropped(t, shared)
	gone := maps.Clone(st.gone)
	if gone == nil {
		gone = map[string]struct{}{}
	}
	for _, name := range shared.gone {
		gone[name] = struct{}{}
	}
	for _, name := range s.expand(key) {
		if seen[name] {
			continue
		}
		seen[name] = true
		r := s.shared.steps.lookup(key, name)
		switch {
		case r != nil:
			put = append(put, r)
			if !fresh {
				s.notePut(t, r, st.forced[name])
			}
		case t == snapshot.Cluster || t == snapshot.Listener:
			gone[name] = struct{}{} // the way to say "there is no such thing"
		}
	}
	slices.SortFunc(put, func(a, b *snapshot.Resource) int { return strings.Compare(a.Name, b.Name) })
	removed := make([]string, 0, len(gone))
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		if key.to.Get(t, name) == nil {
			removed = append(removed, name)
			if t == snapshot.Cluster {
				s.forgetEndpoints(name)
			}
		}
	}
	count = len(put) + len(removed)
	switch {
	case count == 0 && !fresh:
		return nil, nil, 0
	case key.complete():
		return put, s.shared.steps.encodeComplete(key, s.lingering()), count
	default:
		return put, s.shared.steps.encodeParts(key, put, removed), count
	}
}

// expand lists the names that are forced; for virtual hosts, those of a whole
// route configuration where only "NAME/" is given.
func (s *session) expand(key stepKey) []string {
	var list []string
	for name := range s.types[key.typ].forced {
		if key.typ == snapshot.VirtualHost && strings.HasSuffix(name, "/") {
			for r := range key.to.Prefix(snapshot.VirtualHost, name) {
				list = append(list, r.Name)
			}
			continue
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func (s *session) lingering() []*snapshot.Resource {
	var keep []*snapshot.Resource
	for _, name := range slices.Sorted(maps.Keys(s.linger)) {
		if r := s.linger[name]; r != nil {
			keep = append(keep, r)
		}
	}
	return keep
}

func (s *session) noteShared(t snapshot.Type, shared *step, fresh bool) {
	if fresh {
		// All is new to the proxy, which will ask for what it needs in its own time.
		return
	}
	for i, r := range shared.put {
		s.notePut(t, r, shared.held[i])
	}
	s.noteDropped(t, shared)
}

// notePut takes down what follows from sending r.
func (s *session) notePut(t snapshot.Type, r *snapshot.Resource, held bool) {
	if t == snapshot.RouteConfig {
		s.unpark(r.Name)
	}
	lingers := t == snapshot.Cluster && s.lingers(r.Name)
	held = held || lingers
	delete(s.linger, r.Name)
	for _, need := range r.Needs {
		if need.Type != snapshot.Endpoint {
			if !s.types[need.Type].names.has(need.Name) {
				s.await(need)
			}
			continue
		}
		_, missing := s.endpoints.missing[need.Name]
		if held && (s.wantsEndpoints(need.Name) || lingers && !missing) {
			// A changed cluster warms again, which takes its endpoints once more.
			s.types[snapshot.Endpoint].force(need.Name, true)
			continue
		}
		if s.endpoints.covers && need.Name == r.Name && !s.endpoints.extra.has(need.Name) {
			s.missEndpoints(need.Name)
		}
		if held {
			// It may have been a cluster of another sort, or the endpoints
			// were never asked for; Envoy asks if it needs to.
			s.types[snapshot.Endpoint].force(need.Name, true)
		}
		s.await(need)
	}
}

// lingers says whether the proxy has a cluster that target had not.
func (s *session) lingers(cluster string) bool {
	_, kept := s.linger[cluster]
	_, going := s.types[snapshot.Cluster].gone[cluster]
	return kept || going
}

func (s *session) await(k snapshot.Key) {
	if s.awaited == nil {
		s.awaited = map[snapshot.Key]struct{}{}
	}
	s.awaited[k] = struct{}{}
}

// noteDropped takes down the clusters that the proxy keeps for now.
func (s *session) noteDropped(t snapshot.Type, shared *step) {
	if t != snapshot.Cluster {
		return
	}
	for _, r := range shared.dropped {
		if s.linger == nil {
			s.linger = map[string]*snapshot.Resource{}
		}
		s.linger[r.Name] = r
	}
}

// park remembers which virtual hosts the proxy had of route configurations
// that vanish while it may still use them.
func (s *session) park(t snapshot.Type, shared *step, had snapshot.Stack) {
	if t != snapshot.RouteConfig || s.form.inline {
		return
	}
	for _, r := range shared.dropped {
		if s.parked == nil {
			s.parked = map[string]snapshot.Stack{}
		}
		s.parked[r.Name] = had
	}
}

// unpark has the virtual hosts removed that a route configuration had when it
// vanished and does not have now that it is back.
func (s *session) unpark(name string) {
	had, ok := s.parked[name]
	if !ok {
		return
	}
	delete(s.parked, name)
	to := s.goal(snapshot.VirtualHost)
	for r := range had.Prefix(snapshot.VirtualHost, name+"/") {
		if to.Get(snapshot.VirtualHost, r.Name) == nil {
			s.types[snapshot.VirtualHost].remove(r.Name)
		}
	}
}

// sendRetry sends the next part of a response that was refused as a whole.
func (s *session) sendRetry(t snapshot.Type) *message {
	st := &s.types[t]
	key := s.keyOf(t, st.sent)
	for len(st.retry) > 0 {
		p := st.retry[0]
		st.retry = st.retry[1:]
		var put []*snapshot.Resource
		for _, name := range p.names {
			if r := s.shared.steps.lookup(key, name); r != nil && key.wants(name) {
				put = append(put, r)
			}
		}
		if len(put) > 0 {
			f := &flight{from: p.from, to: st.sent, put: put, count: len(put)}
			return s.launch(t, f, s.shared.steps.encodeParts(key, put, nil))
		}
	}
	st.retry = nil
	return nil
}
