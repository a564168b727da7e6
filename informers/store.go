package informers

import (
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// store is what a reflector writes to. It keeps no objects, only by what to
// tell whether one has changed, so that the world holds the only copy.
type store struct {
	kind   *kind
	goType reflect.Type // of its objects
	out    *outbox
	report Report

	mu     sync.Mutex
	prints map[object.Ref]uint64 // fingerprints of what the mesh has
	texts  map[object.Ref]uint64 // digests of what was read of custom resources
	wrong  map[object.Ref]bool   // objects with findings
	synced bool                  // the first list is in
	failed error                 // why it could not be read when it was asked for last
	named  object.Ref            // the one object that is followed; the zero Ref: all of the kind
	given  bool                  // up, see giveUp
	since  time.Time
	// versions are those in which objects were read, by digestOf. A pair of numbers
	// for each costs a third of what their names would.
	versions map[uint64]uint64
	newest   uint64 // version that a watch has told of since the last list
	view     *view
	// believe says whether objects that a list lacks are gone; nil: they are.
	believe func(missing []object.Ref) error
	labels  *lru.Cache[uint64, map[string]string]
}

// sharedLabels is how many different sets of labels are remembered, to be
// shared by the objects that have the same.
const sharedLabels = 4096

func newStore(k *kind, out *outbox, report Report) *store {
	labels, _ := lru.New[uint64, map[string]string](sharedLabels) // fails for a size below one only
	return &store{kind: k, goType: reflect.TypeOf(k.make()), out: out, report: report, since: time.Now(), view: newView(), versions: map[uint64]uint64{}, prints: map[object.Ref]uint64{}, texts: map[object.Ref]uint64{}, wrong: map[object.Ref]bool{}, labels: labels}
}

// share replaces the labels of an object by those of an earlier one that are
// the same: the Pods of a Deployment all have the same.
func (s *store) share(o kubeObject) {
	labels := o.GetLabels()
	if len(labels) == 0 {
		return
	}
	var key uint64 // the order of a map's entries must not matter
	for k, v := range labels {
		key += xxhash.Sum64String(k + "\x00" + v)
	}
	if earlier, ok := s.labels.Get(key); ok && maps.Equal(earlier, labels) {
		o.SetLabels(earlier)
		return
	}
	s.labels.Add(key, labels)
}

// Transformer reads and trims objects while a list is still coming in.
func (s *store) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		s.view.hears()
		if !s.isOwn(o) {
			return o, nil // which is told when it is taken in
		}
		if it, ok := o.(*item); ok {
			s.mu.Lock()
			known := s.knows(it)
			s.mu.Unlock()
			if !known {
				it.read()
			}
		} else if plain, ok := o.(kubeObject); ok {
			version, writers := plain.GetResourceVersion(), s.kind.writers(plain)
			s.kind.trim(plain)
			plain.SetResourceVersion(version) // until it is taken in
			plain.SetManagedFields(writers)   // likewise
		}
		return o, nil
	}
}

// knows tells whether an item says nothing that was not read before.
func (s *store) knows(it *item) bool {
	return s.texts[s.kind.ref(it)] == it.digest && it.digest != 0
}

// own is an object of the kind that is followed. What API servers, or something before
// them, may send is more than that.
func (s *store) own(o any) (kubeObject, error) {
	value, ok := o.(kubeObject)
	if it, custom := o.(*item); custom {
		ok = it.kind != nil && it.kind.mesh == s.kind.mesh
	} else if ok {
		ok = reflect.TypeOf(o) == s.goType
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("the API server has sent %T as %s", o, s.kind.groupKind())
	case value.GetName() == "":
		return nil, fmt.Errorf("the API server has sent %s without a name", s.kind.groupKind())
	}
	if version := value.GetResourceVersion(); versionOf(value) == 0 {
		return nil, fmt.Errorf("the API server has sent %s in a version %.40q, which is no number", s.kind.groupKind(), version)
	}
	return value, nil
}

// versionOf is the version of an object; 0: it has none that is a number, which no API
// server gives out, and by which nothing can be told.
func versionOf(o kubeObject) uint64 {
	version, err := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return version
}

func (s *store) isOwn(o any) bool { _, err := s.own(o); return err == nil }

// late tells whether an event is older than one that the watch has brought already: it
// was held up, or is told again. What it says is no longer so.
func (s *store) late(o kubeObject) bool {
	version := versionOf(o)
	if version < s.newest {
		return true
	}
	s.newest = version
	return false
}

// Add takes an object in.
func (s *store) Add(o any) error {
	s.view.hears()
	s.mu.Lock()
	defer s.mu.Unlock()
	value, err := s.own(o)
	if err != nil || s.late(value) {
		return err
	}
	if again, same := s.repeats(value); again {
		if !same {
			// One of the two is wrong. Without a version it differs from what the API
			// server has, so that the next comparison has everything read anew.
			delete(s.versions, digestOf(s.kind.ref(value)))
		}
		return nil
	}
	if c, news := s.change(value); news {
		s.out.put(c)
	}
	return nil
}

