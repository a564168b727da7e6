package gateways

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/fairway-mesh/fairway/mesh"
)

const (
	manager   = "fairway-gateways"
	perSecond = 10 // requests
	// pause is how long changes are gathered before Gateways are looked at.
	pause = time.Second
	// againEvery is how often what somebody changed or deleted is set right.
	againEvery = time.Minute
)

// Deployer keeps the Pods of Gateways. All fields are required.
type Deployer struct {
	Client dynamic.Interface
	// World is the newest; nil before the first. Safe for concurrent use.
	World func() *mesh.World
	Log   *slog.Logger

	once sync.Once
	wake chan struct{} // of size 1
}

// Signal says that Gateways may have changed. It never blocks.
func (d *Deployer) Signal() {
	d.init()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *Deployer) init() { d.once.Do(func() { d.wake = make(chan struct{}, 1) }) }

// term is one of a Deployer as leader.
type term struct {
	*Deployer
	done map[mesh.Ref]mesh.ManagedGateway // as they were last applied
	told map[string]struct{}              // warnings that were logged
	pace flowcontrol.RateLimiter
}

// Run makes and keeps the objects until ctx ends, and returns nil then.
func (d *Deployer) Run(ctx context.Context) error {
	d.init()
	t := &term{Deployer: d, done: map[mesh.Ref]mesh.ManagedGateway{}, told: map[string]struct{}{}, pace: flowcontrol.NewTokenBucketRateLimiter(perSecond, perSecond)}
	again := time.NewTicker(againEvery)
	defer again.Stop()
	t.classes(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-again.C:
			clear(t.done)
			t.classes(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		t.pass(ctx)
	}
}

// classes makes the GatewayClasses that people of Istio expect to be there.
func (t *term) classes(ctx context.Context) {
	for name, controller := range map[string]string{"istio": mesh.IstioController, "fairway": mesh.FairwayController} {
		_, err := t.Client.Resource(classes).Create(ctx, class(name, controller), metav1.CreateOptions{FieldManager: manager})
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil { // not found: no such kind in the cluster
			t.warn("a GatewayClass cannot be made; Gateways of the class are served all the same", "class "+name, err)
		}
	}
}

// pass applies what is not as it was applied last.
func (t *term) pass(ctx context.Context) {
	w := t.World()
	if w == nil {
		return
	}
	for _, g := range w.ManagedGateways() {
		if reflect.DeepEqual(t.done[g.Ref], g) {
			continue
		}
		if err := t.apply(ctx, g); err != nil {
			if ctx.Err() != nil {
				return
			}
			t.warn("the proxies of a Gateway cannot be run; it is tried again", g.Ref.String(), err)
			continue
		}
		t.done[g.Ref] = g
	}
}

func (t *term) apply(ctx context.Context, g mesh.ManagedGateway) error {
	for _, o := range objectsOf(g) {
		at := t.Client.Resource(o.at).Namespace(g.Ref.Namespace)
		if err := t.pace.Wait(ctx); err != nil {
			return err
		}
		there, err := at.Get(ctx, g.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return fmt.Errorf("looking for %s %s/%s: %w", o.GetKind(), g.Ref.Namespace, g.Name, err)
		case !ownedBy(there, g):
			return fmt.Errorf("%s %s/%s is somebody else's: rename it, or name its Service in spec.addresses of the Gateway", o.GetKind(), g.Ref.Namespace, g.Name)
		}
		if _, err := at.Apply(ctx, g.Name, o.Unstructured, metav1.ApplyOptions{FieldManager: manager, Force: true}); err != nil {
			return fmt.Errorf("applying %s %s/%s: %w", o.GetKind(), g.Ref.Namespace, g.Name, err)
		}
	}
	return nil
}

func ownedBy(u *unstructured.Unstructured, g mesh.ManagedGateway) bool {
	return slices.ContainsFunc(u.GetOwnerReferences(), func(o metav1.OwnerReference) bool { return o.UID == g.UID })
}

// warn logs each trouble once a term.
func (t *term) warn(what, about string, err error) {
	key := what + about + err.Error()
	if _, told := t.told[key]; !told {
		t.told[key] = struct{}{}
		t.Log.Warn(what, "object", about, "err", err)
	}
}
