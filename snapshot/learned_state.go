package snapshot

import (
	"cmp"
	"slices"
	"time"
)

// Learned is what the sidecars of one workload hold in a mesh with a learned scope, beyond
// what all sidecars of its namespace do.
type Learned struct {
	Namespace string        `json:"namespace"`
	Workload  string        `json:"workload"`
	Sidecars  int           `json:"sidecars"`          // that are connected to this replica
	All       bool          `json:"all,omitempty"`     // it asked for too much, and holds everything
	Hosts     []LearnedHost `json:"hosts,omitempty"`   // in the order of their names
	Unknown   int           `json:"unknown,omitempty"` // names that it asked for and that are no hosts
	// Canary is the Pod whose sidecar holds only what was asked for since CountedSince.
	Canary       string    `json:"canary,omitempty"`
	CountedSince time.Time `json:"countedSince,omitzero"`
}

// LearnedHost is one virtual host that a workload holds.
type LearnedHost struct {
	Name  string    `json:"name"`            // ROUTECONFIG/HOST
	Asked []string  `json:"asked,omitempty"` // the names by which it was asked for; none: a pattern that is held covers it
	Since time.Time `json:"since,omitzero"`  // of the first question
	Last  time.Time `json:"last,omitzero"`   // of the last one: those that hold the host do not ask
}

// Learned lists the workloads that have asked for hosts, by namespace and name.
func (e *Engine) Learned() []Learned {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]Learned, 0, len(e.learning.sets))
	for _, s := range e.learning.sets {
		out = append(out, s.state())
	}
	slices.SortFunc(out, func(a, b Learned) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Workload, b.Workload))
	})
	return out
}

func (s *learnedSet) state() Learned {
	out := Learned{Namespace: s.key.namespace, Workload: s.key.owner, All: s.whole, CountedSince: s.since}
	if s.canary != nil {
		out.Canary = s.canary.client.Pod
	}
	hosts := map[string]*LearnedHost{}
	known := map[string]struct{}{}
	for l := range s.layers {
		out.Sidecars += len(l.users)
		out.All = out.All || l.crowded
		for _, name := range l.hosts {
			if hosts[name] == nil {
				hosts[name] = &LearnedHost{Name: name}
			}
		}
		for asked, at := range s.asked {
			h := hosts[l.frame.answers(asked)]
			if h == nil {
				continue
			}
			known[asked] = struct{}{}
			if !slices.Contains(h.Asked, asked) {
				h.Asked = append(h.Asked, asked)
			}
			if h.Since.IsZero() || at.first.Before(h.Since) {
				h.Since = at.first
			}
			if at.last.After(h.Last) {
				h.Last = at.last
			}
		}
	}
	if len(s.layers) > 0 {
		out.Unknown = len(s.asked) - len(known)
	}
	for _, h := range hosts {
		slices.Sort(h.Asked)
		out.Hosts = append(out.Hosts, *h)
	}
	slices.SortFunc(out.Hosts, func(a, b LearnedHost) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// LearnedCount is how many workloads have asked for hosts, how many virtual hosts they hold
// in all, and how many asked for too much and hold everything.
func (e *Engine) LearnedCount() (workloads, hosts, all int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.learning.sets {
		most := 0
		for l := range s.layers {
			most = max(most, len(l.hosts))
		}
		hosts += most
		if s.state().All {
			all++
		}
	}
	return len(e.learning.sets), hosts, all
}

// Forgotten is how many names workloads have forgotten since the engine was made.
func (e *Engine) Forgotten() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.learning.forgotten
}
