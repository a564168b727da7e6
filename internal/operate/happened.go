package operate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/internal/debug"
)

// alikeWithin is how far apart replicas may do the same.
const alikeWithin = time.Minute

// mergeHistory puts what replicas remember into one list, the oldest first. What several
// did alike, with the same versions of the same objects or the same findings, is one entry.
// If each did so several times, the last of one is the last of the others, whatever their
// clocks say: the first ones may be forgotten, or be from before a replica started.
func mergeHistory(all []answer[[]debug.Happened]) []debug.Happened {
	var flat []debug.Happened
	for _, a := range all {
		for _, h := range a.value {
			h.Replica = a.replica
			flat = append(flat, h)
		}
	}
	slices.SortStableFunc(flat, func(a, b debug.Happened) int { return a.Time.Compare(b.Time) })
	type turn struct{ says, replica string }
	turns := map[turn]int{}       // up to which of those below a replica has come
	alike := map[string][]*told{} // by what they say, the newest first
	merged := make([]*told, 0, len(flat))
	for n, h := range slices.Backward(flat) {
		says := saying(h)
		of := turn{says, h.Replica}
		i, same := turns[of], alike[says]
		for i < len(same) && same[i].newest.Sub(h.Time) > alikeWithin {
			i++
		}
		turns[of] = i + 1
		if says != "" && i < len(same) {
			same[i].join(h, n)
			continue
		}
		merged = append(merged, &told{Happened: h, newest: h.Time, first: n})
		alike[says] = append(same, merged[len(merged)-1])
	}
	slices.SortFunc(merged, func(a, b *told) int { return cmp.Compare(a.first, b.first) })
	out := make([]debug.Happened, 0, len(merged))
	for _, m := range merged {
		out = append(out, m.Happened)
	}
	return out
}

// told is an entry of one replica or of several, of the time of the first.
type told struct {
	debug.Happened
	newest time.Time // at the last of them
	first  int       // which of all entries it is at the first
}

// join takes in an older entry, the n-th of all, of one more replica.
func (m *told) join(h debug.Happened, n int) {
	m.Time, m.first = h.Time, n
	m.Replica = strings.Join(slices.Sorted(slices.Values(append(strings.Split(m.Replica, ", "), h.Replica))), ", ")
	if m.Effect != nil {
		m.Effect = together(m.Effect, h.Effect)
	}
}

// saying is the same for entries of replicas that tell of the same; empty: there are none.
func saying(h debug.Happened) string {
	if h.MoreObjects+h.MoreFindings > 0 || len(h.Objects)+len(h.Came)+len(h.Went) == 0 {
		return ""
	}
	var lines []string
	for _, o := range h.Objects {
		lines = append(lines, fmt.Sprintf("%s %d %s %v", o, o.Generation, o.Version, o.Deleted))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%v %q %v %v", h.Effect != nil, lines, h.Came, h.Went)
}

// together is the effect on the proxies of two replicas.
func together(a, b *debug.Effect) *debug.Effect {
	out := *a
	out.Proxies, out.Bytes, out.Waiting = a.Proxies+b.Proxies, a.Bytes+b.Bytes, a.Waiting+b.Waiting
	out.Late, out.Left, out.AcceptedSeconds = a.Late+b.Late, a.Left+b.Left, max(a.AcceptedSeconds, b.AcceptedSeconds)
	out.AtLeast = a.AtLeast || b.AtLeast
	if (len(a.Workloads) > 0 || a.Proxies == 0) && (len(b.Workloads) > 0 || b.Proxies == 0) {
		out.Workloads = union(a.Workloads, b.Workloads)
	} else if x, y := namespacesOf(a), namespacesOf(b); (len(x) > 0 || a.Proxies == 0) && (len(y) > 0 || b.Proxies == 0) {
		out.Workloads, out.Namespaces = nil, union(x, y)
	} else {
		out.Workloads, out.Namespaces = nil, nil
	}
	whole := len(a.Resources) == a.Added+a.Changed+a.Removed && len(b.Resources) == b.Added+b.Changed+b.Removed
	out.Resources = union(a.Resources, b.Resources)
	if !whole {
		out.Added, out.Changed, out.Removed, out.AtLeast = max(a.Added, b.Added), max(a.Changed, b.Changed), max(a.Removed, b.Removed), true
		return &out
	}
	n := map[string]int{}
	for _, r := range out.Resources {
		n[r.Change]++
	}
	out.Added, out.Changed, out.Removed = n["added"], n["changed"], n["removed"]
	return &out
}

// namespacesOf are those that an effect concerns, as far as it names any.
func namespacesOf(e *debug.Effect) []string {
	out := slices.Clone(e.Namespaces)
	for _, w := range e.Workloads {
		namespace, _, _ := strings.Cut(w, "/")
		out = append(out, namespace)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// union is what either list has, each once and in order.
func union[T comparable](a, b []T) []T {
	out := slices.Concat(a, b)
	slices.SortFunc(out, func(x, y T) int { return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
	return slices.Compact(out)
}
