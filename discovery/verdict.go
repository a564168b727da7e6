package discovery

import (
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/fairway-mesh/fairway/snapshot"
)

// verdicts remembers which versions of resources proxies have refused, and the
// last version before that, which new proxies get instead. A new version of a
// resource is a new case. Safe for concurrent use.
type verdicts struct {
	mu         sync.Mutex
	refused    *lru.Cache[version, verdict]
	count      atomic.Int32  // so that the usual case, none, takes no lock
	generation atomic.Uint64 // counts changes; part of the key of every step
}

// verdict is what is known of a refused version.
type verdict struct {
	good    *snapshot.Resource // the last good one; nil when there is none
	message string             // of the proxy that refused it
}

type version struct {
	key     snapshot.Key
	version string
}

func versionOf(r *snapshot.Resource) version {
	return version{snapshot.Key{Type: r.Type, Name: r.Name}, r.Version}
}

const verdictsSize = 1024 // a mesh with more refused resources than this has other worries

func newVerdicts() *verdicts {
	cache, err := lru.New[version, verdict](verdictsSize)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &verdicts{refused: cache}
}

// refuse records that a proxy refused r, in its words, and held good before,
// which may be nil. It reports whether that is news.
func (v *verdicts) refuse(r, good *snapshot.Resource, message string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if good != nil {
		if known, bad := v.refused.Peek(versionOf(good)); bad {
			good = known.good
		}
	}
	known, again := v.refused.Peek(versionOf(r))
	if again && (known.good != nil || good == nil) {
		return false
	}
	v.refused.Add(versionOf(r), verdict{good, message})
	v.changed()
	return !again
}

// accept records that a proxy took r after all: the refusal was a matter of
// that other proxy, not of the resource.
func (v *verdicts) accept(r *snapshot.Resource) {
	if v.count.Load() == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.refused.Remove(versionOf(r)) {
		v.changed()
	}
}

func (v *verdicts) changed() {
	v.count.Store(int32(v.refused.Len())) //nolint:gosec // bounded by verdictsSize
	v.generation.Add(1)
}

// refuses says whether a version is held to be bad.
func (v *verdicts) refuses(which version) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refused.Contains(which)
}

// effective is what to send for r: r itself, the last good version of a
// refused one, or nil.
func (v *verdicts) effective(r *snapshot.Resource) *snapshot.Resource {
	if r == nil || v.count.Load() == 0 {
		return r
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, bad := v.refused.Get(versionOf(r)); bad {
		return known.good
	}
	return r
}

// words are those of the proxy that refused a version; empty when none did.
func (v *verdicts) words(which version) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	known, _ := v.refused.Peek(which)
	return known.message
}
