package mesh

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// servedBy is the workload that stands for a Pod from here on; an untyped nil
// when it has none. With the Pods themselves a large world would need half as
// much memory again.
func (b *builder) servedBy(o *corev1.Pod) any {
	if w := registry.ParsePod(o, b.nodeOf(nodeIn{o.Namespace, o.Spec.NodeName})); w != nil {
		return w
	}
	return nil
}

// pod replaces the workload of a Pod; next is nil when it has none, or is gone.
func (b *builder) pod(ref object.Ref, next *registry.Workload) {
	key := ref.Namespace + "/" + ref.Name
	old, _ := b.world.workloads.Get(key)
	switch {
	case next == nil:
		remove(b.pods, ref.Namespace, ref.Name)
	case old != nil && old.SameAs(next):
		b.discovery.keep(ref, old)
	default:
		put(b.pods, ref.Namespace, ref.Name, next)
		b.discovery.keep(ref, next)
	}
	b.workload(key, old, next)
}

// placed is w where its Node is now.
func (b *builder) placed(w *registry.Workload) *registry.Workload {
	if w == nil {
		return nil
	}
	l := registry.LocalityOfPod(w.Labels, b.nodeOf(nodeIn{w.Namespace, w.Node}))
	if l == w.Locality {
		return w
	}
	moved := *w
	moved.Locality = l
	return &moved
}

// workload replaces a Pod or WorkloadEntry and marks the hosts that it serves
// or served.
func (b *builder) workload(key string, old, next *registry.Workload) {
	if old == nil && next == nil || old != nil && next != nil && old.SameAs(next) {
		return
	}
	for _, x := range []*registry.Workload{old, next} {
		if x != nil {
			for _, a := range x.Addresses {
				was, likeliest := b.world.AddressHolder(a), b.world.WorkloadAt(a)
				b.hold(a.String(), x, x == next)
				b.touchHolders(a.String(), x)
				if b.world.AddressHolder(a).Namespace != was.Namespace {
					b.dirtyAt(a.String())
				}
				if likeliest != nil && b.world.WorkloadAt(a) != likeliest { // what serves the address directly is another's
					b.dirtyHeadless(a.String())
				}
			}
		}
	}
	for _, x := range []*registry.Workload{old, next} { // when both are taken in: nothing changes for an address that stays
		if x != nil {
			for _, a := range x.Addresses {
				b.noteHolder(a)
			}
		}
	}
	if next == nil {
		b.world.workloads = b.world.workloads.Delete(key)
	} else {
		b.world.workloads = b.world.workloads.Set(key, next)
	}
	if next != nil && next.Terminating && (old == nil || !old.Terminating) {
		b.dirty.Ending[next.Ref] = struct{}{}
	}
	for _, w := range []*registry.Workload{old, next} {
		if w == nil {
			continue
		}
		if old == nil || next == nil || !old.SameIdentity(next) {
			b.dirty.Workloads[w.Ref] = struct{}{}
		}
		for _, s := range b.world.ServicesOf(w) {
			b.touch(s.Host, TouchEndpoints, cause{w.Namespace, w.Ref.Kind})
		}
	}
	w := cmp.Or(next, old)
	b.touchUsers(podUse(w.Namespace, w.Name), w.Namespace) // slices of services without a selector may name it
}
