package informers

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/fairway-mesh/fairway/mesh"
)

// maxWanted bounds how many Secrets and ConfigMaps are followed, each by a
// watch of its own: those that were named first.
const maxWanted = 2000

// wanted follows single objects by name.
type wanted struct {
	source *Kubernetes
	kinds  map[mesh.Kind]*kind
	wake   chan struct{} // of size 1

	mu    sync.Mutex
	names []mesh.Ref // each once; those in front are followed if they are too many
}

func newWanted(source *Kubernetes) *wanted {
	w := &wanted{source: source, kinds: map[mesh.Kind]*kind{}, wake: make(chan struct{}, 1)}
	for _, k := range kinds() {
		if k.mesh == mesh.KindSecret || k.mesh == mesh.KindConfigMap {
			w.kinds[k.mesh] = k
		}
	}
	return w
}

func (w *wanted) set(refs []mesh.Ref) {
	refs = slices.DeleteFunc(slices.Clone(refs), func(r mesh.Ref) bool {
		meshConfig := r == mesh.Ref{Kind: mesh.KindConfigMap, Namespace: w.source.config.RootNamespace, Name: meshConfigMap} // followed anyway
		return w.kinds[r.Kind] == nil || r.Namespace == "" || r.Name == "" || meshConfig
	})
	seen := make(map[mesh.Ref]struct{}, len(refs))
	refs = slices.DeleteFunc(refs, func(r mesh.Ref) bool {
		_, again := seen[r]
		seen[r] = struct{}{}
		return again
	})
	w.mu.Lock()
	same := slices.Equal(w.names, refs)
	w.names = refs
	w.mu.Unlock()
	if same {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run starts and ends watches until the context ends.
func (w *wanted) run(ctx context.Context) {
	running := map[mesh.Ref]*reflection{}
	defer func() {
		for _, r := range running {
			<-r.ended
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		w.mu.Lock()
		names := w.names
		w.mu.Unlock()
		w.source.config.Report("wanted", w.beyond(names))
		names = names[:min(len(names), maxWanted)]
		follow := make(map[mesh.Ref]struct{}, len(names))
		for _, ref := range names {
			follow[ref] = struct{}{}
		}
		for ref, r := range running {
			if _, ok := follow[ref]; !ok {
				delete(running, ref)
				r.stop()
				r.store.clear()
			}
		}
		for _, ref := range names {
			if running[ref] != nil {
				continue
			}
			r, err := w.start(ctx, ref)
			if err != nil { // only a wrong setting of the client, which has ended Run before
				w.source.config.Log.Error("following an object by name", "object", ref, "err", err)
				continue
			}
			running[ref] = r
		}
	}
}

func (w *wanted) start(ctx context.Context, ref mesh.Ref) (*reflection, error) {
	k := w.kinds[ref.Kind]
	s := newStore(k, w.source.out, w.source.config.Report)
	return w.source.reflect(ctx, s, k.versions[0], selection{namespace: ref.Namespace, fields: fields.OneTermEqualSelector("metadata.name", ref.Name).String()})
}

// beyond are the findings about objects that are not followed.
func (w *wanted) beyond(names []mesh.Ref) []mesh.Finding {
	var out []mesh.Finding
	for _, r := range names[min(len(names), maxWanted):] {
		out = append(out, mesh.Finding{Object: r, Code: mesh.CodeSecret, Message: fmt.Sprintf("is not read: only %d Secrets and ConfigMaps may be named in all; name fewer", maxWanted)})
	}
	return out
}
