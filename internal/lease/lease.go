package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// Options name a Lease (coordination.k8s.io/v1) and a candidate for it. All are
// required but Duration.
type Options struct {
	Client          kubernetes.Interface
	Namespace, Name string
	Candidate       string // unique among replicas: the pod's name
	// Duration is how long a leader that has vanished still holds the Lease;
	// 15 seconds. It is renewed five times as often.
	Duration time.Duration
	Log      *slog.Logger
}

// Run stands for election until ctx ends, and returns nil then. Each time that
// the Lease is won it calls onLeading with a context that ends when the Lease is
// lost or ctx ends; onLeading is to return soon after, and only then the Lease
// is given back. An error of onLeading ends Run and is returned; when onLeading
// returns nil before its context ends, the Lease is kept nevertheless.
func Run(ctx context.Context, o Options, onLeading func(ctx context.Context) error) error {
	if o.Duration <= 0 {
		o.Duration = 15 * time.Second
	}
	for ctx.Err() == nil {
		if err := o.term(ctx, onLeading); err != nil {
			return err
		}
	}
	return nil
}

// term stands for election and leads once.
func (o Options) term(ctx context.Context, onLeading func(ctx context.Context) error) error {
	// The election outlives ctx until the work has ended, so that the Lease is
	// not given back under it. Its library logs every attempt: discarded.
	election, end := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), logr.Discard()))
	defer end()
	leading := make(chan context.Context, 1)
	var leads atomic.Bool
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
		Client:     o.Client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: o.Candidate},
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          bounded{lock, o.Duration, &leads, end},
		LeaseDuration: o.Duration, RenewDeadline: o.Duration * 2 / 3, RetryPeriod: o.Duration / 5,
		Name: o.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { leads.Store(true); leading <- ctx },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("standing for the Lease %s/%s: %w", o.Namespace, o.Name, err)
	}
	over := make(chan struct{})
	go func() { defer close(over); elector.Run(election) }()
	defer func() { end(); <-over }()
	select {
	case <-ctx.Done():
		return nil
	case <-over:
		return nil
	case held := <-leading:
		o.Log.Info("this replica is the leader", "lease", o.Namespace+"/"+o.Name)
		err := o.lead(ctx, held, onLeading)
		end()
		<-over
		o.giveBack(lock)
		return err
	}
}

// bounded reads a Lease as if nobody had written more into it than a candidate
// does: one that claims it for years, or has counted to the end of numbers,
// would be believed for ever. A leader that reads that another one leads is none any
// more: one that stood still for longer than its claim would go on until the time is over
// that it has to renew it.
type bounded struct {
	*resourcelock.LeaseLock
	longest time.Duration
	leads   *atomic.Bool
	lost    func()
}

// Get implements resourcelock.Interface.
func (b bounded) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := b.LeaseLock.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	if record.HolderIdentity != b.Identity() && b.leads.Load() { // another's, or given back by another
		b.lost()
	}
	record.LeaseDurationSeconds = min(record.LeaseDurationSeconds, int(b.longest/time.Second))
	if record.LeaderTransitions >= math.MaxInt32/2 {
		record.LeaderTransitions = 0
	}
	return record, raw, nil
}

// giveBack lets the next leader begin at once. The library could do it, but
// would when the Lease is lost do it before the work has ended.
func (o Options) giveBack(lock *resourcelock.LeaseLock) {
	ctx, cancel := context.WithTimeout(context.Background(), o.Duration/3)
	defer cancel()
	record, _, err := lock.Get(ctx)
	if err != nil || record.HolderIdentity != o.Candidate {
		return // it expires by itself
	}
	now := metav1.Now()
	err = lock.Update(ctx, resourcelock.LeaderElectionRecord{
		LeaderTransitions: record.LeaderTransitions, LeaseDurationSeconds: 1, RenewTime: now, AcquireTime: now,
	})
	if err != nil {
		o.Log.Debug("the lease could not be given back and will expire", "lease", o.Namespace+"/"+o.Name, "err", err)
	}
}

// lead runs the work while held and ctx last.
func (o Options) lead(ctx, held context.Context, onLeading func(ctx context.Context) error) error {
	work, stop := context.WithCancel(held)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	err := onLeading(work)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("leading: %w", err)
	}
	<-work.Done()
	if ctx.Err() == nil {
		o.Log.Warn("this replica is no longer the leader", "lease", o.Namespace+"/"+o.Name)
	}
	return nil
}
