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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

const (
	manager   = "fairway-gateways"
	perSecond = 10 // requests
	// pause is how long changes are gathered before Gateways are looked at.
	pause = time.Second
	// againEvery is how often what somebody changed or deleted is set right.
	againEvery = time.Minute
	// soonAgain is how soon Gateways that no Pod serves are looked at again.
	soonAgain = 5 * time.Second
)

// Deployer keeps the Pods of Gateways. All fields are required, but for those that say
// otherwise.
type Deployer struct {
	Client dynamic.Interface
	// World is the newest; nil before the first. Safe for concurrent use.
	World func() *mesh.World
	// PullSecrets are names of Secrets with the credentials of registries, for the Pods;
	// each namespace with Gateways has its own. May be empty.
	PullSecrets []string
	// Changed is called when Findings are others. nil: nobody listens.
	Changed func()
	Log     *slog.Logger

	once sync.Once
	wake chan struct{} // of size 1

	mu       sync.Mutex
	troubles map[object.Ref]string // why no Pod serves a Gateway
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
	done map[object.Ref]gatewayapi.ManagedGateway // as they were last applied
	told map[string]struct{}                      // warnings that were logged
	pace flowcontrol.RateLimiter
	// swept says that nothing is there which no Gateway needs.
	swept bool
}

// Run makes and keeps the objects until ctx ends, and returns nil then.
func (d *Deployer) Run(ctx context.Context) error {
	d.init()
	defer d.tell(nil) // whoever leads next knows better
	t := &term{Deployer: d, done: map[object.Ref]gatewayapi.ManagedGateway{}, told: map[string]struct{}{}, pace: flowcontrol.NewTokenBucketRateLimiter(perSecond, perSecond)}
	again := time.NewTicker(againEvery)
	defer again.Stop()
	t.classes(ctx)
	soon := time.After(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-soon:
		case <-again.C:
			clear(t.done)
			t.swept = false
			t.classes(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		t.pass(ctx)
		soon = nil
		if len(t.Findings()) > 0 {
			soon = time.After(soonAgain)
		}
	}
}

// pass applies what is not as it was applied last, looks after Gateways that no Pod
// serves yet, and takes away what Gateways need no more.
func (t *term) pass(ctx context.Context) {
	w := t.World()
	if w == nil {
		return
	}
	for _, g := range w.GatewayAPI().ManagedGateways() {
		before, troubled := t.trouble(g.Ref)
		done := reflect.DeepEqual(t.done[g.Ref], g)
		if done && !troubled {
			continue
		}
		work := t.apply
		if done {
			work = t.look
		}
		trouble, err := work(ctx, g)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.warn("the proxies of a Gateway cannot be run; it is tried again", g.Ref.String(), err)
			trouble = err.Error()
			delete(t.done, g.Ref)
		} else {
			if old := t.done[g.Ref].Name; old != "" && old != g.Name {
				t.swept = false
			}
			t.done[g.Ref] = g
		}
		if trouble != before {
			t.set(g.Ref, trouble)
		}
	}
	for ref, g := range t.done {
		if _, left := w.GatewayAPI().LeftBehind(ref, g.Name); left {
			delete(t.done, ref)
			t.swept = false
		}
	}
	t.keep(w)
	if !t.swept {
		t.swept = t.sweep(ctx, w)
	}
}

// look says why no Pod serves a Gateway for which all was made.
func (t *term) look(ctx context.Context, g gatewayapi.ManagedGateway) (trouble string, err error) {
	if err := t.pace.Wait(ctx); err != nil {
		return "", err
	}
	there, err := t.Client.Resource(deployments).Namespace(g.Ref.Namespace).Get(ctx, g.Name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("looking for Deployment %s/%s: %w", g.Ref.Namespace, g.Name, err)
	}
	return idle(there), nil
}

// apply makes what a Gateway needs, and says why no Pod serves it yet.
func (t *term) apply(ctx context.Context, g gatewayapi.ManagedGateway) (trouble string, err error) {
	for _, o := range objectsOf(g, t.PullSecrets) {
		at := t.Client.Resource(o.at).Namespace(g.Ref.Namespace)
		if err := t.pace.Wait(ctx); err != nil {
			return "", err
		}
		there, err := at.Get(ctx, g.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return "", fmt.Errorf("looking for %s %s/%s: %w", o.GetKind(), g.Ref.Namespace, g.Name, err)
		case !ownedBy(there, g.UID):
			return "", fmt.Errorf("%s %s/%s is somebody else's: rename it, or name its Service in spec.addresses of the Gateway", o.GetKind(), g.Ref.Namespace, g.Name)
		}
		made, err := at.Apply(ctx, g.Name, o.Unstructured, metav1.ApplyOptions{FieldManager: manager, Force: true})
		if err != nil {
			return "", fmt.Errorf("applying %s %s/%s: %w", o.GetKind(), g.Ref.Namespace, g.Name, err)
		}
		if o.at == deployments {
			trouble = idle(made)
		}
	}
	return trouble, nil
}

func ownedBy(u *unstructured.Unstructured, uid types.UID) bool {
	return slices.ContainsFunc(u.GetOwnerReferences(), func(o metav1.OwnerReference) bool { return o.UID == uid })
}

// warn logs each trouble once a term.
func (t *term) warn(what, about string, err error) {
	key := what + about + err.Error()
	if _, told := t.told[key]; !told {
		t.told[key] = struct{}{}
		t.Log.Warn(what, "object", about, "err", err)
	}
}
