package informers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// selection narrows what is watched of a kind; the zero one is all of it.
type selection struct{ namespace, fields, labels string }

// reflection follows the objects of a kind while it runs.
type reflection struct {
	store   *store
	version string
	cancel  context.CancelFunc
	ended   chan struct{}
}

func (r *reflection) stop() {
	r.cancel()
	<-r.ended
}

// retryBackoff is how soon a broken watch is tried again.
func retryBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 5 * time.Second}
}

// reflect starts to follow a selection of a kind in one served version.
func (k *Kubernetes) reflect(ctx context.Context, s *store, version string, sel selection) (*reflection, error) {
	client, err := k.client(schema.GroupVersion{Group: s.kind.group, Version: version})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &reflection{store: s, version: version, cancel: cancel, ended: make(chan struct{})}
	quiet := logr.Discard() // what goes wrong is told by troubles, once
	reflector := cache.NewReflectorWithOptions(k.listWatch(client, s.kind, sel), nil, s, cache.ReflectorOptions{
		Name: s.kind.resource, TypeDescription: s.kind.groupKind().String(), Logger: &quiet, Backoff: retryBackoff(),
	})
	go func() {
		defer close(r.ended)
		reflector.RunWithContext(klog.NewContext(ctx, quiet))
	}()
	return r, nil
}

// listWatch asks for the selection of a kind.
func (k *Kubernetes) listWatch(client rest.Interface, of *kind, sel selection) *cache.ListWatch {
	request := func(o *metav1.ListOptions) *rest.Request {
		o.FieldSelector, o.LabelSelector = sel.fields, sel.labels
		return client.Get().Namespace(sel.namespace).Resource(of.resource).VersionedParams(o, k.parameters)
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := request(&o).Do(ctx).Get()
			k.troubles.note(ctx, of, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			w, err := request(&o).Watch(ctx)
			k.troubles.note(ctx, of, err)
			return w, err
		},
	}
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

// troubles tells once of each kind that it cannot be read, and once that it can
// again.
type troubles struct {
	source *Kubernetes
	mu     sync.Mutex
	kinds  map[*kind]string
}

func (t *troubles) note(ctx context.Context, of *kind, err error) {
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before, text, remedy := t.kinds[of], "", "it is tried again"
	switch {
	case err == nil:
	case apierrors.IsForbidden(err):
		text, remedy = "forbidden", "grant the control plane's ServiceAccount get, list and watch on it"
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return // part of the protocol; the reflector goes on from there
	default:
		text = "unreachable"
	}
	if text == before {
		return
	}
	if text == "" {
		delete(t.kinds, of)
		t.source.config.Log.Info("objects are read again", "kind", of.groupKind())
		return
	}
	t.kinds[of] = text
	t.source.config.Log.Warn("objects cannot be read from the API server", "kind", of.groupKind(), "err", err, "remedy", remedy)
}
