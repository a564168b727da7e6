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
// claim it. These may be thousands, so that none of the others is looked at.
func (b *builder) hold(address string, w *registry.Workload, in bool) {
	l := b.holders[address]
	i, is := slices.BinarySearchFunc(l, w, byHold)
	switch {
	case is && in:
		l[i] = w
	case in:
		l = slices.Insert(l, i, w)
	case is && l[i] == w:
		l = slices.Delete(l, i, i+1)
	}
	if len(l) == 0 {
		delete(b.holders, address)
		b.world.addresses = b.world.addresses.Delete(address)
		return
	}
	b.holders[address] = l
	if x, _ := b.world.addresses.Get(address); x != l[len(l)-1] {
		b.world.addresses = b.world.addresses.Set(address, l[len(l)-1])
	}
}

// byHold orders those that say they have an address by how likely it is, the likeliest
// last: Pods, whose addresses the kubelet tells, of these what does not end, what is ready,
// and the youngest, which got the address last.
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
	return cmp.Or(cmp.Compare(rank(b), rank(a)), object.Older(a.Created, a.Ref, b.Created, b.Ref))
}

// holderIn is the workload of the namespace that most likely has the address;
// nil when none has. While a record is made it is looked for once: thousands may say that
// they have the address, and EndpointSlices may list it as often.
func (b *builder) holderIn(namespace, address string) *registry.Workload {
	key := namespace + "/" + address
	found, known := b.heldBy[key]
	if known {
		return found
	}
	for _, w := range slices.Backward(b.holders[address]) {
		if w.Namespace == namespace {
			found = w
			break
		}
	}
	b.heldBy[key] = found
	return found
}
