package informers

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// claims decides which file an object is taken from, and what of the files'
// content is news.
type claims struct {
	byRef     map[object.Ref][]claim // in order of precedence
	delivered map[object.Ref]uint64  // fingerprints of what the mesh has
	age       map[object.Ref]time.Time
	last      time.Time // the youngest age
	unknown   map[schema.GroupKind]map[string]struct{}
}

// claim says that an object stands in a file.
type claim struct {
	path  string
	place int // of the object in the file
	*written
}

func newClaims() *claims {
	return &claims{byRef: map[object.Ref][]claim{}, delivered: map[object.Ref]uint64{}, age: map[object.Ref]time.Time{}, unknown: map[schema.GroupKind]map[string]struct{}{}}
}

// replace puts the content of one file in place of another version of it;
// either may be nil. touched collects the objects that it is about.
func (c *claims) replace(old, next *file, touched map[object.Ref]struct{}) {
	if old != nil {
		for r := range old.refs() {
			c.byRef[r] = slices.DeleteFunc(c.byRef[r], func(x claim) bool { return x.path == old.path })
			touched[r] = struct{}{}
		}
		for _, k := range old.unknown {
			if delete(c.unknown[k], old.path); len(c.unknown[k]) == 0 {
				delete(c.unknown, k)
			}
		}
	}
	if next == nil {
		return
	}
	for i, w := range next.objects {
		c.byRef[w.ref] = append(c.byRef[w.ref], claim{next.path, i, w})
	}
	for r := range next.refs() {
		slices.SortFunc(c.byRef[r], func(x, y claim) int { return cmp.Or(cmp.Compare(x.path, y.path), cmp.Compare(x.place, y.place)) })
		touched[r] = struct{}{}
	}
	for _, k := range next.unknown {
		if c.unknown[k] == nil {
			c.unknown[k] = map[string]struct{}{}
		}
		c.unknown[k][next.path] = struct{}{}
	}
}

// refs are the objects of a file, each once.
func (f *file) refs() map[object.Ref]struct{} {
	refs := make(map[object.Ref]struct{}, len(f.objects))
	for _, w := range f.objects {
		refs[w.ref] = struct{}{}
	}
	return refs
}

// settle says what has changed for the mesh in the objects that were touched.
// Objects whose files do not say how old they are get the time of the pass that
// saw them first, so that of two the one that was there before is the older.
func (c *claims) settle(touched map[object.Ref]struct{}, now time.Time) []mesh.Change {
	if !now.After(c.last) {
		now = c.last.Add(time.Microsecond)
	}
	c.last = now
	refs := make([]object.Ref, 0, len(touched))
	for r := range touched {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, compareRefs)
	var out []mesh.Change
	for _, r := range refs {
		l := c.byRef[r]
		if len(l) == 0 {
			delete(c.byRef, r)
			delete(c.age, r)
			if _, ok := c.delivered[r]; ok {
				delete(c.delivered, r)
				out = append(out, mesh.Change{Ref: r})
			}
			continue
		}
		w := l[0].written
		_, had := c.delivered[r]
		if w.value == nil && (had || w.closed == nil) || c.delivered[r] == w.print { // unreadable: what the mesh has is the last good one
			continue
		}
		c.delivered[r] = w.print
		out = append(out, mesh.Change{Ref: r, Object: c.aged(w, now)})
	}
	return out
}

// aged is the object with a time of creation. Where one has to be set, that is
// before the object is handed on for the first time: its age lasts as long as
// any file holds the object.
func (c *claims) aged(w *written, now time.Time) kubeObject {
	o := w.value
	if o == nil {
		o = w.closed
	}
	if created := o.GetCreationTimestamp(); !created.IsZero() {
		return o
	}
	t, ok := c.age[w.ref]
	if !ok {
		t = now
		c.age[w.ref] = t
	}
	o.SetCreationTimestamp(metav1.NewTime(t))
	return o
}

// duplicates are the findings about the objects of a file that are taken from
// another file, or from another place in this one.
func (c *claims) duplicates(f *file) []object.Finding {
	var out []object.Finding
	for i, w := range f.objects {
		if l := c.byRef[w.ref]; l[0].path != f.path || l[0].place != i {
			out = append(out, object.Finding{Object: w.ref, Code: object.CodeConflict, Winner: w.ref,
				Message: fmt.Sprintf("stands in %s and, once more, in %s: the first one counts; remove the other, or give it another name", l[0].path, f.path)})
		}
	}
	return out
}

func compareRefs(a, b object.Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
