package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure an Authority. Storage and Log are required; zero durations
// take the defaults.
type Options struct {
	// Storage keeps the self-signed root and the list of trusted ones.
	Storage Storage
	// PluggedIn reads the entries of the authority that the user provides (see
	// the package comment); nil entries when there is none. Nil: never.
	PluggedIn func(ctx context.Context) (map[string][]byte, error)
	// PluggedInName says in messages where PluggedIn reads.
	PluggedInName string

	// Told reads what proxies were told to trust, as PEM by the place where it
	// says so; a start that would sign with anything else waits. Nil: nobody was.
	Told func(ctx context.Context) (map[string][]byte, error)
	// Existing has Start make no root where there is none.
	Existing bool

	RootLifetime time.Duration // of a self-signed root; 10 years
	LeafLifetime time.Duration // of what is issued; 24 hours
	Overlap      time.Duration // between trusting a new root and signing with it; 1 hour
	Poll         time.Duration // between two looks at Storage and PluggedIn; 15 seconds

	Log *slog.Logger
}

func (o Options) complete() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.RootLifetime, 10 * 365 * 24 * time.Hour}, {&o.LeafLifetime, 24 * time.Hour}, {&o.Overlap, time.Hour}, {&o.Poll, 15 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if o.PluggedInName == "" {
		o.PluggedInName = "the plugged-in authority"
	}
	return o
}

func (o Options) terms() terms { return terms{o.RootLifetime, o.LeafLifetime, o.Overlap} }

// Authority is the mesh's certificate authority. Every replica has one and can
// sign; Run follows what is stored, and only the leader runs Maintain, which
// writes. Safe for use by several goroutines.
type Authority struct {
	options Options
	clock   clock
	trust   atomic.Pointer[trust]

	leading atomic.Bool // Maintain runs
	caring  sync.Mutex  // held while Storage is read and mended
	care    care
	plug    atomic.Pointer[plug] // nil until something was plugged in

	mu      sync.Mutex
	changed chan struct{} // closed when trust is replaced
	held    *keyring      // taken over last; nil before the first
	plugged *pluggedIn    // last good
	// unplugged says that the source of what is plugged in has nothing.
	unplugged bool
	adopted   []trusted // roots that proxies were told and that were not stored at the start
	broken    error     // what is plugged in, as Run sees it
	problem   error     // of Run, with what is stored
	unkept    error     // of Maintain
}

// trust is who signs and who is trusted at one moment. It never changes.
type trust struct {
	signer *signer
	roots  []*x509.Certificate
	pool   *x509.CertPool
	bundle []byte
	since  map[string]time.Time // by fingerprint, when this replica first handed a root out; those it began with are missing
	next   *x509.Certificate    // one of roots that signs from a time on; nil most of the time
	from   time.Time
}

// New makes an authority that is closed: before Start has returned nil only
// Start, Changed and Problem may be called.
func New(o Options) (*Authority, error) {
	a := &Authority{options: o.complete(), clock: startClock(), changed: make(chan struct{}), care: care{restored: map[string]int{}}}
	if t := a.options.terms(); t.rootLife < 2*t.renewal() {
		return nil, fmt.Errorf("a root that lasts %s is too short for certificates of %s and an overlap of %s", t.rootLife, t.leafLife, t.overlap)
	}
	return a, nil
}

// Start reads the roots, or makes the first one; of several replicas that do so
// at once one wins and all use its root. It makes none, and takes none over,
// where proxies were told to trust others (Options.Told). A plugged-in authority that is broken
// is an error here, since there is no last good one to fall back to. After an
// error it may be called again.
func (a *Authority) Start(ctx context.Context) error {
	broken, err := a.reload(ctx)
	return errors.Join(broken, err)
}

// Open is New and Start.
func Open(ctx context.Context, o Options) (*Authority, error) {
	a, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := a.Start(ctx); err != nil {
		return nil, fmt.Errorf("opening the certificate authority: %w", err)
	}
	return a, nil
}

// Issue makes a key and a certificate for the workload. Private keys are not
// kept. Errors: a Workload that no SPIFFE id or Subject can express, or a
// signing certificate that has expired.
func (a *Authority) Issue(w Workload) (*Certificate, error) {
	if err := w.validate(); err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	c, err := a.trust.Load().signer.sign(workloadTemplate(w), a.options.LeafLifetime)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate for %s: %w", w, err)
	}
	c.Name, c.Key = w.ID.String(), c.Key.handedOut()
	return c, nil
}

// Bundle is the PEM of all roots that are trusted now, in an order that is the
// same on every replica. The caller must not change it.
func (a *Authority) Bundle() []byte { return a.trust.Load().bundle }

