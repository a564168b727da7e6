package history

import (
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// ring keeps the newest entries, within bounds.
type ring struct {
	entries []kept
	first   int // of the entries that still count
	bytes   int
}

type kept struct {
	Entry
	bytes int
}

// add takes an entry in, and lets the oldest go for which there is no room.
func (r *ring) add(e Entry) {
	k := kept{e, e.size()}
	r.entries, r.bytes = append(r.entries, k), r.bytes+k.bytes
	for n := len(r.entries) - r.first; n > 1 && (n > MaxEntries || r.bytes > MaxBytes); n-- {
		r.bytes -= r.entries[r.first].bytes
		r.entries[r.first] = kept{}
		r.first++
	}
	if r.first > MaxEntries { // so that each entry is moved once, about
		rest := copy(r.entries, r.entries[r.first:])
		clear(r.entries[rest:])
		r.entries, r.first = r.entries[:rest], 0
	}
}

func (r *ring) since(t time.Time) (out []Entry) {
	for _, k := range r.entries[r.first:] {
		if !k.At.Before(t) {
			out = append(out, k.Entry)
		}
	}
	return out
}

// What the parts of an entry take beside their texts, in bytes, about.
const (
	sizeEntry    = 640
	sizeObject   = 144
	sizeResource = 48
	sizeFinding  = 192
	sizeName     = 48
)

// size is how much memory an entry takes, in bytes, about.
func (e *Entry) size() int {
	n := sizeEntry
	for _, o := range e.Objects {
		n += sizeObject + len(o.Namespace) + len(o.Name) + len(o.By.Manager) + len(o.By.Version)
	}
	if p := e.Pass; p != nil {
		for _, t := range p.Resources {
			n += sizeResource + len(t.Name)
		}
		if !e.shared {
			n += sizeOfPlaces(p)
		}
	}
	for _, list := range [][]object.Finding{e.Came, e.Went} {
		for _, f := range list {
			n += sizeFinding + len(f.Object.Namespace) + len(f.Object.Name) + len(f.Field) + len(f.Message)
		}
	}
	return n
}

// sizeOfPlaces is how much memory the names of workloads or namespaces take.
func sizeOfPlaces(p *snapshot.Pass) (n int) {
	for _, w := range p.Workloads {
		n += sizeName + len(w.Namespace) + len(w.Name)
	}
	for _, s := range p.Namespaces {
		n += sizeName + len(s)
	}
	return n
}
