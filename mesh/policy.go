package mesh

import (
	"fmt"
	"iter"
	"sync"
	"time"

	networking "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Policy is an object that applies to the workloads that it selects in its
// namespace, or in the whole mesh from the root namespace. T is the spec, not
// to be modified.
type Policy[T any] struct {
	Ref         object.Ref
	Namespace   string
	Created     time.Time
	Selector    map[string]string // empty: every workload
	Labels      map[string]string
	Annotations map[string]string
	Spec        T
	// Guessed is for a policy that was attached to something else than it says, since
	// what it says is wrong: it restricts and allows nothing.
	Guessed bool

	targets []target   // that it is attached to, in place of Selector
	closed  *Policy[T] // what is in force of it where a wrong reference may have meant it; nil: nothing
}

// The policies that the world reads.
type (
	PeerAuthentication    = Policy[*security.PeerAuthentication]
	RequestAuthentication = Policy[*security.RequestAuthentication]
	AuthorizationPolicy   = Policy[*security.AuthorizationPolicy]
	Telemetry             = Policy[*telemetry.Telemetry]
	ProxyConfig           = Policy[*networking.ProxyConfig]
)

// Policies are all policies of one kind, by namespace and in order of age.
// A nil pointer is empty; it never changes.
type Policies[T any] struct {
	byRef  byKey[T]
	spaces persist.Map[string, *space[T]] // by namespace, of those with policies
}

// byKey are policies of one kind by their keys.
type byKey[T any] = persist.Map[string, *Policy[T]]

// space are the policies of one kind in one namespace. Versions of the Policies share it
// until a policy of the namespace changes.
type space[T any] struct {
	byAge byKey[T] // see ageKey

	once sync.Once
	list []*Policy[T] // those of byAge, once somebody has asked for them
}

// with is a copy that holds the policy in place of what had its Ref; nil
// removes it. How many there are of the namespace matters little: one pass may
// replace thousands.
func (p *Policies[T]) with(ref object.Ref, policy *Policy[T]) *Policies[T] {
	next := &Policies[T]{}
	if p != nil {
		next.byRef, next.spaces = p.byRef, p.spaces
	}
	key := ref.String()
	if old, _ := next.byRef.Get(key); old != nil {
		next.byRef = next.byRef.Delete(key)
		next.inSpace(old.Namespace, func(m byKey[T]) byKey[T] { return m.Delete(ageKey(old)) })
	}
	if policy != nil {
		next.byRef = next.byRef.Set(key, policy)
		next.inSpace(policy.Namespace, func(m byKey[T]) byKey[T] { return m.Set(ageKey(policy), policy) })
	}
	return next
}

// inSpace changes the policies of a namespace, in a copy that nobody else has yet.
func (p *Policies[T]) inSpace(namespace string, change func(byKey[T]) byKey[T]) {
	var before byKey[T]
	if s, ok := p.spaces.Get(namespace); ok {
		before = s.byAge
	}
	if after := change(before); after.Len() > 0 {
		p.spaces = p.spaces.Set(namespace, &space[T]{byAge: after})
	} else {
		p.spaces = p.spaces.Delete(namespace)
	}
}

// ageKey orders the policies of a namespace by age, and those of one age by name.
func ageKey[T any](p *Policy[T]) string {
	return fmt.Sprintf("%020d.%09d/%s", p.Created.Unix()-time.Time{}.Unix(), p.Created.Nanosecond(), p.Ref.Name)
}

// In are the policies of a namespace, oldest first.
func (p *Policies[T]) In(namespace string) []*Policy[T] {
	if p == nil {
		return nil
	}
	s, ok := p.spaces.Get(namespace)
	if !ok { // nothing is kept of what anybody may ask for
		return nil
	}
	s.once.Do(func() {
		s.list = make([]*Policy[T], 0, s.byAge.Len())
		for _, x := range s.byAge.All() {
			s.list = append(s.list, x)
		}
	})
	return s.list
}

// All are the policies of all namespaces, those of one oldest first.
func (p *Policies[T]) All() iter.Seq[*Policy[T]] {
	return func(yield func(*Policy[T]) bool) {
		if p == nil {
			return
		}
		for _, s := range p.spaces.All() {
			for _, x := range s.byAge.All() {
				if !yield(x) {
					return
				}
			}
		}
	}
}

// For are the policies that apply to a workload with the labels in the
// namespace: those of the root namespace first, then those of its own, each
// by age.
func (p *Policies[T]) For(root, namespace string, labels map[string]string) []*Policy[T] {
	var out []*Policy[T]
	for _, ns := range []string{root, namespace} {
		for _, x := range p.In(ns) {
			if object.Selects(x.Selector, labels) {
				out = append(out, x)
			}
		}
		if root == namespace {
			break
		}
	}
	return out
}

// Level is how near a policy is to the workload: 2 selects it by labels, 1 is
// for its namespace, 0 for the mesh.
func (p *Policy[T]) Level(root string) int {
	switch {
	case len(p.Selector) > 0:
		return 2
	case p.Namespace != root:
		return 1
	}
	return 0
}
