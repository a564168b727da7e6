package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/test/kube"
)

// server is the API server that all tests of this package share.
var server kubernetes.Interface

func TestMain(m *testing.M) { os.Exit(withServer(m)) }

func withServer(m *testing.M) int {
	s, err := kube.Start(context.Background(), kube.Options{NoCRDs: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.Close()
	if server, err = kubernetes.NewForConfig(s.REST); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 seconds still not: %s", what)
		}
	}
}

// candidate is a replica that counts how it leads.
type candidate struct {
	stop    context.CancelFunc
	done    chan error
	leading atomic.Bool
}

func (o Options) start(t *testing.T, name string, leaders *atomic.Int32, linger time.Duration) *candidate {
	ctx, cancel := context.WithCancel(t.Context())
	c := &candidate{stop: cancel, done: make(chan error, 1)}
	o.Candidate = name
	go func() {
		c.done <- Run(ctx, o, func(ctx context.Context) error {
			if leaders.Add(1) > 1 {
				t.Error("two replicas lead at once")
			}
			c.leading.Store(true)
			<-ctx.Done()
			time.Sleep(linger)
			c.leading.Store(false)
			leaders.Add(-1)
			return nil
		})
	}()
	t.Cleanup(cancel)
	return c
}

func (c *candidate) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("Run does not end")
		return nil
	}
}

// TestHandOver lets one of two lead, then end; its work takes a while to end.
func TestHandOver(t *testing.T) {
	o := Options{Client: server, Namespace: "default", Name: "hand-over", Duration: 20 * time.Second, Log: quiet()}
	var leaders atomic.Int32
	a := o.start(t, "a", &leaders, time.Second)
	eventually(t, "a leads", a.leading.Load)
	b := o.start(t, "b", &leaders, 0)
	time.Sleep(time.Second)
	if b.leading.Load() {
		t.Error("b leads as well")
	}
	a.stop()
	if err := a.wait(t); err != nil {
		t.Error(err)
	}
	start := time.Now()
	eventually(t, "b leads", b.leading.Load)
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("after %s: the Lease was left to expire", took)
	}
	b.stop()
	if err := b.wait(t); err != nil {
		t.Error(err)
	}
	l, err := o.Client.CoordinationV1().Leases("default").Get(t.Context(), "hand-over", metav1.GetOptions{})
	if err != nil || l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity != "" {
		t.Errorf("the Lease is not given back: %v, %v", l.Spec, err)
	}
}

// TestLeaseTakenAway ends the work, and the replica stands for election again.
func TestLeaseTakenAway(t *testing.T) {
	o := Options{Client: server, Namespace: "default", Name: "taken", Duration: 3 * time.Second, Log: quiet()}
	var leaders atomic.Int32
	a := o.start(t, "a", &leaders, 0)
	eventually(t, "a leads", a.leading.Load)
	leases := o.Client.CoordinationV1().Leases("default")
	usurper, long := "somebody else", int32(4)
	for {
		l, err := leases.Get(t.Context(), "taken", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		now := metav1.NowMicro()
		l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime = &usurper, &long, &now
		if _, err := leases.Update(t.Context(), l, metav1.UpdateOptions{}); err == nil {
			break
		}
	}
	eventually(t, "a no longer leads", func() bool { return !a.leading.Load() })
	l, err := leases.Get(t.Context(), "taken", metav1.GetOptions{})
	if err != nil || *l.Spec.HolderIdentity != usurper {
		t.Errorf("the loser wrote into the Lease: %v, %v", l.Spec, err)
	}
	eventually(t, "a leads again when the other has vanished", a.leading.Load)
	a.stop()
	if err := a.wait(t); err != nil {
		t.Error(err)
	}
}

// TestTakenLeaseIsSeenAtOnce: a leader that stood still finds that another one leads, or has
// led and given the Lease back, and stops when it has looked, and not when the time is over
// that it had to renew the Lease.
func TestTakenLeaseIsSeenAtOnce(t *testing.T) {
	for name, holder := range map[string]string{"taken": "b", "given-back": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seenAtOnce(t, name, holder)
		})
	}
}

