package history

import (
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// ring keeps the newest entries, within bounds.
type ring struct {
	entries    []kept
	first      int // of the entries that still count
	bytes      int // of the entries and their lists, each list once
	workloads  lists[object.Ref]
	namespaces lists[string]
}

type kept struct {
	Entry
	bytes int
}

// add takes an entry in, and lets the oldest go for which there is no room.
func (r *ring) add(e Entry) {
	k := kept{e, e.size()}
	r.entries, r.bytes = append(r.entries, k), r.bytes+k.bytes+r.take(e.Pass)
	for n := len(r.entries) - r.first; n > 1 && (n > MaxEntries || r.bytes > MaxBytes); n-- {
		oldest := &r.entries[r.first]
		r.bytes -= oldest.bytes + r.drop(oldest.Pass)
		*oldest = kept{}
		r.first++
	}
	if r.first > MaxEntries { // so that each entry is moved once, about
		rest := copy(r.entries, r.entries[r.first:])
		clear(r.entries[rest:])
		r.entries, r.first = r.entries[:rest], 0
	}
}

// take replaces the lists of a pass by equal ones that the ring has, and says how much memory
// those take that it did not have, in bytes, about.
func (r *ring) take(p *snapshot.Pass) (n int) {
	if p == nil {
		return 0
	}
	var known bool
	if p.Workloads, known = r.workloads.take(p.Workloads); !known {
		n += sizeOfWorkloads(p.Workloads)
	}
	if p.Namespaces, known = r.namespaces.take(p.Namespaces); !known {
		n += sizeOfNamespaces(p.Namespaces)
	}
	return n
}

// drop says how much memory the lists took that only this pass still had, in bytes, about.
func (r *ring) drop(p *snapshot.Pass) (n int) {
	if p == nil {
		return 0
	}
	if r.workloads.drop(p.Workloads) {
		n += sizeOfWorkloads(p.Workloads)
	}
	if r.namespaces.drop(p.Namespaces) {
		n += sizeOfNamespaces(p.Namespaces)
	}
	return n
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

// size is how much memory an entry takes beside the lists of its pass, in bytes, about.
func (e *Entry) size() int {
	n := sizeEntry
	for _, o := range e.Objects {
		n += sizeObject + len(o.Namespace) + len(o.Name) + len(o.By.Manager) + len(o.By.Version)
	}
	if p := e.Pass; p != nil {
		for _, t := range p.Resources {
			n += sizeResource + len(t.Name)
		}
	}
	for _, list := range [][]object.Finding{e.Came, e.Went} {
		for _, f := range list {
			n += sizeFinding + len(f.Object.Namespace) + len(f.Object.Name) + len(f.Field) + len(f.Message)
		}
	}
	return n
}

// sizeOfWorkloads is how much memory the names of workloads take, in bytes, about.
func sizeOfWorkloads(list []object.Ref) (n int) {
	for _, w := range list {
		n += sizeName + len(w.Namespace) + len(w.Name)
	}
	return n
}

// sizeOfNamespaces is how much memory the names of namespaces take, in bytes, about.
func sizeOfNamespaces(list []string) (n int) {
	for _, s := range list {
		n += sizeName + len(s)
	}
	return n
}
