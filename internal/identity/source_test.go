package identity

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// record collects what a Source reports.
type record struct {
	mu      sync.Mutex
	changes []Change
}

func (r *record) add(c Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, c)
}

func (r *record) take() []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.changes
	r.changes = nil
	return out
}

func workload(name string) Workload {
	w := app
	w.Name = name
	return w
}

func TestSourceRotatesAtHalfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a, r := open(t, Options{}), &record{}
		s := NewSource(a, SourceOptions{Changed: r.add, Log: quiet()})
		go s.Run(ctx) //nolint:errcheck // returns nil
		first, release, err := s.Acquire(app)
		if err != nil {
			t.Fatal(err)
		}
		again, releaseAgain, err := s.Acquire(app)
		if err != nil || again != first || s.Current(app) != first {
			t.Errorf("the second proxy of a workload got %v, %v, want the same certificate", again, err)
		}
		synctest.Wait()
		if c := r.take(); c != nil {
			t.Errorf("reported %v although nothing has changed", c)
		}
		time.Sleep(time.Until(first.RotateAt) - time.Second)
		synctest.Wait()
		if s.Current(app) != first {
			t.Error("rotated before it was due")
		}
		for round := range 10 {
			last := s.Current(app)
			time.Sleep(time.Until(last.RotateAt) + time.Second)
			synctest.Wait()
			now := s.Current(app)
			if now == last || !time.Now().Before(last.NotAfter) {
				t.Fatalf("round %d: not rotated in time", round)
			}
			mustVerify(t, now, a.Bundle())
			if c := r.take(); len(c) != 1 || c[0].Bundle || !slices.Equal(c[0].Workloads, []Workload{app}) {
				t.Errorf("round %d: reported %v", round, c)
			}
		}
		release()
		release()
		last := s.Current(app)
		time.Sleep(time.Until(last.RotateAt) + time.Second)
		synctest.Wait()
		if s.Current(app) == last {
			t.Error("one proxy is still there, and its certificate was not rotated")
		}
		releaseAgain()
		r.take()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if c := s.Current(app); c != nil || r.take() != nil {
			t.Errorf("nobody is there, and yet it holds %v", c)
		}
		cancel()
		synctest.Wait()
	})
}

func TestSourceFollowsRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a, r := open(t, Options{}), &record{}
		s := NewSource(a, SourceOptions{Changed: r.add, Log: quiet()})
		for _, run := range []func(context.Context) error{a.Run, a.Maintain, s.Run} {
			go run(ctx) //nolint:errcheck // returns nil
		}
		var all []Workload
		for _, n := range []string{"a", "b", "c", "d", "e", "f"} {
			all = append(all, workload(n))
			if _, _, err := s.Acquire(workload(n)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // until all of them run
		old := a.Bundle()
		if err := a.RotateRoot(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if c := r.take(); len(c) != 1 || !c[0].Bundle || len(c[0].Workloads) != 0 {
			t.Errorf("after a root was added: %v, want a new bundle and no new certificate", c)
		}
		time.Sleep(time.Hour + 2*time.Minute)
		synctest.Wait()
		count := map[Workload]int{}
		changes := r.take()
		for _, c := range changes {
			for _, w := range c.Workloads {
				count[w]++
			}
		}
		for _, w := range all {
			if count[w] != 1 {
				t.Errorf("%s was replaced %d times", w.Name, count[w])
			}
			c := s.Current(w)
			mustVerify(t, c, a.Bundle())
			if _, err := verify(t, c.Chain, old, 0); err == nil {
				t.Errorf("%s is still signed by the old root", w.Name)
			}
		}
		if len(changes) < 2 {
			t.Error("all certificates were replaced at once")
		}
		cancel()
		synctest.Wait()
	})
}

