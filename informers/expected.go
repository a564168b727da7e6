package informers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Awaited is something that has to be read before the source is complete, and
// has not been yet.
type Awaited struct {
	// What is a kind, as "VirtualService.networking.istio.io", or an object, as
	// "Secret shop/certificate".
	What string
	// Since is when the source began to wait for it.
	Since time.Time
	// Why is what it waits for, in plain English, with the API server's words
	// where it gave any.
	Why string
	// Refused says that the API server knows who asks and does not allow it.
	Refused bool
}

// String is one line about it for people.
func (a Awaited) String() string {
	return fmt.Sprintf("%s: for %s: %s", a.What, time.Since(a.Since).Round(time.Second), a.Why)
}

// expected are the kinds whose objects have to be in before the source is
// complete, with what is known of each. What can never come is told from what
// is late: only an API server that says, by name, that a kind is not defined
// makes it the former.
type expected struct {
	mu    sync.Mutex
	kinds map[*kind]*expectation
}

type expectation struct {
	store   *store
	since   time.Time
	excused bool // the start does not wait for it
	never   bool // the cluster does not have the kind
	follows bool // its objects are followed
	why     string
}

func newExpected() *expected { return &expected{kinds: map[*kind]*expectation{}} }

// begin says that objects of a kind are to be read into the store.
func (e *expected) begin(k *kind, s *store, excused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kinds[k] = &expectation{store: s, since: time.Now(), excused: excused, why: "the API server has not said yet whether it serves the kind"}
}

// late says why the kind cannot be followed yet.
func (e *expected) late(k *kind, why string) { e.set(k, false, false, why) }

// never says that the cluster does not have the kind.
func (e *expected) never(k *kind) { e.set(k, true, false, "") }

// follow says that the kind is followed: the rest is up to its store.
func (e *expected) follow(k *kind) { e.set(k, false, true, "") }

func (e *expected) set(k *kind, never, follows bool, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.kinds[k]; x != nil {
		x.never, x.follows, x.why = never, follows, why
	}
}

// missing are the kinds that the source waits for, in the order of their names.
func (e *expected) missing() []Awaited {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Awaited
	for k, x := range e.kinds {
		if x.excused || x.settled() {
			continue
		}
		a := Awaited{What: k.groupKind().String(), Since: x.since, Why: x.why}
		if x.follows {
			a.Why, a.Refused = x.store.pending()
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Awaited) int { return strings.Compare(a.What, b.What) })
	return out
}

// complete tells whether nothing is missing.
func (e *expected) complete() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.kinds {
		if !x.excused && !x.settled() {
			return false
		}
	}
	return len(e.kinds) > 0
}

// settled tells whether all objects of the kind are in, or there can be none.
func (x *expectation) settled() bool { return x.never || x.store.isSynced() }

// checkExcused finds kinds by the names that people give them.
func checkExcused(names []string) (map[schema.GroupKind]bool, error) {
	out, known := map[schema.GroupKind]bool{}, map[string]*kind{}
	for _, k := range kindOf {
		if !k.byName() {
			known[k.groupKind().String()] = k
		}
	}
	for _, name := range names {
		k := known[name]
		if k == nil {
			return nil, fmt.Errorf("%q is no kind that is read: name one of %v", name, slices.Sorted(maps.Keys(known)))
		}
		out[k.groupKind()] = true
	}
	return out, nil
}
