package informers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"

	"github.com/fairway-mesh/fairway/mesh"
)

// custom tells whether the kind is defined by a CustomResourceDefinition, and
// may be missing or served in another version than the best.
func (k *kind) custom() bool { return !builtIn(k.group) }

// builtIn tells whether the kinds of a group are Kubernetes' own.
func builtIn(group string) bool {
	return group == "" || group == groupDiscovery || group == groupIngress
}

// byName tells whether objects of the kind are followed only where they are named.
func (k *kind) byName() bool { return k.mesh == mesh.KindSecret || k.mesh == mesh.KindConfigMap }

// selection is what concerns the mesh of a kind that is followed as a whole.
func (k *kind) selection() selection {
	switch k.mesh {
	case mesh.KindPod: // those that have ended neither serve nor ask
		return selection{fields: "status.phase!=Succeeded,status.phase!=Failed"}
	case mesh.KindEndpointSlice: // endpoints of services with a selector come from their Pods
		return selection{labels: "endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io"}
	}
	return selection{}
}

// follower follows each kind that the API server serves, in a version that it
// serves.
type follower struct {
	source   *Kubernetes
	stores   map[*kind]*store
	running  map[*kind]*reflection
	poke     chan struct{} // of size 1: definitions may have changed
	began    bool          // the first look at what is served succeeded
	looks    int           // before that
	metadata metadata.Interface
	discover *discovery.DiscoveryClient
}

func newFollower(k *Kubernetes) *follower {
	return &follower{source: k, stores: map[*kind]*store{}, running: map[*kind]*reflection{}, poke: make(chan struct{}, 1)}
}

// start begins to follow what every API server serves. The error says that no
// client can be made of the settings.
func (f *follower) start(ctx context.Context) error {
	dc, err := discovery.NewDiscoveryClientForConfig(f.source.config.REST)
	if err != nil {
		return fmt.Errorf("making a client for the API server: %w", err)
	}
	f.discover = dc
	if f.metadata, err = metadata.NewForConfig(f.source.config.REST); err != nil {
		return fmt.Errorf("making a client for the API server: %w", err)
	}
	for _, k := range kinds() {
		f.stores[k] = newStore(k, f.source.out, f.source.config.Report)
		sel := k.selection()
		switch {
		case k.custom():
			continue
		case k.mesh == mesh.KindConfigMap:
			sel = selection{namespace: f.source.config.RootNamespace, fields: fields.OneTermEqualSelector("metadata.name", meshConfigMap).String()}
		case k.byName():
			delete(f.stores, k)
			continue
		}
		r, err := f.source.reflect(ctx, f.stores[k], k.versions[0], sel)
		if err != nil {
			return err
		}
		f.running[k] = r
	}
	return nil
}

const (
	// lookAtServedEvery is how often is looked at what is served without a hint.
	lookAtServedEvery = 30 * time.Second
	// lookAtServedFirst is how soon is looked again until the first look succeeds.
	lookAtServedFirst = 500 * time.Millisecond
)

// afterPoke is when is looked after a definition has changed: it is served a
// moment after it is accepted.
var afterPoke = []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second}

// run follows custom resources as they come and go, until the context ends.
func (f *follower) run(ctx context.Context) {
	watching := make(chan struct{})
	go func() { defer close(watching); f.watchDefinitions(ctx) }()
	defer func() {
		<-watching
		for _, r := range f.running {
			<-r.ended
		}
	}()
	step := 0
	for ctx.Err() == nil {
		err := f.look(ctx)
		next := lookAtServedEvery
		switch {
		case err != nil && !f.began:
			f.source.config.Log.Warn("the API server does not say what it serves; waiting for it", "err", err)
			next = lookAtServedFirst
		case step < len(afterPoke):
			next = afterPoke[step]
			step++
		}
		select {
		case <-ctx.Done():
		case <-f.poke:
			step = 0
		case <-time.After(next):
		}
	}
}

