package mesh

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestManyHoldersOfOneAddress: WorkloadEntries of one address, each younger than the one
// before and behind a headless Service, cost as much each, however many there are: when they
// come, when they change and when they go.
func TestManyHoldersOfOneAddress(t *testing.T) {
	entry := func(i int, weight uint32) Change {
		o := &networkingv1.WorkloadEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: fmt.Sprintf("m%05d", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))},
			Spec: networking.WorkloadEntry{Address: "192.0.2.1", Labels: map[string]string{"app": fmt.Sprint(i)}, Weight: weight}}
		return Change{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: "evil", Name: o.Name}, Object: o}
	}
	spent := func(entries int) (bytes uint64) {
		b := newBuilder()
		s := selectingService("evil", 0, "0", 1)
		s.Object.(*corev1.Service).Spec.ClusterIP = corev1.ClusterIPNone
		b.apply([]Change{s})
		b.finish()
		var came, changed, went []Change
		for i := range entries {
			came, changed = append(came, entry(i, 1)), append(changed, entry(i, 2))
			went = append(went, Change{Ref: entry(entries-1-i, 0).Ref}) // the likeliest first
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		b.apply(came)
		b.apply(changed)
		b.apply(went)
		t.Log(entries, time.Since(start))
		runtime.ReadMemStats(&after)
		if len(b.holders) > 0 {
			t.Errorf("%d addresses are held by nobody", len(b.holders))
		}
		return (after.TotalAlloc - before.TotalAlloc) / uint64(entries) //nolint:gosec // is positive
	}
	few, many := spent(500), spent(4000)
	t.Logf("bytes for each entry: %d of 500, %d of 4000", few, many)
	if many > 2*few {
		t.Errorf("an entry costs %d bytes among 4000 of one address, and %d among 500", many, few)
	}
}
