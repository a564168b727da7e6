package snapshot

import (
	"sync"
	"weak"
)

// lean makes the bytes of a resource again that nobody keeps: a large one which
// one proxy gets once, when it connects.
type lean struct {
	remake func() *Resource

	mu   sync.Mutex
	last weak.Pointer[Resource] // what was made last, while someone still uses it
}

// leanFrom is the size in bytes from which it is worth while not to keep them.
const leanFrom = 4 << 10

// leaned is r without its bytes when those are many.
func (r *Resource) leaned(remake func() *Resource) *Resource {
	if len(r.entry) < leanFrom {
		return r
	}
	return r.without(remake)
}

// without is r without its bytes. remake must give the same resource each time.
func (r *Resource) without(remake func() *Resource) *Resource {
	without := *r
	without.body, without.entry = nil, nil
	without.lean = &lean{remake: remake, last: weak.Make(r)}
	return &without
}

// whole is r with its bytes.
func (r *Resource) whole() *Resource {
	if r.lean == nil {
		return r
	}
	r.lean.mu.Lock()
	defer r.lean.mu.Unlock()
	if known := r.lean.last.Value(); known != nil {
		return known
	}
	made := r.lean.remake()
	r.lean.last = weak.Make(made)
	return made
}
