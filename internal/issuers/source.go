package issuers

import (
	"context"
	"crypto/x509"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

const (
	// firstPause is how long an issuer that says no keys is left alone at first. It is
	// twice as long each time, up to longestPause.
	firstPause   = time.Second
	longestPause = 5 * time.Minute
)

// Source is where the keys of issuers come from: it delivers a mesh.IssuerKeys for each
// one that the world wants.
type Source struct {
	sink  func([]mesh.Change)
	asker *asker
	wake  chan struct{} // of size 1
	turns *turns

	world atomic.Pointer[mesh.World] // by which addresses are refused

	mu       sync.Mutex
	policies *mesh.World // the newest whose policies or settings differ from those before
	wanted   []mesh.Issuer
	findings []object.Finding
	tries    map[string]*try
	known    map[string]mesh.IssuerKeys // what was delivered last
}

// try is an issuer that is being asked.
type try struct {
	refresh time.Duration
	before  mesh.IssuerKeys // what came of asking it before; zero: it was not
	place   *place
	stop    context.CancelFunc
}

// New makes a source that delivers to sink, which is safe for use by several goroutines.
// Issuers' certificates are verified by roots; nil: by those of the system.
func New(sink func([]mesh.Change), roots *x509.CertPool) *Source {
	s := &Source{sink: sink, wake: make(chan struct{}, 1), turns: newTurns(),
		tries: map[string]*try{}, known: map[string]mesh.IssuerKeys{}}
	s.asker = newAsker(s.refuse, roots)
	return s
}

// refuse says why an address is not dialled.
func (s *Source) refuse(a netip.Addr) string {
	if w := s.world.Load(); w != nil {
		return w.NoKeysFrom(a)
	}
	return "an address of which nothing is known yet"
}

// Want asks for the keys of the issuers that the world's policies name, and no others.
func (s *Source) Want(w *mesh.World) {
	s.world.Store(w)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.policies; p != nil && p.RequestAuthentications == w.RequestAuthentications && p.Config.Settings == w.Config.Settings {
		return
	}
	again := s.policies != nil && s.policies.Config.Settings != w.Config.Settings
	s.policies = w
	s.wanted, s.findings = w.Issuers()
	if again { // what was refused may be allowed
		for name := range s.tries {
			s.end(name)
		}
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Findings are about issuers that are not asked, since there are too many.
func (s *Source) Findings() []object.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.findings
}

// Answered tells whether each issuer that the world wants has been asked once.
func (s *Source) Answered(w *mesh.World) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.wanted {
		if w.IssuerKeys(i.Name) == nil {
			return false
		}
	}
	return true
}

// Run asks until the context ends.
func (s *Source) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		s.begin(ctx, &running)
	}
}

// begin has each issuer that is wanted asked, and no others.
func (s *Source) begin(ctx context.Context, running *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	for _, i := range s.wanted {
		wanted[i.Name] = true
		if t := s.tries[i.Name]; t != nil {
			s.turns.named(t.place, i.Namespaces)
			continue
		}
		its, stop := context.WithCancel(ctx)
		t := &try{refresh: s.policies.Config.IssuerRefresh, stop: stop, before: s.known[i.Name], place: newPlace(i.Namespaces)}
		s.tries[i.Name] = t
		running.Go(func() { s.ask(its, t, i.Name) })
	}
	for name := range s.tries {
		if !wanted[name] {
			s.end(name)
		}
	}
	for name := range s.known { // also those whose tries ended before, since settings changed
		if !wanted[name] {
			delete(s.known, name)
			s.sink([]mesh.Change{{Ref: refOf(name)}})
		}
	}
}

func (s *Source) end(name string) {
	s.tries[name].stop()
	delete(s.tries, name)
}

func refOf(issuer string) object.Ref { return object.Ref{Kind: object.KindIssuer, Name: issuer} }

// ask asks one issuer again and again until the context ends.
func (s *Source) ask(ctx context.Context, t *try, issuer string) {
	now := t.before
	pause := firstPause
	for first := true; ; first = false {
		began := time.Now()
		keys, err := s.inTurn(ctx, t.place, issuer)
		next := mesh.IssuerKeys{Issuer: issuer, Keys: keys}
		wait := t.refresh
		if err != nil {
			next = mesh.IssuerKeys{Issuer: issuer, Keys: now.Keys, Problem: err.Error(), Since: now.Since}
			if now.Problem == "" {
				next.Since = began
			}
			wait, pause = pause, min(2*pause, longestPause, t.refresh)
		} else {
			pause = firstPause
		}
		if first || next != now {
			now = next
			s.deliver(ctx, next)
		}
		timer := time.NewTimer(wait*9/10 + rand.N(wait/5+1)) // not all at once
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// inTurn asks once there is a place.
func (s *Source) inTurn(ctx context.Context, p *place, issuer string) (string, error) {
	if err := s.turns.take(ctx, p); err != nil {
		return "", err
	}
	defer s.turns.leave(p)
	return s.asker.ask(ctx, issuer)
}

// deliver hands on what came of asking, unless nobody wants it any more.
func (s *Source) deliver(ctx context.Context, k mesh.IssuerKeys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() == nil {
		s.known[k.Issuer] = k
		s.sink([]mesh.Change{{Ref: refOf(k.Issuer), Object: &k}})
	}
}