// look asks what is served, and begins or ends following it.
func (f *follower) look(ctx context.Context) error {
	served, partial, err := f.served(ctx)
	if err != nil {
		return err
	}
	if !f.began {
		if err := f.starting(ctx, served, partial); err != nil {
			return err
		}
	}
	for k, s := range f.stores {
		if !k.custom() {
			continue
		}
		version, now := served[k], f.running[k]
		switch {
		case now != nil && version == now.version:
		case version != "":
			if now != nil {
				now.stop()
			}
			r, err := f.source.reflect(ctx, s, version, selection{})
			if err != nil {
				return err
			}
			f.running[k] = r
		case now != nil && !partial && f.undefined(ctx, k):
			now.stop()
			delete(f.running, k)
			s.clear()
		}
	}
	if !f.began {
		f.began = true
		required := make([]*store, 0, len(f.running))
		for k := range f.running {
			required = append(required, f.stores[k])
		}
		f.source.require(required)
	}
	return nil
}

// startPatience is how often, at the start, is looked again at an API server
// that defines kinds without serving them.
const startPatience = 10

// starting tells whether the API server does not serve yet what is defined: it
// is starting itself, and a mesh without its rules must not be taken for
// complete.
func (f *follower) starting(ctx context.Context, served map[*kind]string, partial bool) error {
	if f.looks++; f.looks > startPatience {
		return nil
	}
	if partial {
		return errors.New("some groups cannot be told yet")
	}
	list, err := f.metadata.Resource(definitions).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil // what is served has to do
	}
	if err != nil {
		return fmt.Errorf("asking what is defined: %w", err)
	}
	for k := range f.stores {
		defined := slices.ContainsFunc(list.Items, func(d metav1.PartialObjectMetadata) bool { return d.Name == k.resource+"."+k.group })
		if k.custom() && defined && served[k] == "" {
			return fmt.Errorf("%s is defined and not served yet", k.groupKind())
		}
	}
	return nil
}

// served are the versions in which custom kinds can be read, the best of each.
// partial tells that some groups could not be told.
func (f *follower) served(ctx context.Context) (versions map[*kind]string, partial bool, err error) {
	_, lists, err := f.discover.ServerGroupsAndResourcesWithContext(ctx)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, false, fmt.Errorf("asking what is served: %w", err)
	}
	if failed, ok := discovery.GroupDiscoveryFailedErrorGroups(err); ok { // often a broken extension that is no concern of the mesh
		for gv := range failed {
			partial = partial || concerns("."+gv.Group)
		}
	}
	at := map[schema.GroupVersionResource]bool{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range l.APIResources {
			if slices.Contains(r.Verbs, "watch") {
				at[gv.WithResource(r.Name)] = true
			}
		}
	}
	versions = map[*kind]string{}
	for k := range f.stores {
		for _, v := range k.versions {
			if versions[k] == "" && at[schema.GroupVersionResource{Group: k.group, Version: v, Resource: k.resource}] {
				versions[k] = v
			}
		}
	}
	return versions, partial, nil
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// undefined makes sure that a kind that is not served is gone for good. An API
// server that is starting does not serve custom resources yet; to take all
// objects of a kind for deleted then would empty the mesh.
func (f *follower) undefined(ctx context.Context, k *kind) bool {
	_, err := f.metadata.Resource(definitions).Get(ctx, k.resource+"."+k.group, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}

// watchDefinitions pokes at each change of a CustomResourceDefinition that
// concerns the mesh, until the context ends. Without the right to watch them,
// new ones are found by looking.
func (f *follower) watchDefinitions(ctx context.Context) {
	pause := retryBackoff()
	for ctx.Err() == nil {
		began := time.Now()
		w, err := f.metadata.Resource(definitions).Watch(ctx, metav1.ListOptions{})
		if err == nil {
			for e := range w.ResultChan() {
				if m, ok := e.Object.(metav1.Object); ok && concerns(m.GetName()) {
					select {
					case f.poke <- struct{}{}:
					default:
					}
				}
			}
			w.Stop()
		}
		if time.Since(began) > time.Minute {
			pause = retryBackoff()
		}
		wait := pause.Step()
		if apierrors.IsForbidden(err) {
			wait = lookAtServedEvery
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func concerns(definition string) bool {
	for k := range kindOf {
		if k.Group != "" && strings.HasSuffix(definition, "."+k.Group) {
			return true
		}
	}
	return false
}