func seenAtOnce(t *testing.T, name, other string) {
	o := Options{Client: server, Namespace: "default", Name: name, Duration: 30 * time.Second, Log: quiet()} // looks every 6 s, has 20 s
	leases := o.Client.CoordinationV1().Leases("default")
	var leaders atomic.Int32
	a := o.start(t, "a", &leaders, 0)
	eventually(t, "a leads", a.leading.Load)
	seconds := int32(30)
	var began time.Time
	for {
		l, err := leases.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		now := metav1.NowMicro()
		l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime = &other, &seconds, &now
		if _, err := leases.Update(t.Context(), l, metav1.UpdateOptions{}); err == nil {
			break
		}
	}
	for a.leading.Load() && time.Since(began) < 14*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	if a.leading.Load() {
		t.Errorf("a leads still, %s after the Lease was held by %q", time.Since(began), other)
	}
	a.stop()
	if err := a.wait(t); err != nil {
		t.Error(err)
	}
}

// TestLeaseOfGarbage writes into the Lease what would be believed for ever, and
// deletes it.
func TestLeaseOfGarbage(t *testing.T) {
	o := Options{Client: server, Namespace: "default", Name: "garbage", Duration: 3 * time.Second, Log: quiet()}
	leases := o.Client.CoordinationV1().Leases("default")
	usurper, years, times, never := "somebody else", int32(math.MaxInt32), int32(math.MaxInt32), metav1.NewMicroTime(time.Now().Add(1e6*time.Hour))
	var leaders atomic.Int32
	a := o.start(t, "a", &leaders, 0)
	eventually(t, "a leads", a.leading.Load)
	for name, spec := range map[string]coordinationv1.LeaseSpec{
		"for years":        {HolderIdentity: &usurper, LeaseDurationSeconds: &years, RenewTime: &never, AcquireTime: &never, LeaseTransitions: &times},
		"without a time":   {HolderIdentity: &usurper},
		"without anything": {},
	} {
		for {
			l, err := leases.Get(t.Context(), "garbage", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			l.Spec = spec
			if _, err := leases.Update(t.Context(), l, metav1.UpdateOptions{}); err == nil {
				break
			}
		}
		eventually(t, name+": a leads again", func() bool {
			l, err := leases.Get(t.Context(), "garbage", metav1.GetOptions{})
			return err == nil && l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity == "a" && a.leading.Load()
		})
	}
	if err := leases.Delete(t.Context(), "garbage", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deleted: it is there again", func() bool {
		l, err := leases.Get(t.Context(), "garbage", metav1.GetOptions{})
		return err == nil && l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity == "a" && a.leading.Load()
	})
	a.stop()
	if err := a.wait(t); err != nil {
		t.Error(err)
	}
}

func TestErrorOfWorkEndsRun(t *testing.T) {
	o := Options{Client: server, Namespace: "default", Name: "error", Candidate: "a", Log: quiet()}
	broken := errors.New("broken")
	if err := Run(t.Context(), o, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Run returned %v", err)
	}
	l, err := o.Client.CoordinationV1().Leases("default").Get(t.Context(), "error", metav1.GetOptions{})
	if err != nil || l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity != "" {
		t.Errorf("the Lease is not given back: %v", err)
	}
	// Work that ends early and well keeps the Lease.
	o.Name = "early"
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	worked := make(chan struct{}, 2)
	go func() { done <- Run(ctx, o, func(context.Context) error { worked <- struct{}{}; return nil }) }()
	<-worked
	select {
	case <-done:
		t.Error("Run ended with the work")
	case <-worked:
		t.Error("the work was begun twice")
	case <-time.After(500 * time.Millisecond):
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
