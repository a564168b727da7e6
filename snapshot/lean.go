package snapshot

import (
	"sync"
	"weak"
)

// lean makes the bytes of a resource again that nobody keeps, since few proxies
// get it or since they are nearly those of another one.
type lean struct {
	source source
	size   int // of the body, in bytes

	mu   sync.Mutex
	last weak.Pointer[Resource] // what was made last, while someone still uses it
}

// source is what a lean resource is made of. It can be compared, and gives the
// same resource each time.
type source interface{ resource() *Resource }

// without is r without its bytes, which are those of the source.
func (r *Resource) without(s source) *Resource {
	without := *r
	without.body, without.entry = nil, nil
	without.lean = &lean{source: s, size: len(r.body), last: weak.Make(r)}
	return &without
}

// of tells whether r has its bytes from the source.
func (r *Resource) of(s source) bool { return r.lean != nil && r.lean.source == s }

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
	made := r.lean.source.resource()
	r.lean.last = weak.Make(made)
	return made
}
