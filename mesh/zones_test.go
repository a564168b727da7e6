package mesh

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// TestZonesOfSlicesMovePodsOnce: where nobody delivers Nodes, only the slice from which a
// zone is learned has Pods looked through, and not each one that says the same.
func TestZonesOfSlicesMovePodsOnce(t *testing.T) {
	b := newBuilder()
	pod := registry.ParsePod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "p"}, Spec: corev1.PodSpec{NodeName: "n"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}}}, nil)
	slice := func(i int, zone string) Change {
		node := "n"
		o := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: fmt.Sprint("s", i)}}
		o.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, NodeName: &node, Zone: &zone}}
		return Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "x", Name: o.Name}, Object: o}
	}
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindPod, Namespace: "x", Name: "p"}, Object: pod}})
	step := func(what string, moves bool, changes ...Change) *World {
		t.Helper()
		b.apply(changes)
		w, dirty := b.finish()
		if dirty.Scopes != moves {
			t.Errorf("%s: pods were looked through: %t, want %t", what, dirty.Scopes, moves)
		}
		return w
	}
	b.finish()
	if w := step("the first slice", true, slice(1, "z1")); w.Workload("x", "p").Locality.Zone != "z1" {
		t.Errorf("the pod is in %v", w.Workload("x", "p").Locality)
	}
	step("one that says the same", false, slice(2, "z1"))
	step("many that say the same", false, slice(3, "z1"), slice(4, "z1"))
	step("one that goes", false, Change{Ref: slice(2, "").Ref})
	w := step("one that says another zone, before it by name", true, slice(1, "a"))
	if l := w.Workload("x", "p").Locality; l.Zone != "a" {
		t.Errorf("the pod is in %v", l)
	}
}
