package discovery

import (
	"fmt"
	"slices"

	"github.com/fairway-mesh/fairway/snapshot"
)

// endpointNames says which endpoints a proxy subscribes to. Envoy asks for
// those of every cluster that it was sent, thousands of names, so only the
// exceptions are kept.
type endpointNames struct {
	covers bool // the proxy asks for the endpoints of the clusters that it was sent
	// missing are endpoints of those clusters that it has not asked for, yet
	// or any more.
	missing map[string]struct{}
	extra   *names // what it asks for besides
}

// What a stream may ask for by name, of each type.
const (
	maxNames     = 16384
	maxNameBytes = 1 << 20
)

func (s *session) wantsEndpoints(name string) bool {
	if s.endpoints.extra.has(name) {
		return true
	}
	if !s.endpoints.covers {
		return false
	}
	_, missing := s.endpoints.missing[name]
	return !missing && refersToEndpoints(s.types[snapshot.Cluster].sent, name)
}

// coverEndpoints takes a complete list of endpoint names of a stream that has
// the clusters.
func (s *session) coverEndpoints(list []string, clusters snapshot.Stack) {
	s.endpoints = endpointNames{covers: s.types[snapshot.Cluster].all}
	if !s.endpoints.covers {
		s.endpoints.extra = s.shared.names.of(list)
		return
	}
	if sumOf(list) == s.shared.steps.endpoints(clusters) {
		return // just these: no exceptions
	}
	asked := make(map[string]struct{}, len(list))
	for _, name := range list {
		asked[name] = struct{}{}
	}
	for r := range clusters.All(snapshot.Cluster) {
		if name := needsEndpoints(r); name == r.Name {
			if _, ok := asked[name]; ok {
				delete(asked, name)
			} else {
				s.missEndpoints(name)
			}
		}
	}
	extra := make([]string, 0, len(asked))
	for name := range asked {
		extra = append(extra, name)
	}
	s.endpoints.extra = s.shared.names.of(extra)
}

func (s *session) missEndpoints(name string) {
	if s.endpoints.missing == nil {
		s.endpoints.missing = map[string]struct{}{}
	}
	s.endpoints.missing[name] = struct{}{}
}

// subscribeEndpoints adds names; each is to be answered, also if it was
// answered before.
func (s *session) subscribeEndpoints(list []string) error {
	var extra []string
	for _, name := range list {
		if s.endpoints.covers && refersToEndpoints(s.types[snapshot.Cluster].sent, name) {
			s.endpoints.missing = without(s.endpoints.missing, name)
		} else {
			extra = append(extra, name)
		}
	}
	s.endpoints.extra = s.shared.names.change(s.endpoints.extra, extra, nil)
	return s.boundExtra()
}

// boundExtra bounds what the proxy asks for besides the endpoints of the
// clusters that it was sent. One that has no other clusters asks for those of
// clusters that have gone since, as many as there were, until it hears so: what
// is too much is answered and then forgotten. Envoy asks again when a cluster of
// that name comes. Of a proxy that names its clusters it is an error.
func (s *session) boundExtra() error {
	n := s.endpoints.extra
	if n.len() <= maxNames && sizeOf(n.list()) <= maxNameBytes {
		return nil
	}
	if !s.endpoints.covers {
		return fmt.Errorf("more than %d endpoint names, or %d bytes of them, that belong to no cluster", maxNames, maxNameBytes)
	}
	kept, size := 0, 0
	for _, name := range n.list() {
		if size += len(name); kept == maxNames || size > maxNameBytes {
			break
		}
		kept++
	}
	s.endpoints.extra = s.shared.names.share(slices.Clone(n.list()[:kept]))
	return nil
}

func (s *session) unsubscribeEndpoints(list []string) {
	for _, name := range list {
		if s.endpoints.covers && refersToEndpoints(s.types[snapshot.Cluster].sent, name) {
			s.missEndpoints(name)
		}
	}
	if s.endpoints.extra != nil && slices.ContainsFunc(list, s.endpoints.extra.has) {
		s.endpoints.extra = s.shared.names.change(s.endpoints.extra, nil, list)
	}
}

// forgetEndpoints drops exceptions that concern a cluster which is gone.
func (s *session) forgetEndpoints(cluster string) {
	s.endpoints.missing = without(s.endpoints.missing, cluster)
}
