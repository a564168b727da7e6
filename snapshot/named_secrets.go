package snapshot

import (
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate"
)

// namedSecrets are the SDS secrets that one scope's listeners and clusters ask
// for by name, made of the Secrets of the namespace.
type namedSecrets struct {
	namespace string
	refs      []mesh.Ref           // what they are made of
	good      map[string]*Resource // the last good one of each name
	findings  []mesh.Finding
}

func newNamedSecrets(namespace string) *namedSecrets {
	return &namedSecrets{namespace: namespace, good: map[string]*Resource{}}
}

// resource is the secret of a name: the last good one when there is none now
// that serves; nil when there never was.
func (s *namedSecrets) resource(w *mesh.World, name string) *Resource {
	secret, findings := translate.NamedSecret(w, name, s.namespace)
	s.findings = append(s.findings, findings...)
	if secret == nil {
		return s.good[name]
	}
	if res, _ := encode(Secret, name, secret, translate.SecretRefs(name, s.namespace)...); res != nil && !res.Same(s.good[name]) {
		s.good[name] = res
	}
	return s.good[name]
}

// resources are the secrets of the names; others are forgotten.
func (s *namedSecrets) resources(w *mesh.World, names []string) (out []*Resource) {
	s.refs = nil
	for _, name := range names {
		s.refs = append(s.refs, translate.SecretRefs(name, s.namespace)...)
		if res := s.resource(w, name); res != nil {
			out = append(out, res)
		}
	}
	for name := range s.good {
		if !slices.Contains(names, name) {
			delete(s.good, name)
		}
	}
	return out
}

// concerns tells whether one of the Secrets is among the changed.
func (s *namedSecrets) concerns(changed map[mesh.Ref]struct{}) bool {
	return slices.ContainsFunc(s.refs, func(r mesh.Ref) bool { _, ok := changed[r]; return ok })
}
