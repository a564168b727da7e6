package informers

import (
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Sink takes changes, in the order in which they came about for each object.
// It is called from one goroutine at a time and must not modify the slice's
// objects; it should return soon, as what follows waits for it.
type Sink func([]mesh.Change)

// Report replaces what is wrong with one thing that is read (a file, a kind);
// an empty list says that all is well with it again. It may be called from
// several goroutines.
type Report func(what string, findings []object.Finding)

// KindFile is the kind in the Ref of findings about a whole file; their Name is
// its path below the directory.
const KindFile object.Kind = "File"
