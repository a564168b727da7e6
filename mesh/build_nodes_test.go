package mesh

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestSlicesPlaceTheirOwnPods: where there are no Nodes, EndpointSlices of a namespace say
// in which zone its Pods are, in names of sensible length, and nobody else's do.
func TestSlicesPlaceTheirOwnPods(t *testing.T) {
	slice := func(namespace, name, zone string) Change {
		node := "n"
		o := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, AddressType: discoveryv1.AddressTypeIPv4}
		o.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.9.9.9"}, NodeName: &node, Zone: &zone}}
		return Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: namespace, Name: name}, Object: o}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
	pod.Spec.NodeName, pod.Status.PodIP = "n", "10.1.0.1"
	b := newBuilder()
	for _, step := range []struct {
		what, zone string
		change     Change
	}{
		{"a Pod without a zone", "", Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "shop", Name: "p"}, Object: pod}},
		{"a slice of another namespace", "", slice("evil", "s", "elsewhere")},
		{"a slice of its own", "b", slice("shop", "s", "b")},
		{"one more", "a", slice("shop", "t", "a")},
		{"no name of a zone", "b", slice("shop", "t", strings.Repeat("a", 300))},
		{"the slice is gone", "", Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "shop", Name: "s"}, Object: nil}},
		{"all are gone", "", Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "evil", Name: "s"}, Object: nil}},
	} {
		b.apply([]Change{step.change})
		w, _ := b.finish()
		if got := w.Workload("shop", "p").Locality.Zone; got != step.zone {
			t.Errorf("%s: the Pod is in zone %q, want %q", step.what, got, step.zone)
		}
	}
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "shop", Name: "t"}, Object: nil}})
	if len(b.zones)+len(b.zonesBy) > 0 {
		t.Errorf("what slices said that are gone is kept: %v, %v", b.zones, b.zonesBy)
	}
}
