package webhook

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
)

func namespaceWith(injection string) mesh.Change {
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{injectionLabel: injection}}}
	if injection == "" {
		n.Labels = nil
	}
	return mesh.Change{Ref: mesh.Ref{Kind: mesh.KindNamespace, Name: n.Name}, Object: n}
}

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 seconds still not: %s", what)
		}
	}
}
