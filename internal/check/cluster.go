package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// cluster is what a cluster holds at one moment.
type cluster struct {
	objects []mesh.Change
	// found is what is wrong with how its objects are written.
	found []object.Finding
	// refused are the Secrets that whoever asks may not read.
	refused map[object.Ref]bool
}

// clusterReader takes in what the source of a cluster tells.
type clusterReader struct {
	source *informers.Kubernetes
	beside *manifests // which may name Secrets too

	mu    sync.Mutex
	all   map[object.Ref]mesh.Change
	found map[string][]object.Finding // by place
}

// readCluster reads what a cluster holds, of Secrets those that its objects name, or
// those beside them.
func readCluster(ctx context.Context, kubeconfig string, beside *manifests) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	config.UserAgent = "fairway-check"
	r := &clusterReader{beside: beside, all: map[object.Ref]mesh.Change{}, found: map[string][]object.Finding{}}
	if r.source, err = informers.NewKubernetes(informers.KubeConfig{REST: config, Report: r.report, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	complete := errors.New("complete")
	out := &cluster{refused: map[object.Ref]bool{}}
	var secrets sync.WaitGroup
	err = r.source.Run(ctx, r.take, func() {
		secrets.Go(func() {
			out.refused = r.secrets(ctx)
			cancel(complete)
		})
	})
	if err == nil && context.Cause(ctx) != complete { //nolint:errorlint // the very value
		err = errors.Join(context.Cause(ctx), r.late())
	}
	cancel(nil)
	secrets.Wait()
	if err != nil {
		return nil, fmt.Errorf("reading the objects of %s: %w", config.Host, err)
	}
	out.objects = slices.Collect(maps.Values(r.all))
	for _, place := range slices.Sorted(maps.Keys(r.found)) {
		out.found = append(out.found, r.found[place]...)
	}
	return out, nil
}

func (r *clusterReader) take(changes []mesh.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		r.all[c.Ref] = c
	}
}

func (r *clusterReader) report(place string, findings []object.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found[place] = findings
}

// late is what had not been read in time; nil when nothing is known of that.
func (r *clusterReader) late() error {
	var late []string
	for _, m := range r.source.Missing() {
		late = append(late, strings.TrimSuffix(m.What+": "+m.Why, ": "))
	}
	if len(late) == 0 {
		return nil
	}
	return fmt.Errorf("not read: %s", strings.Join(late, "; "))
}

// secretsEvery is how often it is looked whether the Secrets are there.
const secretsEvery = 20 * time.Millisecond

// secrets asks for the Secrets that are named, and returns when each was read or refused,
// with those that were refused.
func (r *clusterReader) secrets(ctx context.Context) map[object.Ref]bool {
	r.mu.Lock()
	changes := slices.Collect(maps.Values(r.all))
	r.mu.Unlock()
	pods, _ := r.beside.pods(changes)
	for _, o := range given(r.beside.objects, pods) {
		changes = append(changes, o.Change)
	}
	var named []object.Ref
	for _, f := range survey(mesh.Build(changes)) { // which lacks them all
		if f.Code == object.CodeSecret && f.Object.Kind == object.KindSecret {
			named = append(named, f.Object)
		}
	}
	r.source.Want(named)
	for {
		refused, late := r.unread(named)
		if !late || ctx.Err() != nil {
			return refused
		}
		select {
		case <-ctx.Done():
		case <-time.After(secretsEvery):
		}
	}
}

// unread are those of the objects that the API server refuses, and whether others are late.
// What is not there was told to be so.
func (r *clusterReader) unread(named []object.Ref) (refused map[object.Ref]bool, late bool) {
	refuses := map[string]bool{}
	for _, m := range r.source.Missing() {
		refuses[m.What] = m.Refused
	}
	refused = map[object.Ref]bool{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ref := range named {
		if _, read := r.all[ref]; read {
			continue
		}
		if refuses[ref.String()] {
			refused[ref] = true
		} else {
			late = true
		}
	}
	return refused, late
}
