package informers

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// View says how well a source knows the objects of a kind.
type View struct {
	// Kind is named as Kubernetes does: "Pod", "Gateway.networking.istio.io".
	Kind string
	// Confirmed is the newest moment of which it is known that what was read is
	// what the API server had. Before the first list it is when reading began.
	Confirmed time.Time
	// Stale says that this is longer ago than StaleAfter; of objects that are followed
	// by name, than three times as long as there is between two comparisons of one.
	Stale bool
	// Named says that objects of the kind are followed by name, each because something
	// else names it: Secrets, and ConfigMaps beside that of the mesh.
	Named bool
	// Problem is why it could not be confirmed since; empty: nothing is known.
	Problem string
	// Relists counts how often the objects were read anew since a watch had lost
	// something, or had come to a stop.
	Relists uint64
}

// StaleAfter is how old a view may be before it is said to be stale. A good
// link confirms it every ten seconds. Of objects that are followed by name, see
// [View.Stale], this holds for up to 200 of them.
const StaleAfter = 30 * time.Second

// view is what is known of how one selection of a kind is followed.
type view struct {
	mu        sync.Mutex
	confirmed time.Time
	listed    bool      // at least once
	heard     time.Time // when something came of the watch, or it was opened
	listing   time.Time // when the list that is under way began; zero: none is
	pace      pace      // of lists
	problem   string
	relists   uint64
}

func newView() *view { return &view{confirmed: time.Now()} }

// confirm says that all was as the API server had it at a moment.
func (v *view) confirm(at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at.After(v.confirmed) {
		v.confirmed = at
	}
	v.problem = ""
}

// fail says why it is not.
func (v *view) fail(err error) {
	problem := plain(err)
	v.mu.Lock()
	v.problem = problem
	v.mu.Unlock()
}

// maxProblem is how much of an error people are shown, in bytes.
const maxProblem = 300

// plain is an error without what was asked for, so that the same trouble of all
// kinds is one.
func plain(err error) string {
	var asked *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "the API server does not answer"
	case errors.As(err, &asked):
		err = asked.Err
	}
	text := err.Error()
	if len(text) > maxProblem {
		text = text[:maxProblem] + "…"
	}
	return text
}

// hears says that the watch lives.
func (v *view) hears() {
	now := time.Now()
	v.mu.Lock()
	v.heard = now
	v.mu.Unlock()
}

// watched tells whether the watch gave a sign of life within a time.
func (v *view) watched(within time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.heard.IsZero() && time.Since(v.heard) < within
}

// begins says that a list is asked for, and returns how long to wait before.
func (v *view) begins() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	wait := v.pace.wait(now)
	v.listing = now.Add(wait)
	return wait
}

// lists says that a list has been taken in.
func (v *view) lists() {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.listing.IsZero() {
		v.listing = now
	}
	v.pace.ended(now, now.Sub(v.listing))
	if v.listing.After(v.confirmed) {
		v.confirmed = v.listing
	}
	v.heard, v.listing, v.listed, v.problem = now, time.Time{}, true, ""
}

// rejects says that a list has been read and was not believed.
func (v *view) rejects(err error) {
	problem := plain(err)
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.listing.IsZero() {
		v.listing = now
	}
	v.pace.ended(now, max(minRejected, now.Sub(v.listing)))
	v.listing, v.problem = time.Time{}, problem
}

// minRejected is what a list that was not believed counts as having taken at least,
// so that the next ones come a second apart.
const minRejected = time.Second / listPause

// underWay is for how long a list has been under way; 0: none is.
func (v *view) underWay() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.listing.IsZero() {
		return 0
	}
	return max(0, time.Since(v.listing))
}

// oldest puts the views of one kind together.
func oldest(kind schema.GroupKind, list []*reflection, named int, now time.Time) View {
	out := View{Kind: kind.String()}
	for i, r := range list {
		v := r.store.view
		v.mu.Lock()
		if i == 0 || v.confirmed.Before(out.Confirmed) {
			out.Confirmed, out.Problem = v.confirmed, v.problem
		}
		out.Stale = out.Stale || now.Sub(v.confirmed) > r.staleAfter(named)
		out.Named = out.Named || r.named()
		out.Relists += v.relists
		v.mu.Unlock()
	}
	return out
}

// named tells whether one object is followed, by its name.
func (r *reflection) named() bool { return r.store.named != (object.Ref{}) }

// every is how often the objects are compared with what the API server has, while so many
// are followed by name: of these each takes its turn, so that there is no storm of
// questions. Kinds that are followed as a whole are as few as ever.
func (r *reflection) every(named int) time.Duration {
	if !r.named() {
		return auditEvery
	}
	return max(auditEvery, auditEach*time.Duration(named))
}

// staleAfter is how old the view may be.
func (r *reflection) staleAfter(named int) time.Duration {
	const comparisons = int64(StaleAfter / auditEvery) // that have not confirmed it
	return time.Duration(comparisons) * r.every(named)
}

// views are those of all that is followed.
type views struct {
	mu    sync.Mutex
	list  map[*reflection]struct{}
	named int // of them follow one object by name
}

func (v *views) add(r *reflection) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list[r] = struct{}{}
	if r.named() {
		v.named++
	}
}

// countNamed is how many objects are followed by name.
func (v *views) countNamed() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.named
}

func (v *views) remove(r *reflection) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.list, r)
	if r.named() {
		v.named--
	}
}

// Views says of each kind that is followed how well it is known, in the order
// of their names. It may be called at any time.
func (k *Kubernetes) Views() []View {
	byKind := map[schema.GroupKind][]*reflection{}
	k.views.mu.Lock()
	for r := range k.views.list {
		gk := r.store.kind.groupKind()
		byKind[gk] = append(byKind[gk], r)
	}
	named := k.views.named
	k.views.mu.Unlock()
	now := time.Now()
	out := make([]View, 0, len(byKind))
	for gk, list := range byKind {
		out = append(out, oldest(gk, list, named, now))
	}
	slices.SortFunc(out, func(a, b View) int { return cmp.Compare(a.Kind, b.Kind) })
	return out
}
