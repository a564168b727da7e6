package identity

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// jumped is the clock of a process in whose life the system's clock was set forward by d.
func jumped(d time.Duration) clock {
	c := startClock()
	c.shown = c.shown.Add(-d)
	return c
}

// TestClockSetForwardEndsNothing: a root that is to follow does not sign, and a former one
// stays trusted, before the time has passed that proxies need, whatever the system's clock says.
func TestClockSetForwardEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, Options{})
		old := a.trust.Load().signer
		if err := a.RotateRoot(t.Context()); err != nil {
			t.Fatal(err)
		}
		look := func() {
			t.Helper()
			if err := a.advance(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if broken, err := a.reload(t.Context()); broken != nil || err != nil {
				t.Fatal(broken, err)
			}
		}
		a.clock = jumped(1000 * time.Hour)
		time.Sleep(time.Minute)
		look()
		if tr := a.trust.Load(); !tr.signer.same(old) || len(tr.roots) != 2 {
			t.Fatalf("a minute after the rotation: %d roots, signed by %s", len(tr.roots), tr.signer.cert.Subject)
		}
		a.clock = startClock()
		time.Sleep(time.Hour)
		look()
		if tr := a.trust.Load(); tr.signer.same(old) || len(tr.roots) != 2 {
			t.Fatalf("an hour after the rotation: %d roots, signed by %s", len(tr.roots), tr.signer.cert.Subject)
		}
		a.clock = jumped(1000 * time.Hour)
		time.Sleep(time.Hour)
		look()
		if tr := a.trust.Load(); len(tr.roots) != 2 {
			t.Errorf("certificates of the former root live, and it is no longer trusted")
		}
		time.Sleep(1000*time.Hour + 48*time.Hour)
		look()
		if tr := a.trust.Load(); len(tr.roots) != 1 {
			t.Errorf("the former root is trusted after both clocks have passed its time")
		}
	})
}

// TestCertificatesFollowTheClock: certificates that do not fit the system's clock any more,
// since it was set, are replaced within the minute, and none twice.
func TestCertificatesFollowTheClock(t *testing.T) {
	for what, misdate := range map[string]func(c *Certificate){
		"set forward": func(c *Certificate) { c.RotateAt = time.Now().Round(0).Add(-time.Hour) },
		"set back":    func(c *Certificate) { c.NotBefore = time.Now().Round(0).Add(time.Hour) },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a, r := open(t, Options{}), &record{}
			s := NewSource(a, SourceOptions{Changed: r.add, Log: quiet()})
			go s.Run(ctx) //nolint:errcheck // returns nil
			first, release, err := s.Acquire(app)
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			old := *first
			misdate(&old)
			s.mu.Lock()
			s.entries[app].certificate = &old
			s.mu.Unlock()
			time.Sleep(time.Minute)
			synctest.Wait()
			second := s.Current(app)
			if second == &old {
				t.Fatalf("%s: not replaced", what)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if s.Current(app) != second || len(r.take()) != 1 {
				t.Errorf("%s: replaced more than once", what)
			}

			server, err := a.ServerCertificate("fairway.test")
			if err != nil {
				t.Fatal(err)
			}
			of := *server.issued
			misdate(&of)
			server.issued = &of
			if _, err := server.GetCertificate(nil); err != nil || server.issued == &of {
				t.Errorf("%s: the certificate of our own port is not replaced (%v)", what, err)
			}
		})
	}
}
