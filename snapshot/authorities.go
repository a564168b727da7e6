package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
)

// trusted is a secret of authorities, and what it was made of.
type trusted struct {
	roots    []string
	resource *Resource
}

// OfAuthorities tells whether the resource is a secret of authorities, in which a proxy may
// find what it cannot read.
func (r *Resource) OfAuthorities() bool {
	return r.Type == Secret && strings.HasPrefix(r.Name, object.AuthoritiesScheme)
}

// authorities are the secrets of authorities that are asked for. How many clusters and servers
// trust them has been bounded before.
func (s *namedSecrets) authorities(uses []translate.SecretUse) (out []*Resource) {
	first := map[string]translate.SecretUse{}
	for _, use := range uses {
		if use.Authorities == nil {
			continue
		}
		if other, is := first[use.Name]; !is || before(use, other) {
			first[use.Name] = use
		}
	}
	next := map[string]trusted{}
	for _, name := range slices.Sorted(maps.Keys(first)) {
		t, same := s.trusted[name]
		if a := first[name].Authorities; !same || !slices.Equal(t.roots, a.Roots) {
			if made := s.trust(a, first[name].By); made.resource != nil {
				t = made
			}
		}
		if t.resource != nil {
			next[name] = t
			out = append(out, t.resource)
		}
	}
	s.trusted = next
	return out
}

// trust makes the secret of authorities.
func (s *namedSecrets) trust(a *object.Authorities, by object.Ref) trusted {
	r, found := encode(Secret, a.Name, translate.AuthoritiesSecret(a), append([]object.Ref{by}, a.From...)...)
	s.findings = append(s.findings, found...)
	if r == nil {
		return trusted{}
	}
	return trusted{a.Roots, s.intern.Intern(r)}
}

// before tells which of two uses decides what a secret is: one that is not only kept, then
// the older.
func before(a, b translate.SecretUse) bool {
	if a.Kept != b.Kept {
		return b.Kept
	}
	return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.By.String(), b.By.String())) < 0
}