// Changed is closed when Bundle, or who signs, is no longer what it was.
// Callers take it before they read either.
func (a *Authority) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Problem is what keeps the authority from following its sources, nil when all
// is well. It goes on with the last good state meanwhile.
func (a *Authority) Problem() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.broken, a.problem, a.unkept)
}

// Problems are the parts of Problem: what is wrong with what is plugged in, and
// with what is stored; nil for what is well.
func (a *Authority) Problems() (pluggedIn, stored error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.broken, errors.Join(a.problem, a.unkept)
}

// Root describes a trusted root for people.
type Root struct {
	Subject     string
	Fingerprint string // SHA-256 of the certificate, hexadecimal
	NotAfter    time.Time
	Signing     bool // certificates issued now lead to it
	// SignsFrom is when it takes over; zero unless it is to follow the one that
	// signs now.
	SignsFrom time.Time
}

// Roots describes what Bundle holds, in its order.
func (a *Authority) Roots() []Root {
	t := a.trust.Load()
	out := make([]Root, 0, len(t.roots))
	for _, r := range t.roots {
		root := Root{Subject: r.Subject.String(), Fingerprint: fingerprint(r), NotAfter: r.NotAfter, Signing: contains(t.signer.anchors, r)}
		if t.next != nil && t.next.Equal(r) && !root.Signing {
			root.SignsFrom = t.from
		}
		out = append(out, root)
	}
	return out
}

// replace makes t the trust if it differs, and wakes those who wait for that.
func (a *Authority) replace(t *trust) {
	old := a.trust.Load()
	if old != nil && old.signer.same(t.signer) && slices.EqualFunc(old.roots, t.roots, (*x509.Certificate).Equal) {
		return
	}
	a.trust.Store(t)
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.changed)
	a.changed = make(chan struct{})
	if old != nil {
		a.options.Log.Info("the certificate authority has changed", "signing", t.signer.cert.Subject.String(), "roots", len(t.roots))
	}
}

// choose decides who signs. An authority that is new to the mesh has to wait
// until its root is known everywhere, if anybody else can sign meanwhile.
func (a *Authority) choose(k *keyring, p *pluggedIn, now time.Time) (*trust, error) {
	roots := k.roots()
	for _, t := range a.adoptedBeside(k, now) {
		roots = append(roots, t.cert)
	}
	old := a.trust.Load()
	var s *signer
	switch {
	case p != nil && (k.own == nil || k.distributed(p.signer.anchors, now, a.options.Overlap)):
		s = p.signer
	case k.own != nil:
		s = k.own
	case old != nil:
		s = old.signer
	case k.next != nil && !now.Before(k.from):
		s = k.next
	case k.next != nil:
		return nil, fmt.Errorf("%s is gone, and the root that follows it signs from %s on: a replica that starts before waits for that", a.options.PluggedInName, k.from.UTC().Format(time.RFC3339))
	default:
		return nil, fmt.Errorf("%s is gone, and with it the key under the roots that proxies trust: put it back, or, when it is lost, make a root with `fairway ca rotate --lost`", a.options.PluggedInName)
	}
	// An authority that was replaced in place, or taken out, goes on until its
	// successor may sign. Its roots stay trusted as long as they are stored.
	if old != nil && !old.signer.same(s) && now.Before(old.signer.cert.NotAfter) {
		known := k.distributed(s.anchors, now, a.options.Overlap)
		if k.own == s {
			known = old.handedOut(s.cert, now, a.options.Overlap)
		}
		if !known {
			s = old.signer
		}
		roots = append(roots, s.anchors...)
	}
	if p != nil {
		roots = append(roots, p.roots...)
	}
	roots = sortedSet(roots)
	t := &trust{signer: s, roots: roots, since: map[string]time.Time{}}
	if old != nil && slices.EqualFunc(old.roots, roots, (*x509.Certificate).Equal) {
		t.pool, t.bundle = old.pool, old.bundle
	} else {
		t.pool, t.bundle = pool(roots), encodeCertificates(roots)
	}
	for _, r := range roots {
		if f := fingerprint(r); old != nil && !contains(old.roots, r) {
			t.since[f] = now
		} else if old != nil && !old.since[f].IsZero() {
			t.since[f] = old.since[f]
		}
	}
	if k.next != nil {
		t.next, t.from = k.next.cert, k.from
	}
	return t, nil
}

// handedOut says whether proxies know the root from this replica: it was
// announced as the next to sign, or has been handed out for d, or always.
func (t *trust) handedOut(root *x509.Certificate, now time.Time, d time.Duration) bool {
	if t.next != nil && t.next.Equal(root) {
		return true
	}
	return contains(t.roots, root) && now.Sub(t.since[fingerprint(root)]) >= d
}
