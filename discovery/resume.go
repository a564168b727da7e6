package discovery

import "github.com/fairway-mesh/fairway/snapshot"

// resume takes what the proxy holds from an earlier stream: only what differs
// is sent. When its clusters differ, listeners and routes wait as in any change.
func (s *session) resume(t snapshot.Type, held map[string]string) {
	st := &s.types[t]
	to := s.goal(t)
	if t == snapshot.Cluster {
		s.gated, s.resumed, s.warming = true, true, true
		s.enter(phaseClusters)
	}
	key := s.keyOf(t, to)
	for r := range to.All(t) {
		if !key.wants(r.Name) {
			continue
		}
		if t == snapshot.Endpoint && !s.wantsEndpoints(r.Name) {
			continue
		}
		version, ok := held[r.Name]
		if now := s.shared.steps.lookup(key, r.Name); now != nil && version != now.Version {
			st.force(r.Name, ok)
			continue
		}
		delete(s.awaited, snapshot.Key{Type: t, Name: r.Name})
		s.expects = s.expects || needsEndpoints(r) != ""
		if t == snapshot.Listener {
			s.awaitNeeds(r)
		}
	}
	for name := range held {
		if to.Get(t, name) != nil {
			continue
		}
		switch t {
		case snapshot.Cluster:
			if s.linger == nil {
				s.linger = map[string]*snapshot.Resource{}
			}
			s.linger[name] = nil
		case snapshot.Listener:
			st.remove(name)
		case snapshot.VirtualHost:
			if table := routeConfigOf(name); to.Get(snapshot.RouteConfig, table) != nil {
				st.remove(name)
			} else if s.types[snapshot.RouteConfig].names.has(table) {
				s.keepParked(table, parking{names: append(s.parked[table].names, name)})
			}
		}
	}
	st.sent, st.acked = to, to
}

// awaitNeeds has the session wait for what a listener is bound to ask for.
func (s *session) awaitNeeds(listener *snapshot.Resource) {
	for _, need := range listener.Needs {
		if !s.types[need.Type].names.has(need.Name) {
			s.await(need)
		}
	}
}