// repeats tells whether an object was read in this version before, and whether it said the
// same then.
func (s *store) repeats(o kubeObject) (again, same bool) {
	ref := s.kind.ref(o)
	if version, known := s.versions[digestOf(ref)]; !known || version != versionOf(o) {
		return false, false
	}
	if it, ok := o.(*item); ok {
		return true, s.knows(it)
	}
	s.kind.trim(o)
	return true, s.prints[ref] == fingerprint(o)
}

// Update takes an object in.
func (s *store) Update(o any) error { return s.Add(o) }

// Delete takes an object out.
func (s *store) Delete(o any) error {
	s.view.hears()
	s.mu.Lock()
	defer s.mu.Unlock()
	value, err := s.own(o)
	if err != nil || s.late(value) {
		return err
	}
	s.remove(s.kind.ref(value))
	return nil
}

// Bookmark says that a watch lives.
func (s *store) Bookmark(string) error {
	s.view.hears()
	return nil
}

// Replace takes in all objects there are: those that differ are changes, those
// that are missing are gone. The error says that it is not believed that they
// are; then they are kept.
func (s *store) Replace(list []any, _ string) error {
	missing, err := s.takeIn(list)
	if err != nil {
		s.view.rejects(err)
		return err
	}
	if len(missing) > 0 && s.believe != nil {
		if err := s.believe(missing); err != nil {
			s.view.rejects(err)
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range missing {
		s.remove(ref)
	}
	if _, there := s.prints[s.named]; s.named != (object.Ref{}) && !there && !s.synced {
		s.out.put(mesh.Change{Ref: s.named})
	}
	s.synced, s.newest = true, 0
	s.view.lists()
	s.out.signal()
	return nil
}

// takeIn takes in the objects of a list, and returns those that it lacks. A list with
// anything in it that is no object of the kind changes nothing: what is noted of an object
// is noted together with its change.
func (s *store) takeIn(list []any) (missing []object.Ref, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	here := make(map[object.Ref]struct{}, len(list))
	changes := make([]mesh.Change, 0, len(list))
	for _, o := range list {
		if _, err := s.own(o); err != nil {
			return nil, err
		}
	}
	for i, o := range list {
		c, news := s.change(o.(kubeObject))
		here[c.Ref] = struct{}{}
		if news {
			changes = append(changes, c)
		}
		list[i] = nil
	}
	s.out.put(changes...)
	for ref := range s.prints {
		if _, ok := here[ref]; !ok {
			missing = append(missing, ref)
		}
	}
	for ref := range s.wrong {
		_, ok := here[ref]
		if _, counted := s.prints[ref]; !ok && !counted {
			missing = append(missing, ref)
		}
	}
	return missing, nil
}

// Resync has nothing to do: what was handed on is not lost.
func (s *store) Resync() error { return nil }

// change reads one object, see own; news tells whether the mesh has another one, or none.
func (s *store) change(value kubeObject) (c mesh.Change, news bool) {
	c.Ref = s.kind.ref(value)
	stored := value.GetResourceVersion()
	s.versions[digestOf(c.Ref)] = versionOf(value)
	if it, ok := value.(*item); ok {
		if s.knows(it) {
			return c, false
		}
		it.read()
		s.texts[c.Ref] = it.digest
		s.found(c.Ref, it.findings)
		if value = it.value; it.value == nil {
			if _, had := s.prints[c.Ref]; had || it.closed == nil {
				return c, false // the last good one stays
			}
			value = it.closed
		}
	}
	origin := originOf(s.kind.writers(value), stored)
	s.kind.trim(value)
	print := fingerprint(value)
	if s.prints[c.Ref] == print {
		return c, false
	}
	s.prints[c.Ref] = print
	s.share(value)
	c.Object, c.Origin = value, origin
	return c, true
}

func (s *store) remove(ref object.Ref) {
	delete(s.texts, ref)
	delete(s.versions, digestOf(ref))
	s.found(ref, nil)
	if _, ok := s.prints[ref]; ok {
		delete(s.prints, ref)
		s.out.put(mesh.Change{Ref: ref})
	}
}

func (s *store) found(ref object.Ref, findings []object.Finding) {
	if len(findings) == 0 && !s.wrong[ref] {
		return
	}
	if len(findings) > 0 {
		s.wrong[ref] = true
	} else {
		delete(s.wrong, ref)
	}
	s.report(ref.String(), findings)
}

// clear says that all objects are gone, or that the one object is no longer
// followed.
func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref := range s.prints {
		s.remove(ref)
	}
	for ref := range s.wrong {
		s.remove(ref)
	}
	if s.named != (object.Ref{}) {
		s.out.put(mesh.Change{Ref: s.named, Object: mesh.Unread{}})
	}
}

func (s *store) isSynced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced
}

// note keeps what became of the last question to the API server.
func (s *store) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

// pending says why the first list is not in, and whether the API server refuses
// it.
func (s *store) pending() (why string, refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return "it cannot be read: " + short(s.failed), apierrors.IsForbidden(s.failed)
	}
	return "it is being read", false
}

// giveUp says, once, that the one object that is followed does not exist, if
// the API server has refused it for so long.
func (s *store) giveUp(patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given || s.synced || !apierrors.IsForbidden(s.failed) || time.Since(s.since) < patience {
		return false
	}
	s.given = true
	s.out.put(mesh.Change{Ref: s.named})
	return true
}
