package snapshot

import (
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A sidecar asks for a host once, and nobody sees when it uses it last. So one sidecar of
// each workload, the canary, forgets all and asks again for what it uses. What nobody has
// asked for within Settings.LearnedFor goes from the workload, and another of its sidecars is
// the next canary. A host that others use and that one does not costs them one more question.
//
// Envoy remembers what it was answered, and would not ask again for a host that goes. It
// forgets that with a route configuration of which VHDS is configured otherwise than before:
// those of a workload that has forgotten something are of another era.

// isCanary tells whether a sidecar is the one of a workload that has forgotten all.
func (g *learning) isCanary(of workloadKey, a *attached) bool {
	s := g.sets[of]
	return s != nil && s.canary == a
}

// mostForgetting is of how many workloads a sidecar begins to forget at once: all of them
// ask for what they use.
const mostForgetting = 20

// forgetUnused takes the workloads further whose time has come.
func (e *Engine) forgetUnused(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	left := mostForgetting
	for _, s := range e.learning.sets {
		due := now.Sub(s.since) >= e.world.Config.LearnedFor
		if left == 0 || len(s.layers) == 0 || !due && (s.canary != nil || !s.counting) {
			continue
		}
		left--
		if due {
			if s.counting {
				e.learning.forgotten += s.forget()
			}
			s.count(now)
		}
		e.changeCanary(s)
	}
}

// forget lets go of what nobody has asked for since uses count, and returns of how many names.
func (s *learnedSet) forget() (names int) {
	for name, u := range s.asked {
		if u.last.Before(s.since) {
			delete(s.asked, name)
			names++
		}
	}
	fewer := s.whole && !s.overflow
	if fewer {
		s.whole = false
	}
	if fewer || names > 0 {
		s.era = s.lastEra
	}
	return names
}

// count begins to count uses anew. A workload that asked for too many names shows by its
// canary whether it still does.
func (s *learnedSet) count(now time.Time) {
	if s.whole {
		clear(s.asked)
	}
	s.counting, s.overflow, s.since = true, false, now
	s.lastEra++
	s.news++
}

// changeCanary has another sidecar of the workload hold only what was asked for since uses
// count: the same one if there is no other.
func (e *Engine) changeCanary(s *learnedSet) {
	before, next := s.canary, s.canary
	for l := range s.layers {
		for a := range l.users {
			if a != before && (next == before || !a.proxy.Workload.Terminating) {
				next = a
			}
		}
	}
	s.canary = next
	s.derive()
	for _, a := range []*attached{before, next} {
		if a != nil {
			e.relearn(a)
		}
	}
	e.tellLearned(s)
}

// pardon adds the route configurations in which a sidecar of the layer forgets what it was
// answered before this era.
func (l *learnedLayer) pardon(w *wanted) {
	era := l.set.era
	if l.key.canary {
		era = l.set.lastEra
	}
	if era == 0 {
		return
	}
	for config := range l.frame.asked {
		key := Key{RouteConfig, config}
		w.looked[key] = struct{}{}
		of := l.frame.revision.Get(RouteConfig, config)
		if of == nil {
			continue
		}
		if l.revision != nil {
			if r := l.revision.Get(RouteConfig, config); r != nil && r.Version == of.eraVersion(era) {
				w.out[key] = r
				continue
			}
		}
		w.out[key] = of.InEra(era)
	}
}

// Era tells for a route configuration how often a workload has forgotten something. Envoy
// forgets what it was answered, of the virtual hosts of a route configuration, when its VHDS
// is configured otherwise; it keeps those that it holds.
func (r *Resource) Era() int { return r.era }

// InEra is a route configuration in an era, which is not 0 (see Era).
func (r *Resource) InEra(era int) *Resource {
	made := r.With(r.eraVersion(era), r.Body())
	made.era = era
	return made
}

func (r *Resource) eraVersion(era int) string {
	return hex(xxhash.Sum64String(r.Version + "/" + strconv.Itoa(era)))
}
