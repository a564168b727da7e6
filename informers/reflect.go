package informers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// selection narrows what is watched of a kind; the zero one is all of it.
type selection struct{ namespace, fields, labels string }

// reflection follows the objects of a kind while it runs.
type reflection struct {
	source  *Kubernetes
	store   *store
	version string
	sel     selection
	client  rest.Interface
	cancel  context.CancelFunc
	ended   chan struct{}

	mu   sync.Mutex
	turn context.CancelFunc // ends what runs now, so that everything is read again
}

func (r *reflection) stop() {
	r.cancel()
	<-r.ended
}

// again has everything read anew.
func (r *reflection) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turn != nil {
		r.turn()
	}
}

// retryBackoff is how soon a broken watch is tried again. It stays below a
// second, so that an outage is over when it is over; while the API server is
// known to be away, requests wait for it, see Link.
func retryBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.6, Steps: 10, Cap: 600 * time.Millisecond}
}

// reflect starts to follow a selection of a kind in one served version, and to
// compare what is known of it with what is there.
func (k *Kubernetes) reflect(ctx context.Context, s *store, version string, sel selection) (*reflection, error) {
	client, err := k.client(schema.GroupVersion{Group: s.kind.group, Version: version})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &reflection{source: k, store: s, version: version, sel: sel, client: client, cancel: cancel, ended: make(chan struct{})}
	k.views.add(r)
	var parts sync.WaitGroup
	parts.Go(func() { newAudit(k.metadata, r, sel).run(ctx) })
	parts.Go(func() { r.run(ctx) })
	go func() {
		parts.Wait()
		k.views.remove(r)
		close(r.ended)
	}()
	return r, nil
}

// run follows until the context ends, each turn from the first list on.
func (r *reflection) run(ctx context.Context) {
	quiet := logr.Discard() // what goes wrong is told by troubles, once
	for ctx.Err() == nil {
		turn, end := context.WithCancel(klog.NewContext(ctx, quiet))
		r.mu.Lock()
		r.turn = end
		r.mu.Unlock()
		r.store.believe = func(missing []object.Ref) error { return r.believe(turn, missing) }
		reflector := cache.NewReflectorWithOptions(r.listWatch(), nil, r.store, cache.ReflectorOptions{
			Name: r.store.kind.resource, TypeDescription: r.store.kind.groupKind().String(), Logger: &quiet, Backoff: retryBackoff(),
		})
		reflector.RunWithContext(turn)
		end()
	}
}

// listWatch asks for the selection of a kind.
func (r *reflection) listWatch() *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if err := r.mayAsk(ctx, o.ResourceVersion, true); err != nil {
				return nil, err
			}
			list, err := r.request(&o).Do(ctx).Get()
			r.answered(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if err := r.mayAsk(ctx, o.ResourceVersion, o.SendInitialEvents != nil && *o.SendInitialEvents); err != nil {
				return nil, err
			}
			return r.watch(ctx, o)
		},
	}
}

// request asks once. What is to be tried again is not tried again by the
// client, which would wait for as long as an answer tells it to.
func (r *reflection) request(o *metav1.ListOptions) *rest.Request {
	o.FieldSelector, o.LabelSelector = r.sel.fields, r.sel.labels
	return r.client.Get().Namespace(r.sel.namespace).Resource(r.store.kind.resource).VersionedParams(o, r.source.parameters).MaxRetries(0)
}

// mayAsk waits until the link is there, and until the next list may begin. A version that
// an API server cannot have given out, and would refuse each time, is not asked from:
// everything is read again.
func (r *reflection) mayAsk(ctx context.Context, version string, list bool) error {
	if _, err := strconv.ParseUint(version, 10, 64); version != "" && err != nil {
		err := fmt.Errorf("the API server has named a version %.40q, which is no number: everything is read again", version)
		r.store.view.rejects(err)
		r.again()
		return err
	}
	if err := r.source.link.await(ctx); err != nil {
		return err
	}
	if !list {
		return nil
	}
	if pause := r.store.view.begins(); pause > 0 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// answered notes what became of a request.
func (r *reflection) answered(ctx context.Context, err error) {
	if ctx.Err() == nil {
		r.store.note(err)
	}
	r.source.troubles.note(ctx, r.store.kind, err)
	if err == nil {
		r.source.link.lives()
	} else if ctx.Err() == nil {
		r.store.view.fail(err)
	}
}

// watch opens a watch. It ends when nothing has come for a while: then the
// reflector asks for another, from where this one was.
func (r *reflection) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	ctx, cancel := context.WithCancel(ctx)
	o.Watch = true
	late := time.AfterFunc(watchPatience, cancel)
	w, err := r.request(&o).Watch(ctx)
	opened := late.Stop()
	_, streams := w.(*watch.StreamWatcher)
	switch {
	case err != nil:
	case !opened:
		w.Stop()
		err = fmt.Errorf("watching %s: no answer within %s", r.store.kind.groupKind(), watchPatience)
	case !streams: // what the client makes of a connection that ended or was too late
		w.Stop()
		err = errors.New("the connection ended before an answer came")
	}
	r.answered(ctx, err)
	if err != nil {
		cancel()
		return nil, err
	}
	r.store.view.hears()
	h := &heard{Interface: w, view: r.store.view, cancel: cancel}
	h.mu.Lock()
	h.timer = time.AfterFunc(quietWatch, h.look)
	h.mu.Unlock()
	return h, nil
}

// heard is a watch that ends when it is not heard of.
type heard struct {
	watch.Interface
	view   *view
	cancel context.CancelFunc
	mu     sync.Mutex
	timer  *time.Timer
}

func (h *heard) look() {
	h.view.mu.Lock()
	left := quietWatch - time.Since(h.view.heard)
	h.view.mu.Unlock()
	if left <= 0 {
		h.Interface.Stop()
		return
	}
	h.mu.Lock()
	h.timer.Reset(left)
	h.mu.Unlock()
}

// Stop implements watch.Interface.
func (h *heard) Stop() {
	h.mu.Lock()
	h.timer.Stop()
	h.mu.Unlock()
	h.cancel()
	h.Interface.Stop()
}

// client speaks to one group and version; all share one connection.
func (k *Kubernetes) client(gv schema.GroupVersion) (rest.Interface, error) {
	c := rest.CopyConfig(k.config.REST)
	c.GroupVersion, c.NegotiatedSerializer = &gv, k.codecs
	c.APIPath = "/apis"
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	if gv.Group == "" {
		c.APIPath = "/api"
	}
	if builtIn(gv.Group) {
		c.ContentType = runtime.ContentTypeProtobuf
		c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	}
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", gv, err)
	}
	return client, nil
}
