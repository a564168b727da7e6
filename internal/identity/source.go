package identity

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Change is what a Source reports.
type Change struct {
	// Workloads have a new certificate; in no order.
	Workloads []Workload
	// Bundle says that Authority.Bundle is another one.
	Bundle bool
}

// SourceOptions configure a Source. Changed and Log are required; zero values of
// the rest take the defaults.
type SourceOptions struct {
	// Changed is called from Run, one call after the other.
	Changed func(Change)
	// Limit is the largest number of certificates held; 50,000.
	Limit int
	// Idle is how long a certificate is kept for a proxy that comes back; 10
	// minutes. Workloads that never come back (jobs, former versions) take no
	// memory after that.
	Idle time.Duration
	// Spread is the time over which all certificates are replaced after another
	// root has begun to sign; 1 minute.
	Spread time.Duration
	Log    *slog.Logger
}

// Source holds the certificates of the workloads whose proxies are connected,
// and replaces them in time. Keys exist in its memory only. Safe for use by
// several goroutines.
type Source struct {
	authority *Authority
	options   SourceOptions

	mu      sync.Mutex
	entries map[Workload]*entry
	idle    list.List     // of Workloads that nobody holds any more, the longest idle first
	next    time.Time     // when Run wakes
	wake    chan struct{} // of size 1: something is due before next
}

type entry struct {
	certificate *Certificate
	due         time.Time // for a new certificate; it may be due before, see Certificate.misdated
	failures    int
	holders     int
	idle        *list.Element // nil while there are holders
	left        time.Time     // when the last holder did
}

// NewSource starts nothing: Run does.
func NewSource(a *Authority, o SourceOptions) *Source {
	if o.Limit <= 0 {
		o.Limit = 50_000
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Minute
	}
	if o.Spread <= 0 {
		o.Spread = time.Minute
	}
	return &Source{authority: a, options: o, entries: map[Workload]*entry{}, wake: make(chan struct{}, 1)}
}

// Acquire issues the workload's certificate, unless somebody holds it already,
// and keeps it fresh until release is called. What is released stays for a
// proxy that comes back, until Idle has passed, it is due or its place is needed. Errors: those
// of Authority.Issue, and a Source that is full.
func (s *Source) Acquire(w Workload) (c *Certificate, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[w]
	if e == nil {
		if e, err = s.add(w); err != nil {
			return nil, nil, err
		}
	}
	if e.idle != nil {
		s.idle.Remove(e.idle)
		e.idle = nil
	}
	e.holders++
	var once sync.Once
	return e.certificate, func() { once.Do(func() { s.release(w, e) }) }, nil
}

// Current is the workload's certificate, nil when nobody has acquired it.
func (s *Source) Current(w Workload) *Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[w]; e != nil {
		return e.certificate
	}
	return nil
}

// Run replaces certificates when they are due, or when another root signs, and
// reports it. It returns nil when ctx ends.
func (s *Source) Run(ctx context.Context) error {
	trusted := s.authority.trust.Load()
	for {
		changed := s.authority.Changed()
		var c Change
		if now := s.authority.trust.Load(); now != trusted {
			c.Bundle = string(now.bundle) != string(trusted.bundle)
			trusted = now
			s.hasten(now.signer)
		}
		if c.Workloads = s.renew(ctx); len(c.Workloads) > 0 || c.Bundle {
			s.options.Changed(c)
		}
		timer := time.NewTimer(s.sleep())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (s *Source) add(w Workload) (*entry, error) {
	if len(s.entries) >= s.options.Limit {
		oldest := s.idle.Front()
		if oldest == nil {
			return nil, fmt.Errorf("no certificate for %s: all %d places are taken by connected workloads", w, s.options.Limit)
		}
		delete(s.entries, s.idle.Remove(oldest).(Workload))
	}
	c, err := s.authority.Issue(w)
	if err != nil {
		return nil, err
	}
	e := &entry{certificate: c, due: c.RotateAt}
	s.entries[w] = e
	if e.due.Before(s.next) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return e, nil
}

func (s *Source) release(w Workload, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.holders--; e.holders == 0 {
		e.idle, e.left = s.idle.PushBack(w), time.Now()
		if s.gathers(e).Before(s.next) {
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
	}
}

// gathers is when an idle certificate is dropped, with those that became idle
// soon after it.
func (s *Source) gathers(e *entry) time.Time { return e.left.Add(s.options.Idle + s.options.Idle/10) }

// hasten makes certificates of other signers due soon, not all at once: the
// roots overlap, so there is time.
func (s *Source) hasten(now *signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.certificate.signer.same(now) {
			continue
		}
		if due := time.Now().Add(rand.N(s.options.Spread)); due.Before(e.due) {
			e.due = due
		}
	}
}

// renew replaces what is due and is held, and drops what is due and is not. It
// holds the lock for one certificate at a time, so that new proxies do not wait
// for all of them.
func (s *Source) renew(ctx context.Context) []Workload {
	var renewed []Workload
	for _, w := range s.due() {
		if ctx.Err() != nil {
			break
		}
		c, err := s.authority.Issue(w)
		if s.settle(w, c, err) {
			renewed = append(renewed, w)
		}
	}
	return renewed
}

// due lists what is held and due, and drops what is idle and due.
func (s *Source) due() []Workload {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var out []Workload
	for w, e := range s.entries {
		switch {
		case e.idle != nil && !now.Before(e.left.Add(s.options.Idle)):
			s.idle.Remove(e.idle)
			delete(s.entries, w)
		case now.Before(e.due) && (e.failures > 0 || !e.certificate.misdated(now)):
		case e.idle != nil:
			s.idle.Remove(e.idle)
			delete(s.entries, w)
		default:
			out = append(out, w)
		}
	}
	return out
}

// settle stores what Issue has answered.
func (s *Source) settle(w Workload, c *Certificate, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[w]
	if e == nil {
		return false
	}
	if err == nil {
		e.certificate, e.due, e.failures = c, c.RotateAt, 0
		return true
	}
	if e.failures++; e.failures == 1 {
		s.options.Log.Error("a certificate could not be renewed", "workload", w.String(), "until", e.certificate.NotAfter, "err", err)
	}
	e.due = time.Now().Add(min(time.Duration(e.failures)*10*time.Second, 5*time.Minute))
	return false
}

// clockCheck is how often certificates are held against the system's clock, whose jumps wake
// nobody.
const clockCheck = 30 * time.Second

// sleep is how long nothing is due.
func (s *Source) sleep() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.Now().Add(clockCheck)
	for _, e := range s.entries {
		if e.due.Before(s.next) {
			s.next = e.due
		}
	}
	if oldest := s.idle.Front(); oldest != nil {
		if at := s.gathers(s.entries[oldest.Value.(Workload)]); at.Before(s.next) {
			s.next = at
		}
	}
	// At least a second, so that many that are due one after the other are
	// replaced and reported together.
	return max(time.Until(s.next), time.Second)
}
