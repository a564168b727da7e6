package registry

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPodLocality is about row 153: the Pod's own label, then its Node, then what
// Kubernetes copied of the Node.
func TestPodLocality(t *testing.T) {
	const region, zone, subzone = "topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"
	node := func(labels map[string]string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	}
	copied := map[string]string{region: "r", zone: "z", subzone: "s"}
	for _, c := range []struct {
		name string
		pod  map[string]string
		node *corev1.Node
		want Locality
	}{
		{"nothing", nil, nil, Locality{}},
		{"its own label", map[string]string{"istio-locality": "a.b.c", region: "r"}, node(copied), Locality{"a", "b", "c"}},
		{"the node", nil, node(copied), Locality{"r", "z", "s"}},
		{"the node before copies", copied, node(map[string]string{region: "a", zone: "b", subzone: "c"}), Locality{"a", "b", "c"}},
		{"copies alone", copied, nil, Locality{"r", "z", "s"}},
		{"a zone that slices give", copied, node(map[string]string{zone: "b"}), Locality{"r", "b", "s"}},
		{"an old node", copied, node(map[string]string{"failure-domain.beta.kubernetes.io/region": "a", "failure-domain.beta.kubernetes.io/zone": "b"}), Locality{"a", "b", "s"}},
	} {
		if got := LocalityOfPod(c.pod, c.node); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}
