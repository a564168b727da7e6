package snapshot

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate"
)

// Memo remembers what inputs were built into: equal inputs, which are
// comparable structs of immutable pointers, give the same encoded resource.
// There is nothing to invalidate, since a changed object is another pointer. It
// holds what some layer uses and nothing else: a key holds the objects that it
// was made of, and they must not outlive the state of the mesh that had them.
// Safe for concurrent use.
type Memo struct {
	intern  *Interner
	sockets atomic.Pointer[translate.Sockets] // of the pass

	mu     sync.Mutex
	known  map[any]*built
	most   int      // entries since known was made; a map that was once large stays so
	unused []*built // since the last sweep; some may be in use again
	bytes  int      // of the resources of known
}

// built is what one input was built into.
type built struct {
	resource *Resource // nil when nothing could be built
	findings []object.Finding

	key   any
	users int // guarded by Memo.mu
}

// NewMemo makes an empty memo.
func NewMemo() *Memo {
	m := &Memo{known: map[any]*built{}, intern: NewInterner()}
	m.sockets.Store(translate.NewSockets())
	return m
}

// uses are the entries of a memo that one part of a layer was made of. Who
// makes another part in its place releases them.
type uses []*built

// get returns what the key stands for, building it the first time, and notes
// the use.
func (m *Memo) get(u *uses, key any, build func() (*Resource, []object.Finding)) *built {
	m.mu.Lock()
	b := m.known[key]
	if b == nil {
		m.mu.Unlock()
		b = m.build(key, build)
		m.mu.Lock()
		if first := m.known[key]; first != nil { // somebody else built it meanwhile
			b = first
		} else {
			m.known[key] = b
			m.most = max(m.most, len(m.known))
			m.bytes += b.resource.Size()
		}
	}
	b.users++
	m.mu.Unlock()
	*u = append(*u, b)
	return b
}

func (m *Memo) build(key any, build func() (*Resource, []object.Finding)) *built {
	r, findings := build()
	if r != nil {
		r = m.intern.Intern(r)
	}
	return &built{resource: r, findings: findings, key: key}
}

// release ends uses. What nobody uses any more stays until the next sweep: the
// next scope of the same pass may ask for it.
func (m *Memo) release(u uses) {
	if len(u) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range u {
		if b.users--; b.users == 0 {
			m.unused = append(m.unused, b)
		}
	}
}

// sweep forgets what nobody uses.
func (m *Memo) sweep() {
	m.sockets.Store(translate.NewSockets())
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.unused {
		if b.users == 0 && m.known[b.key] == b {
			delete(m.known, b.key)
			m.bytes -= b.resource.Size()
		}
	}
	m.unused = nil
	if n := len(m.known); m.most > mapRoom && n < m.most/4 {
		known := make(map[any]*built, n)
		maps.Copy(known, m.known)
		m.known, m.most = known, n
	}
}

// Size is how many inputs the memo knows, and the bytes of what they were built
// into.
func (m *Memo) Size() (entries, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known), m.bytes
}

// virtualHostKey is a VirtualHostInput in comparable form, without the names that
// it has in one namespace only. Routes that name
// more hosts than fit are built anew each time.
type virtualHostKey struct {
	config, name, domains string
	service               *registry.Service
	port                  uint32
	originalDst, beside   bool
	route                 *traffic.VirtualService
	source                translate.Source
	mesh                  *mesh.Config
	destinations          [6]namedDestination
}

type namedDestination struct {
	host string
	translate.Destination
}
