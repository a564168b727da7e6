package snapshot

import "time"

// learnedSet is what one workload has asked for, by whichever of its pods.
type learnedSet struct {
	key    workloadKey
	asked  map[string]use // by ROUTECONFIG/HOST as it was asked for, or by virtual host
	whole  bool           // it asked for too many names
	layers map[*learnedLayer]struct{}
	left   time.Time // when its last sidecar went; it has no layers then

	// What follows is of forgetting.
	since    time.Time // since when uses count, or, while they do not, when it had its first sidecar
	counting bool      // uses count
	canary   *attached // that holds only what was asked for since; nil: none does
	overflow bool      // since then, too, it asked for too many names
	era      int       // see Resource.Era; of all but the canary
	lastEra  int       // of the canary
	news     int       // how often asked has changed, or what was asked for since
}

// use is when a name was asked for.
type use struct{ first, last time.Time }

// carry has a workload know what a sidecar brings along that was taken for one of another: the
// Pod came later than its sidecar, or has left its Deployment. What the sidecar holds and has asked
// for stays.
func (s *learnedSet) carry(from *learnedSet) {
	if from == s {
		return
	}
	s.whole = s.whole || from.whole
	for name, at := range from.asked {
		if _, known := s.asked[name]; known {
			continue
		}
		if len(s.asked) >= MostAsked {
			s.whole = true
			break
		}
		s.asked[name] = at
	}
	s.news++
	s.derive()
}

// take notes a name: one that is asked for, by the canary or by another sidecar, or one that
// a sidecar lists when it comes back, since an earlier stream has answered it. It will not ask
// for that again, but that is no use of it. It tells whether what sidecars hold may change.
func (s *learnedSet) take(name string, listed, canary bool, now time.Time) (news bool) {
	last := now
	if listed && s.counting {
		last = s.since.Add(-1)
	}
	u, known := s.asked[name]
	switch {
	case known && listed:
		return false
	case known:
		news = u.last.Before(s.since)
		s.asked[name] = use{u.first, last}
	case s.whole && (!canary || listed || s.overflow):
		return false
	case len(s.asked) < MostAsked:
		s.asked[name], news = use{now, last}, true
	default: // who asks is to hold what answers
		s.overflow = s.overflow || canary && !listed
		s.whole, news = true, true
	}
	if news {
		s.news++
	}
	return news
}

// derive brings all layers of the workload to what it has asked for.
func (s *learnedSet) derive() {
	for l := range s.layers {
		l.derive()
	}
}
