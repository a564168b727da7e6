package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// allowance is what the objects of one kind in one namespace ask for together.
type allowance struct {
	limits    []bounds.Limit
	claimants map[object.Ref]*claimant
	sums      []int // of all claimants, by limit
	out       int   // claimants that are left out
	// changed are claimants of this pass that wait for its end, where it is decided by age
	// who is in force; true: they were left out before. Nil: none waits.
	changed map[object.Ref]bool
}

// claimant is an object that counts in an allowance.
type claimant struct {
	ref     object.Ref
	object  any
	created time.Time
	counts  []int // by limit
	out     bool
}

// allowanceKey names an allowance.
type allowanceKey struct {
	kind      object.Kind
	namespace string
}

// shared takes in a change whose object is within the bounds of its own: as it is, or as
// if the object were not there while those of its namespace ask for too much together.
func (b *builder) shared(c Change) {
	key := allowanceKey{c.Ref.Kind, c.Ref.Namespace}
	s := b.allowances[key]
	if s == nil {
		limits := bounds.OfNamespace(c.Ref.Kind)
		if len(limits) == 0 || c.Object == nil {
			b.take(c)
			return
		}
		s = &allowance{limits: limits, claimants: map[object.Ref]*claimant{}, sums: make([]int, len(limits))}
		b.allowances[key] = s
	}
	was := s.replace(c)
	switch {
	case s.changed == nil && s.out == 0 && !s.over(s.sums):
		b.foundAs(c.Ref, "namespace", nil)
		b.take(c)
	default:
		if s.changed == nil {
			s.changed = map[object.Ref]bool{}
			b.crowdedKeys = append(b.crowdedKeys, key)
		}
		if before, waits := s.changed[c.Ref]; waits {
			was = before
		}
		s.changed[c.Ref] = was
		if c.Object == nil {
			delete(s.changed, c.Ref)
			b.foundAs(c.Ref, "namespace", nil)
			b.take(c)
		}
	}
	if len(s.claimants) == 0 && s.changed == nil {
		delete(b.allowances, key)
	}
}

// settleAllowances decides, once in a pass, which objects of namespaces that ask for too
// much are in force.
func (b *builder) settleAllowances() {
	for _, key := range b.crowdedKeys {
		s := b.allowances[key]
		b.allot(s)
		s.changed = nil
		if len(s.claimants) == 0 {
			delete(b.allowances, key)
		}
	}
	b.crowdedKeys = nil
}

// replace counts what a change says in place of what was counted of its object before,
// and tells whether that was left out.
func (s *allowance) replace(c Change) (wasOut bool) {
	if old := s.claimants[c.Ref]; old != nil {
		s.count(old, -1)
		wasOut = old.out
		if old.out {
			s.out--
		}
		delete(s.claimants, c.Ref)
	}
	if c.Object == nil {
		return wasOut
	}
	m := &claimant{ref: c.Ref, object: c.Object, counts: make([]int, len(s.limits))}
	if o, ok := c.Object.(metav1.Object); ok {
		m.created = o.GetCreationTimestamp().Time
	}
	for i, l := range s.limits {
		m.counts[i] = l.Count(c.Object)
	}
	s.claimants[c.Ref] = m
	s.count(m, 1)
	return wasOut
}

func (s *allowance) count(m *claimant, sign int) {
	for i, n := range m.counts {
		s.sums[i] += sign * n
	}
}

func (s *allowance) over(sums []int) bool { return s.exceeded(sums) >= 0 }

// exceeded is the first limit that sums are over; -1 when there is none.
func (s *allowance) exceeded(sums []int) int {
	for i, l := range s.limits {
		if sums[i] > l.Most {
			return i
		}
	}
	return -1
}

// allot decides by age which objects of the namespace are in force, and takes in those
// for which that has changed, and those that have changed themselves.
func (b *builder) allot(s *allowance) {
	var last object.Ref // the newest that is in force
	sums := make([]int, len(s.limits))
	for _, m := range s.byAge() {
		next := slices.Clone(sums)
		for i, n := range m.counts {
			next[i] += n
		}
		before := m.out
		wasOut, changed := s.changed[m.ref]
		if changed {
			before = wasOut
		}
		if i := s.exceeded(next); i >= 0 {
			if !m.out {
				m.out = true
				s.out++
			}
			if changed || !before {
				b.foundAs(m.ref, "namespace", []object.Finding{crowded(m.ref, s.limits[i], last)})
				b.take(Change{Ref: m.ref, Object: bounds.Restricted(m.object)})
			}
			continue
		}
		sums, last = next, m.ref
		if m.out {
			m.out = false
			s.out--
		}
		if changed || before {
			b.foundAs(m.ref, "namespace", nil)
			b.take(Change{Ref: m.ref, Object: m.object})
		}
	}
}

// byAge are the claimants in the order in which they count.
func (s *allowance) byAge() []*claimant {
	out := make([]*claimant, 0, len(s.claimants))
	for _, m := range s.claimants {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *claimant) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.ref.Name, b.ref.Name))
	})
	return out
}

// crowded is what is found about an object that does not fit beside older ones.
func crowded(ref object.Ref, l bounds.Limit, winner object.Ref) object.Finding {
	return object.Finding{Object: ref, Field: l.Field, Code: object.CodeInvalid, Winner: winner, Message: fmt.Sprintf(
		"with the older objects of its kind in namespace %s it asks for more than %d %s, the most of one namespace; %s: ask for less, or move it to another namespace",
		ref.Namespace, l.Most, l.Unit, crowdedOut(ref.Kind))}
}

// crowdedOut is what happens instead of an object that does not fit beside older ones.
func crowdedOut(kind object.Kind) string {
	switch kind {
	case object.KindDestinationRule:
		return "only its TLS settings are in force"
	case object.KindAuthorizationPolicy:
		return "it denies all that it selects"
	case object.KindRequestAuthentication:
		return "it accepts no token"
	}
	return "it is left out"
}
