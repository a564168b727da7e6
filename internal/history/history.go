package history

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Bounds of what is kept: of passes that rules and Services changed, of those in which only
// what Kubernetes makes by itself came and went, and of findings.
const (
	// MaxEntries is how many of each there are at most, and MaxBytes how much memory each may
	// take, about.
	MaxEntries = 1000
	MaxBytes   = 1 << 20
	// MaxNamed is how many objects, and how many findings, an entry names.
	MaxNamed = 50
	// maxText bounds a text that somebody else wrote, in bytes.
	maxText = 512
)

// Entry is one thing that happened: a pass, or findings that came and went.
type Entry struct {
	At time.Time
	// Objects are what a pass took in, the first 50, and More is how many there were beyond
	// them. A route that was held back is in the pass that let it go.
	Objects []Object
	More    int
	// Pass is what it did to proxies; nil: the entry is about findings.
	Pass *snapshot.Pass
	// Came and Went are findings, the first 50 of each, and MoreFindings how many there were
	// beyond them.
	Came, Went   []object.Finding
	MoreFindings int
}

// Object is an object that a pass took in.
type Object struct {
	object.Ref
	Deleted    bool
	Generation int64 // metadata.generation; 0 for what has none, and for what was deleted
	// By says who wrote it; it is zero where that is not known.
	By mesh.Origin
}

// Recorder keeps the newest entries. The zero Recorder has none. It is safe for concurrent
// use.
type Recorder struct {
	mu                     sync.Mutex
	rules, churn, findings ring
}

// Passed takes down a pass. One that changed nothing for any proxy and took in nothing but
// what Kubernetes makes by itself is not worth it. Its lists of workloads and namespaces
// become those of an earlier pass of its sort if they are equal; nobody else may read it
// meanwhile.
func (r *Recorder) Passed(changes []mesh.Change, p *snapshot.Pass) {
	e := Entry{At: p.At, Pass: p}
	written := 0 // by somebody
	named := func(c mesh.Change) {
		if len(e.Objects) == MaxNamed {
			e.More++
			return
		}
		e.Objects = append(e.Objects, objectOf(c))
	}
	for _, c := range changes {
		if !churns(c.Ref.Kind) {
			written++
			named(c)
		}
	}
	for _, c := range changes { // behind what may be their reason
		if churns(c.Ref.Kind) {
			named(c)
		}
	}
	if written == 0 && p.Proxies == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if written > 0 {
		r.rules.add(e)
	} else {
		r.churn.add(e)
	}
}

// Found takes down which findings came and went by now.
func (r *Recorder) Found(came, went []object.Finding) {
	if len(came)+len(went) == 0 {
		return
	}
	e := Entry{At: time.Now(), Came: shortened(came), Went: shortened(went)}
	e.MoreFindings = len(came) + len(went) - len(e.Came) - len(e.Went)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings.add(e)
}

// Entries are those since a moment, the oldest first.
func (r *Recorder) Entries(since time.Time) []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Concat(r.rules.since(since), r.churn.since(since), r.findings.since(since))
	slices.SortStableFunc(out, func(a, b Entry) int { return a.At.Compare(b.At) })
	return out
}

// churns tells whether Kubernetes makes objects of a kind by itself.
func churns(k object.Kind) bool {
	switch k {
	case object.KindPod, object.KindNode, object.KindEndpointSlice, object.KindIssuer:
		return true
	}
	return false
}

func objectOf(c mesh.Change) Object {
	o := Object{Ref: c.Ref, By: c.Origin}
	o.By.Manager = text(o.By.Manager)
	_, unread := c.Object.(mesh.Unread)
	if o.Deleted = c.Object == nil || unread; o.Deleted {
		return o
	}
	if m, ok := c.Object.(metav1.Object); ok {
		o.Generation = m.GetGeneration()
	}
	return o
}

func shortened(list []object.Finding) []object.Finding {
	list = slices.Clone(list[:min(len(list), MaxNamed)])
	slices.SortFunc(list, func(a, b object.Finding) int {
		return cmp.Or(object.CompareRefs(a.Object, b.Object), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	for i := range list {
		list[i].Field, list[i].Message = text(list[i].Field), text(list[i].Message)
	}
	return list
}

// text is what somebody wrote, short and without what terminals take for commands or show in
// another order. It shares no memory with what is longer.
func text(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + " ..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
