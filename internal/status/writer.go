package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	xds "github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

const (
	manager   = "fairway"
	perSecond = 10 // writes
	// pause is how long changes are gathered before objects are looked at: the
	// findings of a change take that long to be there.
	pause = 2 * time.Second
	// lookEvery is how often the API server is asked for kinds that it did not
	// have, and what could not be written is tried again.
	lookEvery = time.Minute
	// maxWrites is how many objects are written before all are looked at anew,
	// so that nothing is written that was true long ago.
	maxWrites = 100
)

// Writer keeps the status of objects. All fields are required.
type Writer struct {
	REST      *rest.Config // the way to the API server
	Discovery discovery.DiscoveryInterface
	// Findings are those in force; false while the first complete state of the
	// mesh is not in: nothing is written then. Safe for concurrent use.
	Findings func() ([]object.Finding, bool)
	// World is the newest; nil before the first. Safe for concurrent use.
	World func() *mesh.World
	// Deliveries are how far the proxies of this replica are with every object.
	// Safe for concurrent use.
	Deliveries func() map[object.Ref]xds.Delivery
	Replica    string // the name of this replica's Pod; "": it has none, and readers could not know the machine's
	Log        *slog.Logger

	once sync.Once
	wake chan struct{} // of size 1
}

// Signal says that findings may have changed. It never blocks.
func (w *Writer) Signal() {
	w.init()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Writer) init() { w.once.Do(func() { w.wake = make(chan struct{}, 1) }) }

// run is one term of a Writer as leader.
type run struct {
	*Writer
	stores map[schema.GroupVersionResource]watched
	pace   flowcontrol.RateLimiter
	// waiting says that later has been called and has not come true yet.
	waiting atomic.Bool
}

// watched is one kind, of which only what matters here is kept.
type watched struct {
	kind     object.Kind
	api      *api
	informer cache.SharedIndexInformer
}

// Run watches the objects and writes until ctx ends, and returns nil then.
func (w *Writer) Run(ctx context.Context) error {
	w.init()
	r := &run{Writer: w, stores: map[schema.GroupVersionResource]watched{}, pace: flowcontrol.NewTokenBucketRateLimiter(perSecond, perSecond)}
	ctx, cancel := context.WithCancel(ctx)
	var g sync.WaitGroup
	defer g.Wait()
	defer cancel()
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	if err := r.watch(ctx, &g); err != nil {
		return err
	}
	for {
		recount := false
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-again.C:
			recount = true
			if err := r.watch(ctx, &g); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		r.pass(ctx, recount)
	}
}

// watch begins to watch kinds that are new.
func (r *run) watch(ctx context.Context, g *sync.WaitGroup) error {
	for gvr, kind := range served(r.Discovery) {
		if _, known := r.stores[gvr]; known {
			continue
		}
		api, err := newAPI(r.REST, gvr, kind.name)
		if err != nil {
			return err
		}
		informer := api.informer()
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { r.Signal() },
			UpdateFunc: func(any, any) { r.Signal() },
		}); err != nil {
			return fmt.Errorf("watching %s: %w", gvr.Resource, err)
		}
		r.stores[gvr] = watched{kind.mesh, api, informer}
		g.Go(func() { informer.RunWithContext(ctx) })
	}
	return nil
}

