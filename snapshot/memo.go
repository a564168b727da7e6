package snapshot

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate"
)

// Memo remembers what inputs were built into: equal inputs, which are
// comparable structs of immutable pointers, give the same encoded resource.
// There is nothing to invalidate, since a changed object is another pointer;
// what is not asked for any more falls out of the bounded cache. Safe for
// concurrent use.
type Memo struct {
	built  *lru.Cache[any, built]
	intern *Interner
}

type built struct {
	resource *Resource // nil when nothing could be built
	findings []mesh.Finding
}

// NewMemo makes a memo of at most size entries.
func NewMemo(size int) *Memo {
	cache, err := lru.New[any, built](max(size, 1))
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &Memo{built: cache, intern: NewInterner(size)}
}

// get returns what the key stands for, building it the first time.
func (m *Memo) get(key any, build func() (*Resource, []mesh.Finding)) built {
	if b, ok := m.built.Get(key); ok {
		return b
	}
	r, findings := build()
	if r != nil {
		r = m.intern.Intern(r)
	}
	b := built{r, findings}
	m.built.Add(key, b)
	return b
}

// virtualHostKey is a VirtualHostInput in comparable form, without the names that
// it has in one namespace only. Routes that name
// more hosts than fit are built anew each time.
type virtualHostKey struct {
	config, name, domains string
	service               *mesh.Service
	port                  uint32
	originalDst           bool
	route                 *mesh.VirtualService
	source                translate.Source
	mesh                  *mesh.Config
	destinations          [6]namedDestination
}

type namedDestination struct {
	host string
	translate.Destination
}
