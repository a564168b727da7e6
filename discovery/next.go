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
	if m := s.renew(t); m != nil {
		return m, true
	}
	if t == snapshot.VirtualHost {
		s.letGo()
	}
	key := s.keyOf(t, to)
	answers := s.answers(key)
	if len(st.forced) == 0 && len(st.gone) == 0 && !st.fresh && len(answers) == 0 {
		if st.sent == to {
			return nil, false
		}
		if s.form.same(st.sent, to, t) {
			st.sent, st.acked = to, to
			return nil, true
		}
	}
	w := s.shared.steps.way(key)
	fresh := st.fresh
	s.park(t, w, st.sent)
	s.spare(w)
	if s.isCommon(t, w) {
		s.noteWay(t, w, fresh)
	} else {
		w = s.own(key, w)
	}
	w.gone = s.keep(t, w.gone)
	from := st.sent
	st.sent, st.forced, st.gone, st.fresh = to, nil, nil, false
	if len(w.put)+len(w.gone)+len(answers) == 0 && !fresh {
		st.acked = to
		s.forgetRejected(t, to)
		return nil, true
	}
	put, then := apart(t, w.put)
	if len(then) > 0 {
		st.retry = []part{{names: namesOf(then), from: from}}
	}
	list := put
	if key.complete() {
		list = s.completeList(key)
	}
	list = append(slices.Clip(list), answers...)
	return s.launch(t, &flight{from: from, to: to, put: put, answers: answers}, list, w.gone), true
}

// apart parts secrets that are sent together: those of authorities come behind the others.
// Envoy refuses all of a response for one certificate that it cannot read.
func apart(t snapshot.Type, put []*snapshot.Resource) (first, then []*snapshot.Resource) {
	if t != snapshot.Secret || !slices.ContainsFunc(put, (*snapshot.Resource).OfAuthorities) {
		return put, nil
	}
	for _, r := range put {
		if r.OfAuthorities() {
			then = append(then, r)
		} else {
			first = append(first, r)
		}
	}
	if len(first) == 0 {
		return then, nil
	}
	return first, then
}

// keyOf is the key of the way from what the proxy has to a stack.
func (s *session) keyOf(t snapshot.Type, to snapshot.Stack) stepKey {
	st := &s.types[t]
	key := stepKey{typ: t, from: st.sent, to: to, all: st.all, names: st.names, form: s.form, verdicts: s.verdicts}
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

// launch makes the message of a flight, which lists resources (more than the
// flight changes, where answers must be complete) and says what is gone.
func (s *session) launch(t snapshot.Type, f *flight, list []*snapshot.Resource, gone []string) *message {
	if len(s.awaited) > 0 {
		for _, r := range f.put {
			s.awaited = without(s.awaited, snapshot.Key{Type: t, Name: r.Name})
		}
	}
	s.told = true
	if t == snapshot.Cluster && len(f.put) > 0 {
		s.warming = true
	}
	if t == snapshot.Cluster && !s.expects {
		s.expects = slices.ContainsFunc(f.put, func(r *snapshot.Resource) bool { return needsEndpoints(r) != "" })
	}
	f.nonce = s.newNonce()
	s.types[t].flight = f
	if s.form.state {
		gone = nil
	}
	return &message{typ: t, response: response{put: list, bare: s.form.state, tail: encodeTail(t, gone, s.form.version(f.to, t), f.nonce)}}
}

// isCommon says whether the way is just what this proxy needs.
func (s *session) isCommon(t snapshot.Type, w way) bool {
	st := &s.types[t]
	if len(st.forced) > 0 || len(st.gone) > 0 {
		return false
	}
	if t == snapshot.Endpoint && len(s.endpoints.missing) > 0 {
		return !slices.ContainsFunc(w.put, func(r *snapshot.Resource) bool { return !s.wantsEndpoints(r.Name) })
	}
	return true
}

// completeList is a state-of-the-world answer: all that the proxy asks for,
// and the clusters that it is to keep for now.
func (s *session) completeList(key stepKey) []*snapshot.Resource {
	all := s.shared.steps.complete(key)
	if key.typ == snapshot.Cluster && len(s.linger) > 0 {
		all = append(slices.Clip(all), s.lingering()...)
	}
	return all
}

// own turns the common way into that of a proxy which needs something of its own.
func (s *session) own(key stepKey, common way) way {
	t := key.typ
	st := &s.types[t]
	var out way
	seen := map[string]bool{}
	take := func(r *snapshot.Resource, held bool) {
		out.put = append(out.put, r)
		if !st.fresh {
			s.notePut(t, r, held)
		}
	}
	for i, r := range common.put {
		seen[r.Name] = true
		if t != snapshot.Endpoint || s.wantsEndpoints(r.Name) {
			take(r, common.held[i])
		}
	}
	s.noteDropped(t, common)
	gone := map[string]struct{}{}
	maps.Copy(gone, st.gone)
	for _, name := range common.gone {
		gone[name] = struct{}{}
	}
	for _, name := range s.expand(key) {
		if seen[name] {
			continue
		}
		seen[name] = true
		if r := s.lookup(key, name); r != nil {
			take(r, st.forced[name])
		} else if s.tellsUnknown(t) {
			gone[name] = struct{}{} // the way to say "there is no such thing"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		if key.to.Get(t, name) == nil {
			out.gone = append(out.gone, name)
			if t == snapshot.Cluster {
				s.forgetEndpoints(name)
			}
		}
	}
	return out
}

// lookup is the resource of a name that is to be sent now. What a cluster needs
// to get warm may be gone already in the newest stack; the cluster is not, yet.
func (s *session) lookup(key stepKey, name string) *snapshot.Resource {
	r := s.shared.steps.lookup(key, name)
	if r == nil && (key.typ == snapshot.Endpoint || key.typ == snapshot.Secret) {
		key.to = s.target
		r = s.shared.steps.lookup(key, name)
	}
	return r
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

// sendRetry sends the next part of a response that was refused as a whole.
func (s *session) sendRetry(t snapshot.Type) *message {
	st := &s.types[t]
	key := s.keyOf(t, st.sent)
	for len(st.retry) > 0 {
		p := st.retry[0]
		st.retry = st.retry[1:]
		var put []*snapshot.Resource
		for _, name := range p.names {
			r := s.lookup(key, name)
			if p.trial != nil {
				r = s.tried(p, name, st.sent)
			}
			if r != nil && key.wants(name) {
				put = append(put, r)
			}
		}
		if len(put) > 0 {
			return s.launch(t, &flight{from: p.from, to: st.sent, put: put, trial: p.trial}, put, nil)
		}
	}
	st.retry = nil
	return nil
}
