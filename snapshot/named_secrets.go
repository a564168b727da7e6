package snapshot

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate"
)

// namedSecrets are the SDS secrets that one scope's listeners and clusters ask
// for by name, made of the Secrets of the namespace, and of authorities.
type namedSecrets struct {
	namespace string
	intern    *Interner
	made      map[object.Ref]struct{} // what they are made of
	wanted    []registry.Wanted       // the same, with who asks
	good      map[string]*Resource    // the last good one of each name
	trusted   map[string]trusted      // the authorities
	findings  []object.Finding
}

func newNamedSecrets(namespace string, intern *Interner) *namedSecrets {
	return &namedSecrets{namespace: namespace, intern: intern, good: map[string]*Resource{}}
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

// resources are the secrets that are asked for; others are forgotten.
func (s *namedSecrets) resources(w *mesh.World, uses []translate.SecretUse) (out []*Resource) {
	s.wanted, s.made = nil, map[object.Ref]struct{}{}
	out = s.authorities(uses)
	asked := map[string]struct{}{}
	for _, use := range uses {
		if use.Authorities != nil {
			continue
		}
		for _, ref := range use.Refs(s.namespace) {
			s.wanted = append(s.wanted, registry.Wanted{Ref: ref, By: use.By, Since: use.Since})
			s.made[ref] = struct{}{}
		}
		if _, again := asked[use.Name]; again {
			continue
		}
		asked[use.Name] = struct{}{}
		if res := s.resource(w, use.Name); res != nil {
			out = append(out, res)
		}
	}
	for name := range s.good {
		if _, still := asked[name]; !still {
			delete(s.good, name)
		}
	}
	return out
}

// concerns tells whether one of the Secrets is among the changed.
func (s *namedSecrets) concerns(changed map[object.Ref]struct{}) bool {
	for ref := range changed {
		if _, ours := s.made[ref]; ours {
			return true
		}
	}
	return false
}

// wantedSecrets are the Secrets that proxies' listeners and clusters name, each
// once, and those of Gateways of the Gateway API, whose status tells of them even
// where no router is connected: those of the oldest objects first, and not more
// than the objects of each namespace may name. Findings tell which are too many.
// For a while after the start those come in addition that the world names.
func (e *Engine) wantedSecrets() (refs []object.Ref, findings []object.Finding) {
	all := append(e.world.GatewayAPI().ListenerSecrets(), e.world.GatewayAPI().PolicyBundles()...)
	e.mu.Lock()
	for _, p := range e.routers.places {
		all = append(all, p.layer.secrets.wanted...)
	}
	for _, p := range e.scopes.places {
		all = append(all, p.layer.secrets.wanted...)
	}
	e.mu.Unlock()
	refs, findings = firstCome(all, e.world.Config.NamedSecrets)
	e.asked = make(map[object.Ref]struct{}, len(refs)+len(e.early))
	for _, r := range refs {
		e.asked[r] = struct{}{}
	}
	for _, r := range e.early {
		if _, is := e.asked[r]; !is {
			e.asked[r] = struct{}{}
			refs = append(refs, r)
		}
	}
	return refs, findings
}

// NamedSecrets are the Secrets that proxies may be given, whichever connect,
// and not more than the objects of each namespace may name.
func NamedSecrets(w *mesh.World) []object.Ref {
	refs, _ := firstCome(translate.NamedSecrets(w), w.Config.NamedSecrets)
	return refs
}

// firstCome takes the Secrets in the order in which they were first named, and of
// each namespace's objects so many.
func firstCome(all []registry.Wanted, each int) (refs []object.Ref, findings []object.Finding) {
	slices.SortFunc(all, func(a, b registry.Wanted) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.By.String(), b.By.String()), cmp.Compare(a.Ref.String(), b.Ref.String()))
	})
	taken, payers := map[object.Ref]struct{}{}, map[string]int{}
	told := map[object.Ref]struct{}{}
	for _, x := range all {
		if _, is := taken[x.Ref]; is {
			continue
		}
		if payers[x.By.Namespace] >= each {
			if _, is := told[x.By]; !is {
				told[x.By] = struct{}{}
				findings = append(findings, object.Finding{Object: x.By, Code: object.CodeSecret,
					Message: fmt.Sprintf("objects of namespace %s name more than %d Secrets; %s/%s and others are not read, older ones are: name fewer, or raise the mesh setting namedSecrets", x.By.Namespace, each, x.Ref.Namespace, x.Ref.Name)})
			}
			continue
		}
		payers[x.By.Namespace]++
		taken[x.Ref] = struct{}{}
		refs = append(refs, x.Ref)
	}
	return refs, findings
}

// holdSecrets tells whether some sidecars are given Secrets.
func (e *Engine) holdSecrets() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.scopes.places {
		if l := p.layer; len(l.secrets.wanted) > 0 || len(l.secrets.findings) > 0 {
			return true
		}
	}
	return false
}

// OfFiles tells whether the resource is a secret that is made of files of each
// proxy, so that one may refuse what another takes.
func (r *Resource) OfFiles() bool { return r.Type == Secret && translate.FileSecret(r.Name) != nil }
