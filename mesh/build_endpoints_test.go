package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
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
	changes := []Change{{Ref: ref, Object: entry}}
	room := bounds.MaxHostEndpoints / len(entry.Spec.Ports)
	for i := range room + 3 {
		name := fmt.Sprint("w", i)
		changes = append(changes, Change{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: "a", Name: name}, Object: &networkingv1.WorkloadEntry{
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
	b.apply([]Change{{Ref: ref, Object: entry}})
	if w, _ = b.finish(); len(w.Host(host).Endpoints[0].Endpoints) != room+3 || told() {
		t.Error("there is room for all, and they are not served, or the finding stays")
	}
}

// TestSlicesOfManyAddressesAreCut: an EndpointSlice may have 1,000 endpoints and 100 ports.
// Only the ports that its Service has count; what does not fit is cut off, the same whatever
// was in force before, and told.
func TestSlicesOfManyAddressesAreCut(t *testing.T) {
	of := object.Ref{Kind: object.KindService, Namespace: "a", Name: "wide"}
	service := func(ports int) Change {
		o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "wide"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.7.9"}}
		for i := range ports {
			o.Spec.Ports = append(o.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("tcp-", i), Port: int32(1000 + i)}) //nolint:gosec // few
		}
		return Change{Ref: of, Object: o}
	}
	slice := func(addresses int) Change {
		o := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "wide-1", Labels: map[string]string{discoveryv1.LabelServiceName: "wide"}}, AddressType: discoveryv1.AddressTypeIPv4}
		for i := range 100 {
			o.Ports = append(o.Ports, discoveryv1.EndpointPort{Name: new(fmt.Sprint("tcp-", i)), Port: new(int32(2000 + i))}) //nolint:gosec // few
		}
		for i := range addresses {
			o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("192.0.%d.%d", i>>8, i&255)}})
		}
		return Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "a", Name: "wide-1"}, Object: o}
	}
	served := func(w *World) (out []string) {
		for _, e := range w.Host("wide.a.svc.cluster.local").Endpoints[0].Endpoints {
			out = append(out, e.Address)
		}
		return out
	}
	before, fresh := newBuilder(), newBuilder()
	before.apply([]Change{service(100), slice(10)})
	if w, _ := before.finish(); len(served(w)) != 10 {
		t.Fatalf("of a small slice %v are served", served(w))
	}
	before.apply([]Change{slice(1000)})
	fresh.apply([]Change{slice(1000), service(100)})
	w, _ := before.finish()
	restarted, _ := fresh.finish()
	if got := served(w); len(got) != bounds.MaxListed/100 || !slices.Equal(got, served(restarted)) {
		t.Errorf("%d are served, and after a restart %d", len(got), len(served(restarted)))
	}
	told := false
	for f := range w.Findings() {
		told = told || f.Object == of && strings.Contains(f.Message, "the 800 youngest endpoints get no requests")
	}
	if !told {
		t.Error("nothing is told")
	}
	before.apply([]Change{service(20)})
	if w, _ = before.finish(); len(served(w)) != 1000 {
		t.Errorf("of ports that the Service has there is room for all, and %d are served", len(served(w)))
	}
}
