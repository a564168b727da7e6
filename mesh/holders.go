package mesh

import (
	"cmp"
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// hold puts a workload among those that say they have an address, or takes it
// from them. One address may be that of several: of Pods on one host's network,
// of a Pod whose predecessor is not yet gone, and of whatever WorkloadEntries
// claim it.
func (b *builder) hold(address string, w *registry.Workload, in bool) {
	l := slices.DeleteFunc(slices.Clone(b.holders[address]), func(x *registry.Workload) bool { return x == w })
	if in {
		i, _ := slices.BinarySearchFunc(l, w, byHold)
		l = slices.Insert(l, i, w)
	}
	if len(l) == 0 {
		delete(b.holders, address)
		b.world.addresses = b.world.addresses.Delete(address)
		return
	}
	b.holders[address] = l
	if x, _ := b.world.addresses.Get(address); x != l[0] {
		b.world.addresses = b.world.addresses.Set(address, l[0])
	}
}

// byHold orders those that say they have an address by how likely it is: Pods
// first, whose addresses the kubelet tells, then what does not end, what is
// ready, and the youngest, which got the address last.
func byHold(a, b *registry.Workload) int {
	rank := func(w *registry.Workload) int {
		n := 0
		for i, worse := range []bool{!w.Ready, w.Terminating, w.Ref.Kind != object.KindPod} {
			if worse {
				n |= 1 << i
			}
		}
		return n
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), object.Older(b.Created, b.Ref, a.Created, a.Ref))
}

// holderIn is the workload of the namespace that most likely has the address;
// nil when none has.
func (b *builder) holderIn(namespace, address string) *registry.Workload {
	for _, w := range b.holders[address] {
		if w.Namespace == namespace {
			return w
		}
	}
	return nil
}
