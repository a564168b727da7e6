package kube

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTold(t *testing.T) {
	c, ns, other := client(t), namespace(t), namespace(t)
	tell := func(namespace string, labels map[string]string) {
		t.Helper()
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: BundleConfigMap, Namespace: namespace, Labels: labels}, Data: map[string]string{BundleKey: "roots of " + namespace}}
		_ = c.CoreV1().ConfigMaps(namespace).Delete(t.Context(), BundleConfigMap, metav1.DeleteOptions{}) // what other tests told
		if _, err := c.CoreV1().ConfigMaps(namespace).Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = c.CoreV1().ConfigMaps(namespace).Delete(t.Context(), BundleConfigMap, metav1.DeleteOptions{})
		})
	}
	told := func() []string {
		out, err := Told(c, ns)(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(out))
	}
	tell(other, nil) // a tenant's
	tell(metav1.NamespacePublic, nil)
	tell(ns, map[string]string{ownerLabel: other})
	if got := told(); len(got) != 0 {
		t.Errorf("what others keep counts: %v", got)
	}
	if err := c.CoreV1().ConfigMaps(ns).Delete(t.Context(), BundleConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	tell(ns, map[string]string{ownerLabel: ns})
	tell(metav1.NamespaceSystem, nil)
	if got := told(); !slices.Equal(got, []string{"ConfigMap " + ns + "/" + BundleConfigMap, "ConfigMap kube-system/" + BundleConfigMap}) {
		t.Errorf("told: %v", got)
	}
}
