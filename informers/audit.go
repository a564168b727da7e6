package informers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/fairway-mesh/fairway/mesh/object"
)

const (
	// auditEvery is how often some objects of a kind are compared with what the
	// API server has, and auditPatience how long it may take to answer.
	auditEvery, auditPatience = 10 * time.Second, 10 * time.Second
	// auditPage is how many objects are compared at a time; of more, the next
	// ones follow the next time.
	auditPage = 200
	// auditEach is how much time is between questions of this sort about objects
	// that are followed by name: 2,000 Secrets are each asked for every 100 s.
	auditEach = 50 * time.Millisecond
	// auditGrace is what a watch gets to deliver what is missing.
	auditGrace = 2 * time.Second
	// quietWatch is how long a watch may say nothing before it is asked for anew.
	// That is one request and no list.
	quietWatch = 20 * time.Second
	// watchPatience is how long the API server may take to begin a watch. A list
	// that is asked for as one is then asked for as a list.
	watchPatience = 8 * time.Second
	// listPatience is how long a list may be under way before it is begun anew
	// although something is missing.
	listPatience = time.Minute
)

// audit compares what was read of a kind with what the API server has. Watches
// can stop without an end, and lose events without a sign; this is how one
// knows.
type audit struct {
	r      *reflection
	list   func(ctx context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error)
	cursor string              // where the next page begins
	last   string              // the key of the last object before it
	aged   bool                // the page at the cursor was too old the last time
	future map[difference]bool // what was read in a version that the first page had not come to
}

func newAudit(client metadata.Interface, r *reflection, sel selection) *audit {
	k := r.store.kind
	at := client.Resource(schema.GroupVersionResource{Group: k.group, Version: r.version, Resource: k.resource}).Namespace(sel.namespace)
	return &audit{r: r, list: func(ctx context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
		o.FieldSelector, o.LabelSelector = sel.fields, sel.labels
		return at.List(ctx, o)
	}}
}

// run compares until the context ends.
func (a *audit) run(ctx context.Context) {
	for ctx.Err() == nil {
		every := a.r.every(a.r.source.views.countNamed())
		select {
		case <-ctx.Done():
			return
		case <-time.After(every*9/10 + rand.N(every/5)):
		}
		a.compare(ctx)
	}
}

// page is some of what the API server has: all objects whose keys lie after one
// and up to another.
type page struct {
	began    time.Time
	version  uint64
	objects  map[object.Ref]uint64 // their versions
	from, to string                // to is empty when it is the last
	next     string
}

// read asks for the page at the cursor.
func (a *audit) read(ctx context.Context) (*page, error) {
	ctx, cancel := context.WithTimeout(ctx, auditPatience)
	defer cancel()
	p := &page{began: time.Now(), objects: map[object.Ref]uint64{}, from: a.last}
	list, err := a.list(ctx, metav1.ListOptions{Limit: auditPage, Continue: a.cursor})
	if err != nil {
		return nil, err
	}
	if p.version, err = strconv.ParseUint(list.ResourceVersion, 10, 64); err != nil {
		return nil, fmt.Errorf("the version %q of a list is no number", list.ResourceVersion)
	}
	p.next = list.Continue
	for i := range list.Items {
		o := &list.Items[i]
		ref := a.r.store.kind.ref(o)
		p.objects[ref], _ = strconv.ParseUint(o.ResourceVersion, 10, 64)
		if p.next != "" {
			p.to = max(p.to, key(ref))
		}
	}
	return p, nil
}

// key orders objects as the API server does.
func key(r object.Ref) string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

func (a *audit) compare(ctx context.Context) {
	v := a.r.store.view
	p, err := a.read(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && a.cursor != "" && (apierrors.IsResourceExpired(err) || apierrors.IsGone(err)):
		// Where to go on may be too old itself, each time: then from the first page on.
		if a.cursor = later(err); a.cursor == "" || a.aged {
			a.cursor, a.last = "", ""
		}
		a.aged = a.cursor != ""
		v.fail(err)
		return
	case err != nil:
		v.fail(err)
		return
	}
	a.aged = false
	a.r.source.link.lives()
	wrong := a.r.store.differs(p)
	if len(wrong) > 0 {
		again, err := a.second(ctx)
		if err != nil || again == nil {
			return
		}
		p = again
		still := a.r.store.differs(p)
		wrong = slices.DeleteFunc(wrong, func(d difference) bool { return !slices.Contains(still, d) })
		if wrong, err = a.there(ctx, wrong); err != nil {
			v.fail(err)
			return
		}
	}
	if a.cursor == "" {
		wrong = append(wrong, a.ahead(p)...)
	}
	whole := a.cursor == "" && p.next == ""
	a.cursor, a.last = p.next, p.to
	switch {
	case len(wrong) > 0:
		a.lost(wrong)
	case whole || v.watched(quietWatch+auditPatience):
		v.confirm(p.began)
	default:
		v.fail(errSilent)
	}
}

