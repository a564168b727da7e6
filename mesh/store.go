package mesh

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Store owns the world: it takes changes from the sources and makes one World
// after the other. Changes that arrive while a pass runs are taken together by
// the next pass, so that a single change on an idle mesh goes out at once and
// a storm makes larger passes, not more of them.
type Store struct {
	// HoldRoutes has routes whose destinations are not there yet keep their last
	// version for a moment (Settings.RouteHold). Set it before Run.
	HoldRoutes bool

	// SecretsByName says that only Secrets are read that are asked for by name.
	// Set it before Run.
	SecretsByName bool
	// Complete, unless nil, is asked about the first World before it is
	// published, whenever something has changed and when Reconsider is called;
	// it is not while it says no. Set it before Run.
	Complete func(*World) bool

	log     *slog.Logger
	publish func(*World, *Dirty)

	mu      sync.Mutex
	pending map[object.Ref]queued // what is not yet taken; by object, so bounded by their number
	order   []object.Ref
	turns   turns
	started bool // the first World is made: namespaces take turns
	synced  bool
	wake    chan struct{} // of size 1: something is pending

	current atomic.Pointer[World]
	inForce generations
}

// NewStore makes a store that hands each new World to publish, with what
// changed since the one before. publish is called by Run, one call at a time,
// and not before Synced.
func NewStore(log *slog.Logger, publish func(*World, *Dirty)) *Store {
	return &Store{log: log, publish: publish, pending: map[object.Ref]queued{}, wake: make(chan struct{}, 1)}
}

// Submit hands over changes. Of several changes of one object only the last
// counts. It never blocks and may be called from several goroutines.
func (s *Store) Submit(changes []Change) {
	weights := make([]int, len(changes))
	for i, c := range changes {
		weights[i] = weigh(c)
	}
	s.mu.Lock()
	for i, c := range changes {
		if _, ok := s.pending[c.Ref]; !ok {
			s.order = append(s.order, c.Ref)
		}
		s.pending[c.Ref] = queued{c, weights[i]}
	}
	s.mu.Unlock()
	s.signal()
}

// Synced says that the sources have delivered all there is; from then on
// Worlds are published.
func (s *Store) Synced() {
	s.mu.Lock()
	s.synced = true
	s.mu.Unlock()
	s.signal()
}

// Reconsider asks Complete again.
func (s *Store) Reconsider() { s.signal() }

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// World is the newest world; nil before the first one is published.
func (s *Store) World() *World { return s.current.Load() }

// Run makes Worlds until the context ends.
func (s *Store) Run(ctx context.Context) error {
	b := newBuilder()
	b.holding = s.HoldRoutes
	b.world.secretsByName = s.SecretsByName
	published := false
	taken := map[object.Ref]Version{} // of objects, which the builder has, and that nobody was told of yet
	var news []Change                 // that were not in force yet
	for {
		due := alarm(b.due())
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-due:
		}
		changes, synced := s.take()
		noteGenerations(taken, changes)
		if !synced && !published {
			b.apply(changes)
			continue
		}
		start := time.Now()
		b.apply(changes)
		b.turns.on = published
		w, dirty := b.finish()
		if !published && s.Complete != nil && !s.Complete(w) {
			continue
		}
		if !published {
			dirty.All = true
		}
		if published {
			dirty.Changes, news = withoutHeld(append(news, changes...), b.holds.routes)
		}
		if dirty.Empty() {
			s.inForce.settle(taken, b.holds.routes, b.waiting())
			continue
		}
		published = true
		s.current.Store(w)
		s.publish(w, dirty)
		s.inForce.settle(taken, b.holds.routes, b.waiting())
		s.log.Debug("made a new world", "generation", w.Generation, "changes", len(changes), "took", time.Since(start))
	}
}

// alarm rings at a time; never at the zero one.
func alarm(at time.Time) <-chan time.Time {
	if at.IsZero() {
		return nil
	}
	return time.After(time.Until(at))
}

// take is what the next pass takes in: all there is before the first World, and then
// what is each namespace's turn.
func (s *Store) take() ([]Change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken, left := s.order, []object.Ref(nil)
	if s.started {
		taken, left = s.turns.share(s.order, s.pending)
	}
	s.started = s.started || s.synced
	changes := make([]Change, 0, len(taken))
	for _, r := range taken {
		changes = append(changes, s.pending[r].Change)
		delete(s.pending, r)
	}
	s.order = left
	if len(left) == 0 {
		s.pending = map[object.Ref]queued{} // after the first lists it is large
	} else {
		s.signal()
	}
	return changes, s.synced
}

// withoutHeld parts changes into those that are in force and the newest of each route that
// is held back.
func withoutHeld(changes []Change, held map[object.Ref]*hold) (now, later []Change) {
	if len(held) == 0 {
		return changes, nil
	}
	newest := map[object.Ref]int{}
	for i, c := range changes {
		if held[c.Ref] != nil {
			newest[c.Ref] = i
		}
	}
	for i, c := range changes {
		if at, waits := newest[c.Ref]; !waits {
			now = append(now, c)
		} else if at == i {
			later = append(later, c)
		}
	}
	return now, later
}
