package informers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// custom tells whether the kind is defined by a CustomResourceDefinition, and
// may be missing or served in another version than the best.
func (k *kind) custom() bool { return !builtIn(k.group) }

// builtIn tells whether the kinds of a group are Kubernetes' own.
func builtIn(group string) bool {
	return group == "" || group == groupDiscovery || group == groupIngress
}

// byName tells whether objects of the kind are followed only where they are named.
func (k *kind) byName() bool { return k.mesh == object.KindSecret || k.mesh == object.KindConfigMap }

// selection is what concerns the mesh of a kind that is followed as a whole.
func (k *kind) selection() selection {
	switch k.mesh {
	case object.KindPod: // those that have ended neither serve nor ask
		return selection{fields: "status.phase!=Succeeded,status.phase!=Failed"}
	case object.KindEndpointSlice: // endpoints of services with a selector come from their Pods
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
	absent   map[*kind]bool   // custom kinds that the cluster does not have, as of the last question
	poke     chan struct{}    // of size 1: definitions may have changed
	watching atomic.Bool      // definitions are watched, so that changes of them are told
	said     map[*kind]string // what was said of a kind last, so as not to repeat it
	allow    time.Duration    // how long the next question what is served may take
	deaf     bool             // it was said that the API server does not answer
	metadata metadata.Interface
	discover *discovery.DiscoveryClient
}

func newFollower(k *Kubernetes) *follower {
	return &follower{source: k, stores: map[*kind]*store{}, running: map[*kind]*reflection{}, absent: map[*kind]bool{}, poke: make(chan struct{}, 1), said: map[*kind]string{}, allow: lookTime}
}

// start begins to follow what every API server serves. The error says that no
// client can be made of the settings.
func (f *follower) start(ctx context.Context) error {
	var err error
	if f.discover, err = discoverer(f.source.config.REST); err != nil {
		return err
	}
	if f.metadata, err = metadata.NewForConfig(f.source.config.REST); err != nil {
		return fmt.Errorf("making a client for the API server: %w", err)
	}
	for _, k := range kinds() {
		if k.mesh == object.KindSecret {
			continue
		}
		s := newStore(k, f.source.out, f.source.config.Report)
		f.stores[k] = s
		f.source.expected.begin(k, s, f.source.excused[k.groupKind()])
	}
	for k := range f.stores {
		sel := k.selection()
		if k.custom() {
			continue
		}
		if k.mesh == object.KindConfigMap {
			sel = selection{namespace: f.source.config.RootNamespace, fields: fields.OneTermEqualSelector("metadata.name", meshConfigMap).String()}
		}
		if err := f.follow(ctx, k, k.versions[0], sel); err != nil {
			return err
		}
	}
	return nil
}

// follow begins to follow a kind in a version, in place of another if any.
func (f *follower) follow(ctx context.Context, k *kind, version string, sel selection) error {
	if now := f.running[k]; now != nil {
		now.stop()
	}
	r, err := f.source.reflect(ctx, f.stores[k], version, sel)
	if err != nil {
		return err
	}
	f.running[k] = r
	delete(f.absent, k)
	f.source.expected.follow(k)
	return nil
}

const (
	// lookAtServedEvery is how often is looked at what is served without a hint.
	lookAtServedEvery = 30 * time.Second
	// lookAtServedSoon is how soon is looked again while a kind is late, or the
	// API server says nothing.
	lookAtServedSoon = 500 * time.Millisecond
	// lookAtServedBlind is how often is looked while changes of definitions are
	// not told, as without the right to watch them, and how often when a kind has
	// been late for long.
	lookAtServedBlind = 2 * time.Second
	// lateForLong is after how many looks a kind is late for long.
	lateForLong = 120
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
	step, late, poked := 0, 0, true
	for ctx.Err() == nil {
		if f.look(ctx, poked) {
			late = 0
		} else {
			late++
		}
		f.source.out.signal()
		next := lookAtServedEvery
		if !f.watching.Load() {
			next = lookAtServedBlind
		}
		switch {
		case late > lateForLong:
			next = lookAtServedBlind
		case late > 0:
			next = lookAtServedSoon
		}
		if step < len(afterPoke) {
			next = min(next, afterPoke[step])
			step++
		}
		poked = next == lookAtServedEvery
		select {
		case <-ctx.Done():
		case <-f.poke:
			step, poked = 0, true
		case <-time.After(next):
		}
	}
}

// How long the API server may take to say what it serves: soon enough to ask one
// anew that has hung, and after one that took longer, long enough for a slow one.
const (
	lookTime     = 5 * time.Second
	lookTimeLast = time.Minute
)

// look asks what is served, and begins or ends following it. It tells whether
// all is clear: each kind is followed, or the cluster does not have it. afresh
// says that kinds that the cluster did not have may be there now.
func (f *follower) look(ctx context.Context, afresh bool) (clear bool) {
	served, failed, err := f.served(ctx)
	if err != nil {
		f.unanswered(ctx, err)
		return false
	}
	f.deaf = false
	clear = true
	for k := range f.stores {
		if k.custom() && ctx.Err() == nil {
			clear = f.lookAt(ctx, k, served[k], failed[k.group], afresh) && clear
		}
	}
	return clear
}

// unanswered notes that the API server does not say what it serves.
func (f *follower) unanswered(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	for k := range f.stores {
		if k.custom() && f.running[k] == nil {
			f.source.expected.late(k, "what the API server serves cannot be told: "+short(err))
		}
	}
	if !f.deaf {
		f.source.config.Log.Warn("the API server does not say what it serves; waiting for it", "err", err)
	}
	f.deaf = true
}

// lookAt does so for a kind, which is served in the version, or in none, or of
// whose group that could not be told.
func (f *follower) lookAt(ctx context.Context, k *kind, version, failure string, afresh bool) (clear bool) {
	now := f.running[k]
	switch {
	case version != "" && now != nil && version == now.version:
		return true
	case version != "":
		if err := f.follow(ctx, k, version, selection{}); err != nil {
			f.late(k, short(err))
			return false
		}
		f.again(k)
		return true
	case failure != "":
		if now == nil {
			f.late(k, "the API server does not answer for its group: "+failure)
		}
		return false
	case now == nil && f.absent[k] && !afresh:
		return true
	}
	absent, why := f.absence(ctx, k)
	switch {
	case absent:
		if now != nil {
			now.stop()
			delete(f.running, k)
			f.stores[k].clear()
		}
		f.absent[k] = true
		f.source.expected.never(k)
		f.again(k)
	case now == nil:
		delete(f.absent, k)
		f.late(k, why)
	}
	return absent
}

// late notes why a kind cannot be followed, and says so when it is news.
func (f *follower) late(k *kind, why string) {
	f.source.expected.late(k, why)
	f.remark(k, "objects of a kind cannot be read yet; proxies keep what they hold, and it is tried again", "why", why)
}

// remark says something of a kind unless it was the last that was said.
func (f *follower) remark(k *kind, what string, about ...any) {
	if f.said[k] == what {
		return
	}
	f.said[k] = what
	f.source.config.Log.Warn(what, append([]any{"kind", k.groupKind()}, about...)...)
}

// again says that a kind that was late is no longer.
func (f *follower) again(k *kind) {
	if _, late := f.said[k]; late {
		delete(f.said, k)
		f.source.config.Log.Info("the kind is clear", "kind", k.groupKind(), "followed", f.running[k] != nil)
	}
}

// served are the versions in which custom kinds can be read, the best of each,
// and why that could not be told of some groups.
func (f *follower) served(ctx context.Context) (versions map[*kind]string, failed map[string]string, err error) {
	within, cancel := context.WithTimeout(ctx, f.allow)
	defer cancel()
	_, lists, err := f.discover.ServerGroupsAndResourcesWithContext(within)
	f.allow = lookTime
	if within.Err() != nil {
		f.allow = lookTimeLast
	}
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, nil, fmt.Errorf("asking what is served: %w", err)
	}
	failed = map[string]string{}
	if groups, ok := discovery.GroupDiscoveryFailedErrorGroups(err); ok { // often a broken extension that is no concern of the mesh
		for gv, err := range groups {
			failed[gv.Group] = short(err)
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
	return versions, failed, nil
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
			f.watching.Store(true)
			for e := range w.ResultChan() {
				if m, ok := e.Object.(metav1.Object); ok && concerns(m.GetName()) {
					select {
					case f.poke <- struct{}{}:
					default:
					}
				}
			}
			w.Stop()
			f.watching.Store(false)
		}
		if time.Since(began) > time.Minute {
			pause = retryBackoff()
		}
		wait := min(pause.Step(), lookAtServedBlind)
		if apierrors.IsForbidden(err) {
			wait = lookAtServedBlind
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
