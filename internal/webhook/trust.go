package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/fairway-mesh/fairway/internal/identity"
	"github.com/fairway-mesh/fairway/internal/rival"
)

// Trust keeps the caBundle of the webhook configurations what the authority's
// roots are, so that the API server believes the certificate of Serve: after
// installation, through rotations, and when somebody overwrites it. Every
// replica runs it; those that come second find nothing to do.
type Trust struct {
	Client    kubernetes.Interface
	Authority *identity.Authority
	// Name is that of the MutatingWebhookConfiguration and of the
	// ValidatingWebhookConfiguration. Either may be missing.
	Name string
	Log  *slog.Logger
}

const (
	retryFirst = 200 * time.Millisecond
	retryLast  = 30 * time.Second
)

// Run returns nil when ctx ends.
func (t *Trust) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(t.Client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", t.Name).String()
	}))
	mutating := factory.Admissionregistration().V1().MutatingWebhookConfigurations()
	validating := factory.Admissionregistration().V1().ValidatingWebhookConfigurations()
	seen := make(chan struct{}, 1)
	for _, i := range []cache.SharedIndexInformer{mutating.Informer(), validating.Informer()} {
		if err := t.watch(i, seen); err != nil {
			return err
		}
	}
	var running sync.WaitGroup
	defer running.Wait()
	factory.Start(ctx.Done())
	running.Go(func() { <-ctx.Done(); factory.Shutdown() })
	wait := retryFirst
	rivals := [2]rival.Pace{}
	for {
		changed := t.Authority.Changed()
		var errs []error
		var later [2]time.Duration
		if c, err := mutating.Lister().Get(t.Name); err == nil {
			later[0], err = t.keep(ctx, c, &rivals[0])
			errs = append(errs, err)
		}
		if c, err := validating.Lister().Get(t.Name); err == nil {
			later[1], err = t.keep(ctx, c, &rivals[1])
			errs = append(errs, err)
		}
		var retry <-chan time.Time
		if soonest := cmp.Or(min(later[0], later[1]), max(later[0], later[1])); soonest > 0 {
			retry = time.After(soonest)
		}
		if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
			if wait > 4*retryFirst {
				t.Log.Warn("the API server cannot be told whom to trust as webhook; trying on", "configuration", t.Name, "err", err)
			}
			retry = time.After(wait)
			wait = min(2*wait, retryLast)
		} else {
			wait = retryFirst
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-seen:
		case <-retry:
		}
	}
}

// watch signals each change of a configuration.
func (t *Trust) watch(i cache.SharedIndexInformer, seen chan<- struct{}) error {
	signal := func(any) {
		select {
		case seen <- struct{}{}:
		default:
		}
	}
	err := i.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if ctx.Err() == nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			t.Log.Debug("watching the webhook configuration was interrupted; trying on", "configuration", t.Name, "err", err)
		}
	})
	if err != nil {
		return fmt.Errorf("watching webhook configurations: %w", err)
	}
	_, err = i.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: signal, UpdateFunc: func(_, o any) { signal(o) }})
	if err != nil {
		return fmt.Errorf("watching webhook configurations: %w", err)
	}
	return nil
}

// keep writes the bundle into each webhook of a configuration that has another.
// When somebody undoes that again and again it waits, and says for how long.
func (t *Trust) keep(ctx context.Context, configuration any, pace *rival.Pace) (later time.Duration, err error) {
	bundle := t.Authority.Bundle()
	var p patch
	switch c := configuration.(type) {
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		for i, w := range c.Webhooks {
			p.trust(i, w.Name, w.ClientConfig.CABundle, bundle)
		}
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		for i, w := range c.Webhooks {
			p.trust(i, w.Name, w.ClientConfig.CABundle, bundle)
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	if later = pace.Wait(string(bundle), time.Now()); later > 0 {
		return later, nil
	}
	o := metav1.PatchOptions{FieldManager: "fairway"}
	if _, mutating := configuration.(*admissionregistrationv1.MutatingWebhookConfiguration); mutating {
		_, err = t.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(ctx, t.Name, types.JSONPatchType, p.encode(), o)
	} else {
		_, err = t.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Patch(ctx, t.Name, types.JSONPatchType, p.encode(), o)
	}
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("writing the caBundle of %T %s: %w", configuration, t.Name, err)
	}
	if pace.Wrote(string(bundle), time.Now()) {
		t.Log.Error("another writer keeps changing caBundle of the webhook configuration; restoring it less and less often, and meanwhile the API server cannot ask this control plane: let only one write it",
			"kind", fmt.Sprintf("%T", configuration), "configuration", t.Name, "atMostEvery", rival.Longest)
	}
	return 0, nil
}

// patch is a JSON patch (RFC 6902).
type patch []map[string]any

// trust puts the bundle into the webhook at a place, if that still has its name.
func (p *patch) trust(i int, name string, is, want []byte) {
	if string(is) == string(want) {
		return
	}
	at := fmt.Sprintf("/webhooks/%d/", i)
	*p = append(*p,
		map[string]any{"op": "test", "path": at + "name", "value": name},
		map[string]any{"op": "add", "path": at + "clientConfig/caBundle", "value": want})
}

func (p patch) encode() []byte {
	text, err := json.Marshal(p)
	if err != nil { // strings and bytes only
		panic(err)
	}
	return text
}
