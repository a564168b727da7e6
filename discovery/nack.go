package discovery

import (
	"slices"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Rejection is what a proxy refused. It is reported once per version of a
// resource, whichever proxy came first.
type Rejection struct {
	Client  snapshot.Client
	Type    snapshot.Type
	Names   []string     // the resources; empty when the proxy's message does not tell which of many
	Owners  []object.Ref // the objects that they were made of
	Message string       // of the proxy
}

// refusal is a refused response, before it is known whether that is news.
type refusal struct {
	typ     snapshot.Type
	refused []*snapshot.Resource // the culprits, as far as known
	before  []*snapshot.Resource // for each, what the proxy held before; nil: nothing
	message string
	counts  bool // for other proxies, too: see session.mayJudge
}

// maxRefusals is after how many refusals a proxy is not asked any more what
// exactly it means: something is wrong with the proxy.
const maxRefusals = 256

// refused takes a NACK. Which of several resources is meant is found by their
// names in the message; where a proxy refuses a whole response for one, the
// parts are tried again by themselves.
func (s *session) refused(t snapshot.Type, f *flight, text string, now time.Time) {
	st := &s.types[t]
	st.lastNack = &nack{at: now, message: text}
	culprits := namedIn(f.put, text)
	// Envoy takes clusters and listeners one by one, and says so.
	partial := strings.HasPrefix(text, "Error adding/updating") && len(culprits) > 0
	trusting := slices.ContainsFunc(f.put, (*snapshot.Resource).OfAuthorities)
	if len(f.put) > 1 && !partial && !s.keyOf(t, f.to).complete() && (s.refusals < maxRefusals || trusting) {
		parts := split(f, culprits)
		if trusting && s.untrusted >= maxRefusals {
			parts = singly(f)
		}
		st.retry = append(parts, st.retry...)
		s.reopen(f, nil)
		return
	}
	if len(f.put) == 1 {
		culprits = f.put
		if t == snapshot.RouteConfig && s.form.inline && s.refusals < maxRefusals {
			if culprits = s.refusedHosts(f, text); culprits == nil {
				return
			}
		}
	}
	s.reopen(f, culprits)
	for _, r := range culprits {
		if st.rejected == nil {
			st.rejected = map[string]rejected{}
		}
		st.rejected[r.Name] = rejected{version: r.Version, owners: r.Owners, message: text, counts: s.mayJudge(t)}
		for _, need := range r.Needs {
			s.awaited = without(s.awaited, need) // it will not ask for them
		}
	}
	if partial || len(f.put) == 1 {
		st.acked = f.to // but for what stands in rejected
	}
	if trusting { // who writes such does not wear out what is asked of proxies
		s.untrusted++
	} else {
		s.refusals++
	}
	s.events.progress = true
	news := refusal{typ: t, refused: culprits, message: text, counts: s.mayJudge(t)}
	for _, r := range culprits {
		before := f.from.Get(r.Type, r.Name)
		news.before = append(news.before, before)
		s.keepOwn(r, before, text)
	}
	s.events.refusals = append(s.events.refusals, news)
}

// keepOwn withholds from the proxy what it has refused itself.
func (s *session) keepOwn(r, before *snapshot.Resource, text string) {
	if len(s.mine) >= maxRefusals {
		return
	}
	if s.mine == nil {
		s.mine = map[version]*refusedCase{}
	}
	s.mine[versionOf(r)] = &refusedCase{good: s.verdicts.effective(before), by: s.name(), words: text}
	s.refusedMore = true
}

// mayJudge says whether what the proxy refuses of a type may be the resource's
// fault. It is the proxy's own when it got listeners and routes before the
// clusters that they need, since it does not ask for those or did not take them
// in time.
func (s *session) mayJudge(t snapshot.Type) bool {
	switch t {
	case snapshot.Cluster, snapshot.Endpoint, snapshot.Secret:
		return true
	default:
		return s.types[snapshot.Cluster].subscribed && s.types[snapshot.Cluster].flight == nil && !s.hasty
	}
}

// accepted says whether the proxy has taken this very version of a resource.
func (s *session) accepted(r *snapshot.Resource) bool {
	t := r.Type
	if t == snapshot.VirtualHost && s.form.inline {
		t = snapshot.RouteConfig
	}
	st := &s.types[t]
	_, refused := st.rejected[r.Name]
	_, spared := s.spared[versionOf(r)]
	return st.subscribed && !refused && !spared && r.Same(st.acked.Get(r.Type, r.Name))
}

// refusedHosts finds the virtual hosts for which a whole route configuration
// was refused. When neither the text nor the count of those that changed
// tells, it returns nothing and has parts of the change tried by themselves,
// then the whole again without what was found. When no virtual host changed it
// is the route configuration itself.
func (s *session) refusedHosts(f *flight, text string) []*snapshot.Resource {
	whole := f.put[0]
	suspects := f.trial
	if suspects == nil {
		for _, d := range f.from.Diff(f.to, snapshot.VirtualHost) {
			if d.New != nil && routeConfigOf(d.Name) == whole.Name {
				suspects = append(suspects, d.New)
			}
		}
	}
	if len(suspects) == 0 {
		return f.put
	}
	if named := namedIn(suspects, text); len(named) == 1 {
		suspects = named
	}
	st := &s.types[snapshot.RouteConfig]
	var again []part
	if half := len(suspects) / 2; half > 0 {
		again = []part{
			{names: namesOf(f.put), from: f.from, trial: suspects[:half]},
			{names: namesOf(f.put), from: f.from, trial: suspects[half:]},
		}
	}
	if f.trial == nil {
		again = append(again, part{names: namesOf(f.put), from: f.from})
	}
	st.retry = append(again, st.retry...)
	if len(suspects) > 1 {
		return nil
	}
	return suspects
}

// tried is a route configuration as it was before a change, but for some
// virtual hosts that are as after it.
func (s *session) tried(p part, name string, to snapshot.Stack) *snapshot.Resource {
	return inlined(to, name, func(r *snapshot.Resource) *snapshot.Resource {
		if r == nil || r.Type != snapshot.VirtualHost || slices.Contains(p.trial, r) {
			return r
		}
		return s.verdicts.effective(p.from.Get(snapshot.VirtualHost, r.Name))
	})
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
		return []part{{names: namesOf(f.put[:half]), from: f.from}, {names: namesOf(f.put[half:]), from: f.from}}
	}
	others := slices.DeleteFunc(slices.Clone(f.put), func(r *snapshot.Resource) bool { return slices.Contains(suspects, r) })
	return []part{{names: namesOf(others), from: f.from}, {names: namesOf(suspects), from: f.from}}
}

// singly parts a refused response into each by itself: what that costs does not grow with how
// many are refused.
func singly(f *flight) (out []part) {
	for _, r := range f.put {
		out = append(out, part{names: []string{r.Name}, from: f.from})
	}
	return out
}

func namesOf(put []*snapshot.Resource) []string {
	list := make([]string, len(put))
	for i, r := range put {
		list[i] = r.Name
	}
	return list
}
