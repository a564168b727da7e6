package discovery

import (
	"slices"

	"github.com/fairway-mesh/fairway/snapshot"
)

// noteWay takes down what follows from sending all of a way.
func (s *session) noteWay(t snapshot.Type, w way, fresh bool) {
	if fresh {
		// All is new to the proxy, which will ask for what it needs in its own time.
		return
	}
	for i, r := range w.put {
		s.notePut(t, r, w.held[i])
	}
	s.noteDropped(t, w)
}

// notePut takes down what follows from sending r.
func (s *session) notePut(t snapshot.Type, r *snapshot.Resource, held bool) {
	if t == snapshot.RouteConfig {
		s.unpark(r.Name)
	}
	lingers := t == snapshot.Cluster && s.lingers(r.Name)
	if lingers {
		held = true
		s.linger = without(s.linger, r.Name)
	}
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

// spare takes down what is withheld from the proxy.
func (s *session) spare(w way) {
	for _, r := range w.spared {
		if s.spared == nil {
			s.spared = map[version]struct{}{}
		}
		s.spared[versionOf(r)] = struct{}{}
	}
}

// noteDropped takes down the clusters that the proxy keeps for now.
func (s *session) noteDropped(t snapshot.Type, w way) {
	if t != snapshot.Cluster {
		return
	}
	for _, r := range w.dropped {
		if s.linger == nil {
			s.linger = map[string]*snapshot.Resource{}
		}
		s.linger[r.Name] = r
	}
}

// park remembers which virtual hosts the proxy had of route configurations
// that vanish while it may still use them.
func (s *session) park(t snapshot.Type, w way, had snapshot.Stack) {
	if t != snapshot.RouteConfig || s.form.inline {
		return
	}
	for _, r := range w.dropped {
		hosts := s.shared.steps.hostsOf(had, r.Name)
		// The virtual hosts may be behind the route configurations, or before them.
		if more := s.shared.steps.hostsOf(s.types[snapshot.VirtualHost].sent, r.Name); !slices.Equal(more, hosts) {
			hosts = slices.Concat(hosts, more)
		}
		s.keepParked(r.Name, hosts)
	}
}

func (s *session) keepParked(routeConfig string, hosts []string) {
	if s.parked == nil {
		s.parked = map[string][]string{}
	}
	s.parked[routeConfig] = hosts
}

// unpark has the virtual hosts removed that a route configuration had when it
// vanished and does not have now that it is back.
func (s *session) unpark(name string) {
	had, ok := s.parked[name]
	if !ok {
		return
	}
	s.parked = without(s.parked, name)
	to := s.goal(snapshot.VirtualHost)
	for _, host := range had {
		if to.Get(snapshot.VirtualHost, host) == nil {
			s.types[snapshot.VirtualHost].remove(host)
		}
	}
}
