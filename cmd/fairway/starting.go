package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/issuers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// starting is the time before the first world is published. Proxies keep what
// they hold meanwhile, and hear nothing: a world in which something is missing
// would take that away from them.
type starting struct {
	source *source
	ids    *identities
	asked  *issuers.Source
	store  *mesh.Store
	log    *slog.Logger

	listed time.Time                 // when complete was called first
	asking atomic.Pointer[time.Time] // since when it waits for issuers; nil: it does not
}

// refusedWait is how long a start waits for Secrets that the API server
// refuses. Proxies that need them wait on.
const refusedWait = 30 * time.Second

// issuersWait is how long a start waits for the keys of issuers, without which proxies
// would refuse tokens that they take now.
const issuersWait = 6 * time.Second

// complete tells whether the first world may be published: all is in that it
// is made of, Secrets too, and proxies can have certificates. It is called by
// the store, one call at a time.
func (s *starting) complete(w *mesh.World) bool {
	if s.listed.IsZero() {
		s.listed = time.Now()
	}
	named := snapshot.NamedSecrets(w)
	s.source.want(named)
	if !s.ids.isOpen() {
		return false
	}
	s.asked.Want(w)
	if !s.asked.Answered(w) && time.Since(s.listed) < issuersWait {
		since := s.listed
		s.asking.Store(&since)
		return false
	}
	s.asking.Store(nil)
	unread := slices.DeleteFunc(named, func(r object.Ref) bool { return w.SecretRead(r.Namespace, r.Name) })
	return len(unread) == 0 || time.Since(s.listed) > refusedWait && s.allRefused(unread)
}

// allRefused tells whether the API server refuses each of the Secrets.
func (s *starting) allRefused(secrets []object.Ref) bool {
	refused := map[string]bool{}
	for _, a := range s.source.missing() {
		refused[a.What] = a.Refused
	}
	return !slices.ContainsFunc(secrets, func(r object.Ref) bool { return !refused[r.String()] })
}

// missing is what the start waits for.
func (s *starting) missing() []informers.Awaited {
	out := s.source.missing()
	if why := s.ids.missing(); why != "" {
		out = append(out, informers.Awaited{What: "the certificate authority", Since: s.ids.opening.since, Why: why})
	}
	if since := s.asking.Load(); since != nil {
		out = append(out, informers.Awaited{What: "the keys of issuers of tokens", Since: *since, Why: fmt.Sprintf("they are asked, for %s at most", issuersWait)})
	}
	return out
}

// ready says why proxies cannot be served; nil when they can.
func (s *starting) ready() error {
	if s.store.World() != nil {
		return nil
	}
	text := []string{"the first complete state of the mesh is not in yet; proxies keep what they hold. It waits for"}
	for _, a := range s.missing() {
		text = append(text, a.String())
	}
	if len(text) == 1 {
		text = append(text, "nothing more: it is being made")
	}
	return errors.New(strings.Join(text, "\n"))
}

const (
	// startAgain is how often is looked whether a start is complete when nothing
	// tells of it.
	startAgain = 200 * time.Millisecond
	// startLate is how long a start takes before it says what it waits for, and
	// startLateEvery how often it says so.
	startLate      = 5 * time.Second
	startLateEvery = time.Minute
)

// run watches over the start until it is over, and says what it waits for.
func (s *starting) run(ctx context.Context) error {
	again := time.NewTicker(startAgain)
	defer again.Stop()
	say := time.Now().Add(startLate)
	for s.store.World() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			s.store.Reconsider()
		}
		if time.Now().After(say) {
			say = time.Now().Add(startLateEvery)
			s.tell()
		}
	}
	return nil
}

// tell says what is missing, by the reason.
func (s *starting) tell() {
	by := map[string][]string{}
	for _, a := range s.missing() {
		by[a.Why] = append(by[a.Why], a.What)
	}
	var text []string
	for _, why := range slices.Sorted(maps.Keys(by)) {
		text = append(text, strings.Join(by[why], ", ")+": "+why)
	}
	s.log.Warn("not ready yet: proxies keep what they hold", "missing", text)
}
