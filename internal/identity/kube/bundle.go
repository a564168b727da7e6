package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"

	"github.com/fairway-mesh/fairway/internal/identity"
	"github.com/fairway-mesh/fairway/internal/rival"
)

// BundleConfigMap is the ConfigMap in every namespace that tells proxies whom to
// trust as control plane.
const BundleConfigMap = "fairway-ca-root-cert"

// Keys of the ConfigMap that hold Authority.Bundle.
const (
	BundleKey      = "root-cert.pem"
	BundleKeyShort = "ca.crt"
)

const (
	manager   = "fairway"
	perSecond = 20 // writes
	writers   = 2
)

// Bundle keeps the ConfigMap in every namespace that is not terminating. One
// replica runs it, the leader.
type Bundle struct {
	Client    kubernetes.Interface
	Authority *identity.Authority
	// Namespace is that of the control plane, by which others tell whose the
	// ConfigMaps are.
	Namespace string
	// Undone, if not nil, hears that somebody keeps writing over the ConfigMap of
	// a namespace: another control plane, named by its namespace, or "".
	Undone func(namespace, by string)
	// Files are further keys of the ConfigMap: those that have to lie beside
	// the token, for Envoy's file SDS.
	Files map[string]string
	Log   *slog.Logger
}

// distribution is one run of a Bundle.
type distribution struct {
	*Bundle
	namespaces corev1listers.NamespaceLister
	maps       corev1listers.ConfigMapLister
	queue      workqueue.TypedRateLimitingInterface[string] // of names of namespaces
	pace       flowcontrol.RateLimiter

	mu     sync.Mutex
	rivals map[string]*contest // by namespace
}

// contest is what is known of a ConfigMap that somebody else may write too.
type contest struct {
	rival.Pace
	instead string    // the version in place of which was written last
	at      time.Time // when
}

// settling is how long the watch may take to show what was written.
const settling = 2 * time.Second

// Run returns nil when ctx ends.
func (b *Bundle) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(b.Client, 0, informers.WithTransform(trim))
	named := informers.NewSharedInformerFactoryWithOptions(b.Client, 0, informers.WithTransform(trim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", BundleConfigMap).String()
		}))
	d := &distribution{
		Bundle:     b,
		namespaces: factory.Core().V1().Namespaces().Lister(),
		maps:       named.Core().V1().ConfigMaps().Lister(),
		queue:      workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, time.Minute)),
		pace:       flowcontrol.NewTokenBucketRateLimiter(perSecond, perSecond),
		rivals:     map[string]*contest{},
	}
	defer d.queue.ShutDown()
	for informer, name := range map[cache.SharedIndexInformer]func(cache.ObjectName) string{
		factory.Core().V1().Namespaces().Informer(): func(n cache.ObjectName) string { return n.Name },
		named.Core().V1().ConfigMaps().Informer():   func(n cache.ObjectName) string { return n.Namespace },
	} {
		if err := d.watch(informer, name); err != nil {
			return err
		}
	}
	var running sync.WaitGroup
	defer running.Wait()
	for _, f := range []informers.SharedInformerFactory{factory, named} {
		f.Start(ctx.Done())
		running.Go(func() { <-ctx.Done(); f.Shutdown() })
	}
	for _, f := range []informers.SharedInformerFactory{factory, named} {
		for _, synced := range f.WaitForCacheSync(ctx.Done()) {
			if !synced {
				return nil // ctx has ended
			}
		}
	}
	for range writers {
		running.Go(func() { d.work(ctx) })
	}
	return d.follow(ctx)
}

// watch enqueues the namespace of whatever changes.
func (d *distribution) watch(informer cache.SharedIndexInformer, name func(cache.ObjectName) string) error {
	add := func(o any) {
		if n, err := cache.DeletionHandlingObjectToName(o); err == nil {
			d.queue.Add(name(n))
		}
	}
	err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || errors.Is(err, io.EOF) {
			return // the ordinary end of a watch
		}
		d.Log.Warn("watching what tells namespaces whom to trust failed; trying on", "err", err)
	})
	if err != nil {
		return fmt.Errorf("watching namespaces for %s: %w", BundleConfigMap, err)
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, o any) { add(o) }, DeleteFunc: add,
	})
	if err != nil {
		return fmt.Errorf("watching namespaces for %s: %w", BundleConfigMap, err)
	}
	return nil
}

