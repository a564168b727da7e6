package discovery

import (
	"slices"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Rejection is what a proxy refused. It is reported once per version of a
// resource, whichever proxy came first.
type Rejection struct {
	Client  snapshot.Client
	Type    snapshot.Type
	Names   []string   // the resources; empty when the proxy's message does not tell which of many
	Owners  []mesh.Ref // the objects that they were made of
	Message string     // of the proxy
}

// refusal is a refused response, before it is known whether that is news.
type refusal struct {
	typ     snapshot.Type
	refused []*snapshot.Resource // the culprits, as far as known
	message string
}

// refused takes a NACK. Which of several resources is meant is found by their
// names in the message; where a proxy refuses a whole response for one, the
// parts are tried again by themselves.
func (s *session) refused(t snapshot.Type, f *flight, text string, now time.Time) {
	st := &s.types[t]
	st.lastNack = nack{at: now, message: text}
	culprits := namedIn(f.put, text)
	// Envoy takes clusters and listeners one by one, and says so.
	partial := strings.HasPrefix(text, "Error adding/updating") && len(culprits) > 0
	if len(f.put) > 1 && !partial && !s.keyOf(t, f.to).complete() {
		st.retry = append(split(f, culprits), st.retry...)
		return
	}
	if len(f.put) == 1 {
		culprits = f.put
	}
	for _, r := range culprits {
		if st.rejected == nil {
			st.rejected = map[string]string{}
		}
		st.rejected[r.Name] = r.Version
		for _, need := range r.Needs {
			delete(s.awaited, need) // it will not ask for them
		}
	}
	s.events.refusals = append(s.events.refusals, refusal{typ: t, refused: culprits, message: text})
	s.condemn(t, f, culprits, text)
}

// condemn has new proxies spared what this one refused.
func (s *session) condemn(t snapshot.Type, f *flight, culprits []*snapshot.Resource, text string) {
	if t == snapshot.RouteConfig && s.form.inline {
		// The fault lies with one virtual host, if any is named; the frame is common to all.
		for _, r := range culprits {
			for host := range f.to.Prefix(snapshot.VirtualHost, r.Name+"/") {
				if containsWord(text, host.Name) {
					s.shared.verdicts.refuse(host, f.from.Get(snapshot.VirtualHost, host.Name))
				}
			}
		}
		return
	}
	for _, r := range culprits {
		s.shared.verdicts.refuse(r, f.from.Get(t, r.Name))
	}
}

// namedIn are the resources whose names the text contains as words.
func namedIn(put []*snapshot.Resource, text string) []*snapshot.Resource {
	var found []*snapshot.Resource
	for _, r := range put {
		if containsWord(text, r.Name) {
			found = append(found, r)
		}
	}
	return found
}

// containsWord says whether name is in text and not part of a longer name.
func containsWord(text, name string) bool {
	for from := 0; name != ""; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(name)
		if (i == 0 || !nameByte(text[i-1])) && (end == len(text) || !nameByte(text[end]) || text[end] == '.' || text[end] == ':') {
			return true
		}
		from = i + 1
	}
	return false
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.|/:", c) >= 0
}

// split parts a refused response: the others and the suspects, or two halves.
func split(f *flight, suspects []*snapshot.Resource) []part {
	if len(suspects) == 0 || len(suspects) == len(f.put) {
		half := len(f.put) / 2
		return []part{{namesOf(f.put[:half]), f.from}, {namesOf(f.put[half:]), f.from}}
	}
	others := slices.DeleteFunc(slices.Clone(f.put), func(r *snapshot.Resource) bool { return slices.Contains(suspects, r) })
	return []part{{namesOf(others), f.from}, {namesOf(suspects), f.from}}
}

func namesOf(put []*snapshot.Resource) []string {
	list := make([]string, len(put))
	for i, r := range put {
		list[i] = r.Name
	}
	return list
}
