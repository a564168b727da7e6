package informers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// maxWanted bounds how many Secrets and ConfigMaps are followed, each by a
// watch of its own: those that were named first.
const maxWanted = 2000

// wanted follows single objects by name.
type wanted struct {
	source *Kubernetes
	kinds  map[object.Kind]*kind
	wake   chan struct{} // of size 1

	mu     sync.Mutex
	names  []object.Ref          // each once; those in front are followed if they are too many
	unread map[object.Ref]*store // of those that are followed, the ones that may not be in yet
}

func newWanted(source *Kubernetes) *wanted {
	w := &wanted{source: source, kinds: map[object.Kind]*kind{}, unread: map[object.Ref]*store{}, wake: make(chan struct{}, 1)}
	for _, k := range kinds() {
		if k.mesh == object.KindSecret || k.mesh == object.KindConfigMap {
			w.kinds[k.mesh] = k
		}
	}
	return w
}

func (w *wanted) set(refs []object.Ref) {
	refs = slices.DeleteFunc(slices.Clone(refs), func(r object.Ref) bool {
		meshConfig := r == object.Ref{Kind: object.KindConfigMap, Namespace: w.source.config.RootNamespace, Name: meshConfigMap} // followed anyway
		return w.kinds[r.Kind] == nil || r.Namespace == "" || r.Name == "" || meshConfig
	})
	seen := make(map[object.Ref]struct{}, len(refs))
	refs = slices.DeleteFunc(refs, func(r object.Ref) bool {
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
	running := map[object.Ref]*reflection{}
	defer func() {
		for _, r := range running {
			<-r.ended
		}
	}()
	look := time.NewTicker(lookAtRefused)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			w.lookAtUnread()
			continue
		case <-w.wake:
		}
		w.mu.Lock()
		names := w.names
		w.mu.Unlock()
		w.source.config.Report("wanted", w.beyond(names))
		for _, ref := range names[min(len(names), maxWanted):] {
			w.source.out.put(mesh.Change{Ref: ref}) // nobody waits for it
		}
		names = names[:min(len(names), maxWanted)]
		follow := make(map[object.Ref]struct{}, len(names))
		for _, ref := range names {
			follow[ref] = struct{}{}
		}
		for ref, r := range running {
			if _, ok := follow[ref]; !ok {
				delete(running, ref)
				w.forget(ref)
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

func (w *wanted) start(ctx context.Context, ref object.Ref) (*reflection, error) {
	k := w.kinds[ref.Kind]
	s := newStore(k, w.source.out, w.source.config.Report)
	s.named = ref
	w.mu.Lock()
	w.unread[ref] = s
	w.mu.Unlock()
	return w.source.reflect(ctx, s, k.versions[0], selection{namespace: ref.Namespace, fields: fields.OneTermEqualSelector("metadata.name", ref.Name).String()})
}

// beyond are the findings about objects that are not followed.
func (w *wanted) beyond(names []object.Ref) []object.Finding {
	var out []object.Finding
	for _, r := range names[min(len(names), maxWanted):] {
		out = append(out, object.Finding{Object: r, Code: object.CodeSecret, Message: fmt.Sprintf("is not read: only %d Secrets and ConfigMaps may be named in all; name fewer", maxWanted)})
	}
	return out
}

// lookAtRefused is how often is looked which objects are refused.
const lookAtRefused = 500 * time.Millisecond

// lookAtUnread forgets objects that are in, and gives up those that have been
// refused for longer than the configuration's patience: they count as absent
// from then on, until they can be read.
func (w *wanted) lookAtUnread() {
	patience := w.source.config.SecretsPatience
	w.mu.Lock()
	defer w.mu.Unlock()
	for ref, s := range w.unread {
		switch {
		case s.isSynced():
			delete(w.unread, ref)
			w.source.config.Report("refused "+ref.String(), nil)
		case patience > 0 && s.giveUp(patience):
			w.source.config.Report("refused "+ref.String(), []object.Finding{{Object: ref, Code: object.CodeSecret,
				Message: fmt.Sprintf("the API server has refused it for %s, and it counts as missing: grant the control plane's ServiceAccount get, list and watch on it", patience)}})
		}
	}
}

func (w *wanted) forget(ref object.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.unread, ref)
	w.source.config.Report("refused "+ref.String(), nil)
}

// missing are the objects that are wanted and not in yet.
func (w *wanted) missing() []Awaited {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Awaited
	for ref, s := range w.unread {
		if !s.isSynced() {
			why, refused := s.pending()
			out = append(out, Awaited{What: ref.String(), Since: s.since, Why: why, Refused: refused})
		}
	}
	slices.SortFunc(out, func(a, b Awaited) int { return strings.Compare(a.What, b.What) })
	return out
}