// follow enqueues all namespaces when the roots change.
func (d *distribution) follow(ctx context.Context) error {
	defer d.queue.ShutDown()
	for {
		changed := d.Authority.Changed()
		for _, n := range d.all() {
			d.queue.Add(n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (d *distribution) all() []string {
	list, _ := d.namespaces.List(labels.Everything()) // a lister on a cache has no errors
	names := make([]string, 0, len(list))
	for _, n := range list {
		names = append(names, n.Name)
	}
	return names
}

func (d *distribution) work(ctx context.Context) {
	for {
		namespace, shutdown := d.queue.Get()
		if shutdown {
			return
		}
		err := d.keep(ctx, namespace)
		if err != nil && ctx.Err() == nil {
			if d.queue.NumRequeues(namespace) == 3 {
				d.Log.Warn("a namespace cannot be told whom to trust; trying on", "namespace", namespace, "err", err)
			}
			d.queue.AddRateLimited(namespace)
		} else {
			d.queue.Forget(namespace)
		}
		d.queue.Done(namespace)
	}
}

// keep writes the ConfigMap of a namespace if it is not what it should be.
func (d *distribution) keep(ctx context.Context, namespace string) error {
	n, err := d.namespaces.Get(namespace)
	if err != nil || n.DeletionTimestamp != nil || n.Status.Phase == corev1.NamespaceTerminating {
		d.mu.Lock()
		delete(d.rivals, namespace)
		d.mu.Unlock()
		return nil //nolint:nilerr // gone, or about to be
	}
	want := d.content()
	is, err := d.maps.ConfigMaps(namespace).Get(BundleConfigMap)
	if err == nil && d.right(is, want) {
		return nil
	}
	if wait := d.wait(namespace, want[BundleKey], is); wait > 0 {
		d.queue.AddAfter(namespace, wait)
		return nil
	}
	if err := d.pace.Wait(ctx); err != nil {
		return fmt.Errorf("waiting to write: %w", err)
	}
	o := corev1apply.ConfigMap(BundleConfigMap, namespace).WithData(want).WithLabels(d.labels())
	_, err = d.Client.CoreV1().ConfigMaps(namespace).Apply(ctx, o, metav1.ApplyOptions{FieldManager: manager, Force: true})
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		return nil
	}
	if apierrors.IsInvalid(err) { // immutable, or with binary data under our keys: it is made anew
		gone := d.Client.CoreV1().ConfigMaps(namespace).Delete(ctx, BundleConfigMap, metav1.DeleteOptions{})
		err = errors.Join(err, gone)
	}
	if err != nil {
		return fmt.Errorf("writing ConfigMap %s/%s: %w", namespace, BundleConfigMap, err)
	}
	d.wrote(namespace, want[BundleKey], is)
	return nil
}

// right says whether the ConfigMap is as it should be. What others have added
// to it does not matter.
func (d *distribution) right(is *corev1.ConfigMap, want map[string]string) bool {
	for k, v := range want {
		if is.Data[k] != v {
			return false
		}
	}
	for k, v := range d.labels() {
		if is.Labels[k] != v {
			return false
		}
	}
	return true
}

func (d *distribution) labels() map[string]string {
	out := map[string]string{"app.kubernetes.io/managed-by": manager}
	if d.Namespace != "" {
		out[ownerLabel] = d.Namespace
	}
	return out
}

// wait is how long to leave the ConfigMap to whoever writes over it.
func (d *distribution) wait(namespace, content string, is *corev1.ConfigMap) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.rivals[namespace]
	if c == nil {
		return 0
	}
	if since := time.Since(c.at); c.instead == version(is) && since < settling {
		return settling - since
	}
	return c.Wait(content, time.Now())
}

// wrote notes what was written in place of something, and tells once of those
// who undo it.
func (d *distribution) wrote(namespace, content string, instead *corev1.ConfigMap) {
	d.mu.Lock()
	c := d.rivals[namespace]
	if c == nil {
		c = &contest{}
		d.rivals[namespace] = c
	}
	c.instead, c.at = version(instead), time.Now()
	tell := c.Wrote(content, c.at)
	d.mu.Unlock()
	if !tell {
		return
	}
	by := ""
	if instead != nil && instead.Labels[ownerLabel] != d.Namespace {
		by = instead.Labels[ownerLabel]
	}
	if d.Undone != nil {
		d.Undone(namespace, by)
	}
}

func version(m *corev1.ConfigMap) string {
	if m == nil {
		return ""
	}
	return m.ResourceVersion
}

func (d *distribution) content() map[string]string {
	bundle := string(d.Authority.Bundle())
	data := map[string]string{BundleKey: bundle, BundleKeyShort: bundle}
	maps.Copy(data, d.Files)
	return data
}

// trim drops what keep does not look at before it is cached.
func trim(o any) (any, error) {
	m, ok := o.(metav1.Object)
	if !ok {
		return o, nil
	}
	m.SetManagedFields(nil)
	m.SetAnnotations(nil)
	return o, nil
}
