package mesh

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func (b *builder) node(ref object.Ref, o *corev1.Node) {
	old := b.nodes[ref.Name]
	if o == nil {
		delete(b.nodes, ref.Name)
	} else {
		b.nodes[ref.Name] = o
	}
	b.world.nodeAddresses = map[netip.Addr]struct{}{}
	for _, n := range b.nodes {
		for _, x := range n.Status.Addresses {
			if a, err := netip.ParseAddr(x.Address); err == nil {
				b.world.nodeAddresses[a.Unmap()] = struct{}{}
			}
		}
	}
	if old != nil && o != nil && maps.Equal(old.Labels, o.Labels) {
		return
	}
	b.relocate(ref.Name)
}

// relocate makes the Pods of a node again.
func (b *builder) relocate(node string) {
	for _, pods := range b.pods {
		for _, w := range pods {
			if w.Node == node {
				b.pod(w.Ref, b.placed(w))
				b.dirty.Scopes = true
			}
		}
	}
}

// nodeOf is the Node of a name. Where nobody delivers Nodes, as from a directory
// without them, EndpointSlices say at least in which zone it is.
func (b *builder) nodeOf(name string) *corev1.Node {
	if n := b.nodes[name]; n != nil {
		return n
	}
	said := slices.Sorted(maps.Values(b.zones[name]))
	if len(said) == 0 {
		return nil
	}
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelTopologyZone: said[0]}}}
}

// learnZones takes note of the zones that an EndpointSlice gives for nodes; nil
// takes back what it said.
func (b *builder) learnZones(ref object.Ref, o *discoveryv1.EndpointSlice) {
	next := map[string]string{}
	if o != nil {
		for _, e := range o.Endpoints {
			if e.NodeName != nil && e.Zone != nil && *e.Zone != "" {
				next[*e.NodeName] = *e.Zone
			}
		}
	}
	for node, said := range b.zones {
		if old, ok := said[ref]; ok && next[node] != old {
			if delete(said, ref); len(said) == 0 {
				delete(b.zones, node)
			}
			b.relocateUnknown(node)
		}
	}
	for node, zone := range next {
		if b.zones[node] == nil {
			b.zones[node] = map[object.Ref]string{}
		}
		if b.zones[node][ref] != zone {
			b.zones[node][ref] = zone
			b.relocateUnknown(node)
		}
	}
}

// relocateUnknown makes the Pods of a node again that has no Node.
func (b *builder) relocateUnknown(node string) {
	if b.nodes[node] == nil {
		b.relocate(node)
	}
}
