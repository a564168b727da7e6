package mesh

import (
	"fmt"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestEndpointsOfOneHostAreBounded: what selected workloads become at the ports of an entry
// has a bound; the oldest stay, and when there is room again all are served.
func TestEndpointsOfOneHostAreBounded(t *testing.T) {
	const host = "many.example"
	entry := &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "many"}, Spec: networking.ServiceEntry{
		Hosts: []string{host}, Resolution: networking.ServiceEntry_STATIC, WorkloadSelector: &networking.WorkloadSelector{Labels: map[string]string{"app": "many"}}}}
	for i := range 100 {
		entry.Spec.Ports = append(entry.Spec.Ports, &networking.ServicePort{Number: uint32(1000 + i), Name: fmt.Sprint("tcp-", i), Protocol: "TCP"})
	}
	ref := object.Ref{Kind: object.KindServiceEntry, Namespace: "a", Name: "many"}
	changes := []Change{{ref, entry}}
	room := bounds.MaxHostEndpoints / len(entry.Spec.Ports)
	for i := range room + 3 {
		name := fmt.Sprint("w", i)
		changes = append(changes, Change{object.Ref{Kind: object.KindWorkloadEntry, Namespace: "a", Name: name}, &networkingv1.WorkloadEntry{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))},
			Spec:       networking.WorkloadEntry{Address: fmt.Sprintf("192.0.%d.%d", i>>8, i&255), Labels: map[string]string{"app": "many"}}}})
	}
	b := newBuilder()
	b.apply(changes)
	w, _ := b.finish()
	told := func() bool {
		for f := range w.Findings() {
			if f.Object == ref && strings.Contains(f.Message, "the 3 youngest endpoints get no requests") {
				return true
			}
		}
		return false
	}
	list := w.Host(host).Endpoints[0].Endpoints
	if len(list) != room || !told() {
		t.Fatalf("%d endpoints of %d are served, and that is told: %v", len(list), room, told())
	}
	for _, e := range list {
		if e.Workload.Created.Unix() >= int64(room) {
			t.Errorf("%s is served in place of an older one", e.Workload.Ref)
		}
	}
	entry = entry.DeepCopy()
	entry.Spec.Ports = entry.Spec.Ports[:10]
	b.apply([]Change{{ref, entry}})
	if w, _ = b.finish(); len(w.Host(host).Endpoints[0].Endpoints) != room+3 || told() {
		t.Error("there is room for all, and they are not served, or the finding stays")
	}
}
