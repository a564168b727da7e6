package discovery

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Refusal is a version of a resource that proxies are to have and do not take.
type Refusal struct {
	Type    snapshot.Type
	Name    string
	Version string
	Owners  []object.Ref // the objects that it was made of
	// By is a pod that refuses it, NAMESPACE/POD, and Message what that says: up
	// to 512 bytes without control characters, and whatever it likes.
	By, Message string
	// Proxies is how many connected proxies refuse it, or are spared it since
	// another one has refused it.
	Proxies int
}

// Refusals are those in force now. A refusal ends when the resource changes or
// goes, and with the last proxy that it concerns.
func (s *Server) Refusals() []Refusal {
	known := map[version]*Refusal{}
	for _, st := range s.open() {
		st.mu.Lock()
		if st.session != nil {
			st.session.refuses(func(r Refusal) {
				v := version{snapshot.Key{Type: r.Type, Name: r.Name}, r.Version}
				first := known[v]
				if first == nil {
					known[v], first = &r, &r
				}
				first.Proxies++
				if first.By == "" || r.By != "" && r.By < first.By { // the same one every time
					first.By, first.Message = r.By, r.Message
				}
			})
		}
		st.mu.Unlock()
	}
	out := make([]Refusal, 0, len(known))
	for _, r := range known {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// refuses yields what is in the newest stack and the proxy does not have since
// it, or another one, refused it.
func (s *session) refuses(yield func(Refusal)) {
	told := 0
	for t := range s.types {
		of := snapshot.Type(t) //nolint:gosec // NumTypes is small
		for name, r := range s.types[t].rejected {
			now := s.standing(of, name, s.latest)
			whole := of == snapshot.RouteConfig && s.form.inline && now != nil && now.Type == of // its version is not that of the frame
			if now == nil || now.Version != r.version && !whole {
				continue
			}
			if !r.counts {
				continue
			}
			if told++; told > maxTold {
				return
			}
			yield(Refusal{Type: now.Type, Name: name, Version: r.version, Owners: r.owners, By: s.name(), Message: excerpt(r.message)})
		}
	}
	for v := range s.spared {
		now := s.latest.Get(v.key.Type, v.key.Name)
		if now == nil || now.Version != v.version || s.rejects(now) {
			continue
		}
		by, words := s.verdicts.words(v)
		if by == "" {
			continue
		}
		yield(Refusal{Type: v.key.Type, Name: v.key.Name, Version: v.version, Owners: now.Owners, By: by, Message: excerpt(words)})
	}
}

// maxTold bounds how many refusals of one proxy are told.
const maxTold = 256

// name is NAMESPACE/POD of the proxy.
func (s *session) name() string {
	if s.court == nil {
		return s.juror.pod
	}
	return s.court.namespace + "/" + s.juror.pod
}

// excerpt is the beginning of a proxy's words.
func excerpt(words string) string {
	const most = 512 // bytes
	if len(words) > most {
		return strings.ToValidUTF8(words[:most], "") + " ..."
	}
	return words
}

// rejects says whether the proxy itself refused this version.
func (s *session) rejects(r *snapshot.Resource) bool {
	t := r.Type
	if t == snapshot.VirtualHost && s.form.inline {
		t = snapshot.RouteConfig
	}
	known, ok := s.types[t].rejected[r.Name]
	return ok && known.version == r.Version
}
