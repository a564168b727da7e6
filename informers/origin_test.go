package informers

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestOrigin: a change says who wrote the object last, not who wrote its status, and the
// object that is kept does not.
func TestOrigin(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	entry := func(manager, subresource string, at time.Time) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, Time: &metav1.Time{Time: at}, FieldsV1: &metav1.FieldsV1{Raw: []byte("{}")}}
	}
	written := []metav1.ManagedFieldsEntry{entry("argocd", "", at), entry("helm", "", at.Add(-time.Hour)), entry("fairway", "status", at.Add(time.Hour))}
	want := mesh.Origin{Manager: "argocd", At: at, Version: "5"}
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "v", ResourceVersion: "5", ManagedFields: written}

	of := func(k *kind, o any) (mesh.Change, kubeObject) {
		t.Helper()
		out := newOutbox()
		s := newStore(k, out, func(string, []object.Finding) {})
		o, err := s.Transformer()(o)
		must(t, err)
		must(t, s.Add(o))
		c := out.take()
		if len(c) != 1 {
			t.Fatalf("%v", c)
		}
		value := c[0].Object.(kubeObject)
		if value.GetManagedFields() != nil || value.GetResourceVersion() != "" {
			t.Errorf("kept: %v %v", value.GetManagedFields(), value.GetResourceVersion())
		}
		return c[0], value
	}
	kindNamed := func(group, name string) *kind { return kindOf[(&kind{group: group, name: name}).groupKind()] }
	if c, _ := of(kindNamed("", "Service"), &corev1.Service{ObjectMeta: meta}); !c.Origin.At.Equal(at) || c.Origin.Manager != want.Manager || c.Origin.Version != want.Version {
		t.Errorf("a Service: %+v", c.Origin)
	}
	if c, _ := of(kindNamed("", "Pod"), &corev1.Pod{ObjectMeta: meta}); c.Origin != (mesh.Origin{}) {
		t.Errorf("a Pod: %+v", c.Origin)
	}
	js, err := json.Marshal(map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": map[string]any{"hosts": []string{"a"}}})
	must(t, err)
	i := &item{}
	must(t, json.Unmarshal(js, i))
	if c, _ := of(kindNamed(groupNetworking, "VirtualService"), i); !c.Origin.At.Equal(at) || c.Origin.Manager != want.Manager || c.Origin.Version != want.Version {
		t.Errorf("a VirtualService: %+v", c.Origin)
	}
	if c, _ := of(kindNamed("", "Service"), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "v", ResourceVersion: "5"}}); c.Origin != (mesh.Origin{}) {
		t.Errorf("written by nobody: %+v", c.Origin)
	}
	tie := []metav1.ManagedFieldsEntry{entry("kubectl-edit", "", at), entry("argocd", "", at), entry("argocd", "", at), entry("helm", "", at.Add(-time.Second)), entry("fairway", "status", at)}
	for range 2 {
		if c, _ := of(kindNamed("", "Service"), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "v", ResourceVersion: "5", ManagedFields: tie}}); c.Origin.Manager != "argocd, kubectl-edit" {
			t.Errorf("written by two in the same second: %+v", c.Origin)
		}
		slices.Reverse(tie)
	}
}