// pass writes what is not as it should be. That merely the number of proxies
// is another is written only with recount: every pod that starts changes it for
// all objects of the mesh.
func (r *run) pass(ctx context.Context, recount bool) {
	findings, ready := r.Findings()
	world := r.World()
	if !ready || world == nil {
		return
	}
	of := map[object.Ref][]object.Finding{}
	for _, f := range findings {
		of[f.Object] = append(of[f.Object], f)
	}
	deliveries := r.Deliveries()
	writes := 0
	for _, s := range r.stores {
		if !s.informer.HasSynced() {
			continue
		}
		for _, o := range s.informer.GetStore().List() {
			k, ok := o.(*kept)
			if !ok {
				continue
			}
			ref := object.Ref{Kind: s.kind, Namespace: k.Namespace, Name: k.Name}
			_, untraced := untraced[s.kind]
			p := progress{deliveries[ref], r.Replica, !untraced}
			if p.Settling {
				r.later()
				continue
			}
			found := of[ref]
			if g := world.GatewayAPI().ServedBy(ref); g != nil && ref != g.Ref {
				found = withPending(found, of[g.Ref])
			}
			in := inputOf(found, p)
			if k.decided == in && (k.idle || !recount) {
				continue
			}
			patch, urgent := r.patch(k, ref, world, found, p)
			if patch == nil || !urgent && !recount {
				if !ofGatewayAPI(ref) { // the status of those depends on more
					k.decided, k.idle = in, patch == nil
				}
				continue
			}
			if writes++; writes > maxWrites {
				r.Signal()
				return
			}
			if r.pace.Wait(ctx) != nil {
				return
			}
			r.write(ctx, s.api, ref, k, patch)
		}
	}
}

// later has the objects looked at again when the proxies had time to accept
// what is on its way.
func (r *run) later() {
	if r.waiting.CompareAndSwap(false, true) {
		time.AfterFunc(pause, func() { r.waiting.Store(false); r.Signal() })
	}
}

// patch is what to write of an object's status; nil for nothing. It is not
// urgent when it tells nothing but another number of proxies.
func (r *run) patch(k *kept, ref object.Ref, world *mesh.World, findings []object.Finding, p progress) (patch map[string]any, urgent bool) {
	if !ofGatewayAPI(ref) {
		return change(k, findings, p, time.Now())
	}
	patch, err := apiChange(k, ref, world, findings, time.Now())
	if err != nil {
		r.Log.Error("the status of an object cannot be made", "object", ref, "err", err)
	}
	return patch, true
}

func ofGatewayAPI(ref object.Ref) bool {
	return strings.HasPrefix(string(ref.Kind), gatewayv1.GroupName+"/")
}

// change is the status to write; nil when it stands there already. It is not
// urgent when it tells nothing but another number of proxies.
func change(k *kept, findings []object.Finding, p progress, now time.Time) (patch map[string]any, urgent bool) {
	status := k.status()
	standing, _ := status["conditions"].([]any)
	messages, _ := status["validationMessages"].([]any)
	conditions := merge(standing, conditionsOf(findings, p), k.Generation, now)
	wanted := messagesOf(findings)
	seen, _ := status["observedGeneration"].(int64)
	if seen == k.Generation && (len(messages) == 0 && len(wanted) == 0 || reflect.DeepEqual(messages, wanted)) {
		if reflect.DeepEqual(standing, conditions) {
			return nil, false
		}
		urgent = !reflect.DeepEqual(uncounted(standing), uncounted(conditions))
	} else {
		urgent = true
	}
	patch = map[string]any{"conditions": conditions, "observedGeneration": k.Generation, "validationMessages": nil}
	if len(wanted) > 0 {
		patch["validationMessages"] = wanted
	}
	return patch, urgent
}

// uncounted are conditions but for the message of Programmed.
func uncounted(conditions []any) []any {
	out := slices.Clone(conditions)
	for i, c := range out {
		if c, ok := c.(map[string]any); ok && c["type"] == Programmed && c["status"] != "False" {
			c = maps.Clone(c)
			delete(c, "message")
			out[i] = c
		}
	}
	return out
}

// write patches one object as it was seen: if it has changed since, the event
// of that comes, and with it the next try.
func (r *run) write(ctx context.Context, api *api, ref object.Ref, k *kept, patch map[string]any) {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": k.UID, "resourceVersion": k.ResourceVersion}, "status": patch})
	if err != nil { // only text and numbers
		panic(err)
	}
	err = api.patch(ctx, k, body)
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		r.Log.Warn("the status of an object cannot be written; it is tried again", "object", ref, "err", err)
	}
}
