package discovery

import (
	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fairway-mesh/fairway/snapshot"
)

// held is what a proxy says that it holds of one type from an earlier stream:
// DeltaDiscoveryRequest.initial_resource_versions. A proxy of a large mesh lists
// thousands of names, and nearly always those that everybody holds, so that two
// sums tell most of what there is to know.
type held struct {
	count int
	sum   uint64 // of snapshot.HashOf of each; that of a stack which has the same
	names uint64 // of the hashes of the names, see sumOf
	// message is what it came in, encoded, to be read again when the sums say
	// that something differs.
	message []byte
}

func (h *held) add(name, version []byte) {
	h.count++
	n := xxhash.Sum64(name)
	h.names += n
	h.sum += snapshot.HashOf(n, xxhash.Sum64(version))
}

// versions is version by name.
func (h *held) versions() map[string]string {
	m := make(map[string]string, h.count)
	// It was read before, and without an error.
	_ = eachField(h.message, func(field protowire.Number, value []byte) error {
		if field == fieldDeltaInitial {
			name, version, _ := mapEntry(value)
			m[string(name)] = string(version)
		}
		return nil
	})
	return m
}

// sumOf is the sum of the hashes of names, in whatever order they come.
func sumOf(names []string) uint64 {
	var sum uint64
	for _, n := range names {
		sum += xxhash.Sum64String(n)
	}
	return sum
}

// resume takes what the proxy holds from an earlier stream: only what differs
// is sent. When its clusters differ, listeners and routes wait as in any change.
// list are the names that the proxy asks for.
func (s *session) resume(t snapshot.Type, h held, list []string) {
	st := &s.types[t]
	to := s.goal(t)
	s.returned = s.returned || t == snapshot.Listener || t == snapshot.Secret
	if t == snapshot.Cluster {
		s.warming = true
		s.enter(phaseResuming)
	}
	if s.holdsAll(t, to, h) {
		s.resumeWhole(t, to)
	} else {
		s.compare(t, to, h)
	}
	st.sent, st.acked = to, to
	if s.asks(t) {
		s.relearn(list, h.versions())
		return
	}
	if len(list) == 0 || h.names == sumOf(list) {
		return
	}
	versions := h.versions()
	for _, name := range list {
		if _, ok := versions[name]; ok {
			continue
		}
		st.force(name, false)
		if _, lingers := s.linger[name]; lingers && t == snapshot.Endpoint {
			// It never got warm, so that nothing leads to it, and never will.
			s.linger = without(s.linger, name)
			s.types[snapshot.Cluster].remove(name)
		}
	}
}

// holdsAll says whether the proxy holds just what a stack has of a type. What
// is sent of a route configuration is not what the stack has.
func (s *session) holdsAll(t snapshot.Type, to snapshot.Stack, h held) bool {
	return t != snapshot.RouteConfig && s.verdicts == nil && h.sum == to.Sum(t)
}

// resumeWhole is compare for a proxy that holds all.
func (s *session) resumeWhole(t snapshot.Type, to snapshot.Stack) {
	for k := range s.awaited {
		if k.Type == t && to.Get(t, k.Name) != nil {
			s.awaited = without(s.awaited, k)
		}
	}
	switch t {
	case snapshot.Cluster:
		for r := range to.All(t) {
			if needsEndpoints(r) != "" {
				s.expects = true
				return
			}
		}
	case snapshot.Listener:
		for r := range to.All(t) {
			s.awaitNeeds(r)
		}
	}
}

// compare finds, one by one, what the proxy lacks of a stack and what it holds
// besides.
func (s *session) compare(t snapshot.Type, to snapshot.Stack, h held) {
	st := &s.types[t]
	versions := h.versions()
	key := s.keyOf(t, to)
	for r := range to.All(t) {
		if !key.wants(r.Name) {
			continue
		}
		if t == snapshot.Endpoint && !s.wantsEndpoints(r.Name) {
			continue
		}
		version, ok := versions[r.Name]
		if now := s.shared.steps.current(key, r); now != nil && version != now.Version {
			st.force(r.Name, ok)
			continue
		}
		s.awaited = without(s.awaited, snapshot.Key{Type: t, Name: r.Name})
		s.expects = s.expects || needsEndpoints(r) != ""
		if t == snapshot.Listener {
			s.awaitNeeds(r)
		}
	}
	learns := s.asks(t) && s.questions.learns
	for name := range versions {
		switch {
		case to.Get(t, name) != nil || learns && versions[name] == snapshot.AnsweredVersion:
		case learns && to.Get(snapshot.RouteConfig, routeConfigOf(name)) != nil:
			s.recallHost(name)
		default:
			s.holdsBesides(t, to, name)
		}
	}
}

// maxLingering bounds how many clusters, and virtual hosts of a route
// configuration, a proxy keeps for now that it alone knows of. Clusters beyond
// are removed at once.
const maxLingering = maxNames

// holdsBesides takes note of what the proxy holds and a stack lacks.
func (s *session) holdsBesides(t snapshot.Type, to snapshot.Stack, name string) {
	st := &s.types[t]
	switch t {
	case snapshot.Cluster:
		if len(s.linger) >= maxLingering {
			st.remove(name)
			return
		}
		if s.linger == nil {
			s.linger = map[string]*snapshot.Resource{}
		}
		s.linger[name] = nil
	case snapshot.Listener:
		st.remove(name)
	case snapshot.VirtualHost:
		if table := routeConfigOf(name); to.Get(snapshot.RouteConfig, table) != nil {
			st.remove(name)
		} else if s.types[snapshot.RouteConfig].names.has(table) && len(s.parked[table]) < maxLingering {
			s.keepParked(table, append(s.parked[table], name))
		}
	}
}

// awaitNeeds has the session wait for what a listener is bound to ask for.
func (s *session) awaitNeeds(listener *snapshot.Resource) {
	for _, need := range listener.Needs {
		if !s.types[need.Type].names.has(need.Name) {
			s.await(need)
		}
	}
}
