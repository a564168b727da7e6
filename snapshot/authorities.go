package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
)

// What one proxy is given of authorities that ConfigMaps hold. Each cluster and listener that
// verifies by some reads them by itself, so that is what counts.
const (
	maxTrustedEach = 16 << 20 // bytes of certificates × clusters and filter chains that trust them, of the objects of a namespace
	maxTrusted     = 8 * maxTrustedEach
)

// trusted is a secret of authorities, and what it was made of.
type trusted struct {
	roots    []string // none: nobody is trusted
	resource *Resource
}

// OfAuthorities tells whether the resource is a secret of authorities, in which a proxy may
// find what it cannot read.
func (r *Resource) OfAuthorities() bool {
	return r.Type == Secret && strings.HasPrefix(r.Name, object.AuthoritiesScheme)
}

// demand is one secret of authorities with all that it costs a proxy.
type demand struct {
	first translate.SecretUse // the oldest object that asks, and in which form
	times int
}

// authorities are the secrets of authorities that are asked for. Of a namespace that has too
// many the youngest let nobody in.
func (s *namedSecrets) authorities(uses []translate.SecretUse) (out []*Resource) {
	next := map[string]trusted{}
	each, all := map[string]int{}, 0
	for _, d := range demands(uses) {
		a, payer := d.first.Authorities, d.first.By.Namespace
		cost := a.Size() * d.times
		roots := a.Roots
		if each[payer]+cost > maxTrustedEach || all+cost > maxTrusted {
			roots = nil
			s.findings = append(s.findings, object.Finding{Object: d.first.By, Code: object.CodeInvalid, Message: fmt.Sprintf(
				"%d bytes of certificates of authorities for %d clusters and servers, beside what older objects name, are more than a proxy is given (%d of one namespace, %d in all); nobody is trusted by them: name fewer authorities, or have fewer ports and subsets",
				a.Size(), d.times, maxTrustedEach, maxTrusted)})
		} else {
			each[payer], all = each[payer]+cost, all+cost
		}
		t, same := s.trusted[a.Name]
		if !same || !slices.Equal(t.roots, roots) {
			t = s.trust(a, roots, d.first.By)
		}
		if next[a.Name] = t; t.resource != nil {
			out = append(out, t.resource)
		}
	}
	s.trusted = next
	return out
}

// trust makes the secret of authorities; without roots, of nobody.
func (s *namedSecrets) trust(a *object.Authorities, roots []string, by object.Ref) trusted {
	secret := translate.AuthoritiesSecret(a)
	if roots == nil {
		secret = translate.NobodysSecret(a.Name)
	}
	r, _ := encode(Secret, a.Name, secret, append([]object.Ref{by}, a.From...)...)
	if r != nil {
		r = s.intern.Intern(r)
	}
	return trusted{roots, r}
}

// demands are the authorities that are asked for, each once, those of the oldest objects
// first.
func demands(uses []translate.SecretUse) []*demand {
	byName := map[string]*demand{}
	var out []*demand
	for _, use := range uses {
		if use.Authorities == nil {
			continue
		}
		d := byName[use.Name]
		if d == nil {
			d = &demand{first: use}
			byName[use.Name] = d
			out = append(out, d)
		}
		if d.times++; before(use, d.first) {
			d.first = use
		}
	}
	slices.SortFunc(out, func(a, b *demand) int {
		return cmp.Or(a.first.Since.Compare(b.first.Since), cmp.Compare(a.first.Name, b.first.Name))
	})
	return out
}

// before tells which of two uses decides what a secret is: one that is not only kept, then
// the older.
func before(a, b translate.SecretUse) bool {
	if a.Kept != b.Kept {
		return b.Kept
	}
	return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.By.String(), b.By.String())) < 0
}