// ahead are objects that were read in a version that the API server has not come to, now
// and when the first page was read before: its versions went backwards, as after the
// restore of a backup.
func (a *audit) ahead(p *page) (out []difference) {
	before := a.future
	a.future = a.r.store.beyond(p.version)
	for d := range a.future {
		if before[d] {
			out = append(out, d)
		}
	}
	return out
}

// beyond are the objects that were read in a version above one.
func (s *store) beyond(version uint64) map[difference]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out map[difference]bool
	for ref := range s.prints {
		if ours := s.versions[digestOf(ref)]; ours > version {
			if out == nil {
				out = map[difference]bool{}
			}
			out[difference{ref, ours}] = true
		}
	}
	return out
}

// later is where a list goes on of which the first pages are too old by now: among the
// objects as they are then. Empty: the API server does not say.
func later(err error) string {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return ""
	}
	return status.Status().Continue
}

// there leaves out objects that a page has and that are gone: the pages after the first
// one are as the API server was when it gave out the first. Some are asked for by name;
// when all of these are gone, all are taken for gone.
func (a *audit) there(ctx context.Context, wrong []difference) ([]difference, error) {
	if a.cursor == "" {
		return wrong, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lossPatience)
	defer cancel()
	var known, unknown []difference
	for _, d := range wrong {
		if d.ours == 0 {
			unknown = append(unknown, d)
		} else {
			known = append(known, d)
		}
	}
	for n, i := range rand.Perm(len(unknown)) {
		if n == lossSample {
			break
		}
		switch there, err := a.r.isThere(ctx, unknown[i].ref); {
		case err != nil:
			return nil, fmt.Errorf("whether %s is gone cannot be told: %w", unknown[i].ref, err)
		case there:
			return append(known, unknown[i]), nil
		}
	}
	return known, nil
}

var errSilent = errors.New("its watch gives no sign of life")

// second reads the same page again, when the watch has had time to deliver it.
func (a *audit) second(ctx context.Context) (*page, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(auditGrace):
	}
	return a.read(ctx)
}

// lost has everything read again, unless that is under way.
func (a *audit) lost(wrong []difference) {
	v := a.r.store.view
	v.fail(fmt.Errorf("its watch has not delivered %d changes, the first of %s", len(wrong), wrong[0].ref))
	if d := v.underWay(); d > 0 && d < listPatience {
		return
	}
	v.mu.Lock()
	v.relists++
	v.mu.Unlock()
	a.cursor, a.last = "", ""
	a.r.source.config.Log.Debug("a watch has lost something: reading everything again", "kind", a.r.store.kind.groupKind(), "objects", len(wrong), "first", wrong[0].ref)
	a.r.again()
}

// difference is an object that is not as the API server has it. ours is the
// version that was read, 0 without one.
type difference struct {
	ref  object.Ref
	ours uint64
}

// differs are the objects of a page that were not read in this version or a
// newer one, and those that were read, are older than the page and not in it.
func (s *store) differs(p *page) (out []difference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref, theirs := range p.objects {
		if ours := s.versions[digestOf(ref)]; ours < theirs {
			out = append(out, difference{ref, ours})
		}
	}
	for ref := range s.prints {
		if _, ok := p.objects[ref]; ok {
			continue
		}
		k := key(ref)
		ours := s.versions[digestOf(ref)]
		if k > p.from && (p.to == "" || k <= p.to) && ours <= p.version {
			out = append(out, difference{ref, ours})
		}
	}
	return out
}

// digestOf is what the version of an object is kept by.
func digestOf(r object.Ref) uint64 { return xxhash.Sum64String(key(r)) }