func TestSourceIsBounded(t *testing.T) {
	s := NewSource(open(t, Options{}), SourceOptions{Limit: 2, Changed: func(Change) {}, Log: quiet()})
	_, releaseA, err := s.Acquire(workload("a"))
	if err != nil {
		t.Fatal(err)
	}
	_, releaseB, err := s.Acquire(workload("b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Acquire(workload("c")); err == nil {
		t.Error("a third certificate was made")
	}
	releaseB()
	releaseA()
	a := s.Current(workload("a"))
	if back, release, err := s.Acquire(workload("a")); err != nil || back != a {
		t.Errorf("a proxy that came back got %v, %v, want what it had", back, err)
	} else {
		release()
	}
	if _, _, err := s.Acquire(workload("c")); err != nil {
		t.Errorf("no place was made: %v", err)
	}
	if s.Current(workload("b")) != nil || s.Current(workload("a")) == nil {
		t.Error("not the longest idle one had to go")
	}
	if len(s.entries) != 2 {
		t.Errorf("%d certificates are held", len(s.entries))
	}
	if _, _, err := s.Acquire(Workload{}); err == nil {
		t.Error("nobody got a certificate")
	}
}

// TestSourceForgetsWhoIsGone has workloads come and go that never come back, and
// one that does.
func TestSourceForgetsWhoIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NewSource(open(t, Options{}), SourceOptions{Changed: func(Change) {}, Log: quiet()})
		go s.Run(ctx) //nolint:errcheck // returns nil
		stays, _, err := s.Acquire(workload("stays"))
		if err != nil {
			t.Fatal(err)
		}
		returns, release, err := s.Acquire(workload("returns"))
		if err != nil {
			t.Fatal(err)
		}
		release()
		for i := range 120 { // one a minute
			_, release, err := s.Acquire(workload(fmt.Sprint("job-", i)))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
			release()
			time.Sleep(30 * time.Second)
			if i == 5 || i == 12 {
				c, release, err := s.Acquire(workload("returns"))
				if err != nil || c != returns {
					t.Errorf("a proxy that comes back soon gets %v, %v, want what it had", c, err)
				}
				release()
			}
			s.mu.Lock()
			if n := len(s.entries); n > 15 {
				t.Fatalf("%d certificates are held after %d jobs", n, i)
			}
			s.mu.Unlock()
		}
		time.Sleep(12 * time.Minute)
		synctest.Wait()
		if len(s.entries) != 1 || s.idle.Len() != 0 || s.Current(workload("stays")) != stays {
			t.Errorf("%d certificates are held, %d of them idle", len(s.entries), s.idle.Len())
		}
		cancel()
		synctest.Wait()
	})
}

// TestSourceKeepsLastGood lets the plugged-in authority end, and replaces it.
func TestSourceKeepsLastGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newCompany(t, ec(t))
		end := time.Now().Add(20 * time.Hour)
		c.lower = sign(t, "ends soon", c.root, c.key, c.rootKey, func(x *x509.Certificate) { x.NotAfter = end })
		s := &shelf{data: c.istio(t)}
		a, r := open(t, Options{PluggedIn: s.read}), &record{}
		source := NewSource(a, SourceOptions{Changed: r.add, Log: quiet()})
		go a.Run(ctx)      //nolint:errcheck // returns nil
		go source.Run(ctx) //nolint:errcheck // returns nil
		first, _, err := source.Acquire(app)
		if err != nil {
			t.Fatal(err)
		}
		if first.NotAfter.After(end) {
			t.Errorf("the certificate ends %s, after its authority", first.NotAfter)
		}
		time.Sleep(21 * time.Hour)
		synctest.Wait()
		last := source.Current(app)
		if last == nil || last == first || a.Problem() == nil {
			t.Fatalf("holds %v, reported: %v", last, a.Problem())
		}
		if _, _, err := source.Acquire(workload("new")); err == nil {
			t.Error("an authority that has ended still signs")
		}
		r.take()
		s.put(newCompany(t, ec(t)).istio(t))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if now := source.Current(app); now == last {
			t.Error("not replaced after the authority was mended")
		} else {
			mustVerify(t, now, a.Bundle())
		}
		cancel()
		synctest.Wait()
	})
}
