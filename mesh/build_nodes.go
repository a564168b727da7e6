package mesh

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

func (b *builder) node(ref object.Ref, o *corev1.Node) {
	old := b.nodes[ref.Name]
	if o == nil {
		delete(b.nodes, ref.Name)
	} else {
		b.nodes[ref.Name] = o
	}
	if old == nil || o == nil || !slices.Equal(old.Status.Addresses, o.Status.Addresses) {
		b.renumbered = true
	}
	if old != nil && o != nil && maps.Equal(old.Labels, o.Labels) {
		return
	}
	for ns := range b.pods {
		b.relocate(ns, map[string]struct{}{ref.Name: {}})
	}
}

// settleNodes notes the addresses of nodes where they have changed.
func (b *builder) settleNodes() {
	if !b.renumbered {
		return
	}
	b.renumbered = false
	b.world.nodeAddresses = make(map[netip.Addr]struct{}, len(b.nodes))
	for _, n := range b.nodes {
		for _, x := range n.Status.Addresses {
			if a, err := netip.ParseAddr(x.Address); err == nil {
				b.world.nodeAddresses[a.Unmap()] = struct{}{}
			}
		}
	}
}

// relocate makes the Pods of a namespace again that are on one of the nodes.
func (b *builder) relocate(namespace string, nodes map[string]struct{}) {
	for _, w := range b.pods[namespace] {
		if _, moved := nodes[w.Node]; moved {
			b.pod(w.Ref, b.placed(w))
			b.dirty.Scopes = true
		}
	}
}

// nodeIn is a node as a namespace knows it.
type nodeIn struct{ namespace, name string }

// nodeOf is the Node of a name. Where nobody delivers Nodes, as from a directory
// without them, EndpointSlices say at least in which zone it is: those of the namespace
// that asks, so that nobody moves the Pods of others.
func (b *builder) nodeOf(at nodeIn) *corev1.Node {
	if n := b.nodes[at.name]; n != nil {
		return n
	}
	zone := b.zoneSaid(at)
	if zone == "" {
		return nil
	}
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelTopologyZone: zone}}}
}

// zoneSaid is the zone that EndpointSlices give for a node, the first in order of several;
// "": none does.
func (b *builder) zoneSaid(at nodeIn) (zone string) {
	for _, said := range b.zones[at] {
		if zone == "" || said < zone {
			zone = said
		}
	}
	return zone
}

// learnZones takes note of the zones that an EndpointSlice gives for nodes; nil
// takes back what it said.
func (b *builder) learnZones(ref object.Ref, o *discoveryv1.EndpointSlice) {
	next := map[string]string{}
	if o != nil {
		for _, e := range o.Endpoints {
			if zone := registry.ZoneOf(e); e.NodeName != nil && zone != "" {
				next[*e.NodeName] = zone
			}
		}
	}
	before := map[string]string{} // the zones of nodes without a Node that the slice says something else of
	note := func(at nodeIn) {
		if _, noted := before[at.name]; !noted && b.nodes[at.name] == nil {
			before[at.name] = b.zoneSaid(at)
		}
	}
	for node, zone := range b.zonesBy[ref] {
		if at := (nodeIn{ref.Namespace, node}); next[node] != zone {
			note(at)
			if delete(b.zones[at], ref); len(b.zones[at]) == 0 {
				delete(b.zones, at)
			}
		}
	}
	for node, zone := range next {
		at := nodeIn{ref.Namespace, node}
		if b.zones[at] == nil {
			b.zones[at] = map[object.Ref]string{}
		}
		if b.zones[at][ref] != zone {
			note(at)
			b.zones[at][ref] = zone
		}
	}
	if b.zonesBy[ref] = next; len(next) == 0 {
		delete(b.zonesBy, ref)
	}
	moved := map[string]struct{}{} // nodes, whose Pods are looked for once; many slices say the same of one
	for node, zone := range before {
		if b.zoneSaid(nodeIn{ref.Namespace, node}) != zone {
			moved[node] = struct{}{}
		}
	}
	if len(moved) > 0 {
		b.relocate(ref.Namespace, moved)
	}
}
