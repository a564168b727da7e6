package mesh

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestPodsAreNotKept holds that a Pod that was taken in can be collected: of
// all kinds there are most of them.
func TestPodsAreNotKept(t *testing.T) {
	const pods = 100
	var collected atomic.Int64
	b := newBuilder()
	var changes []Change
	for i := range pods {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("p", i)}, Status: corev1.PodStatus{PodIP: fmt.Sprint("10.0.0.", i)}}
		runtime.AddCleanup(p, func(int) { collected.Add(1) }, 0)
		changes = append(changes, Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: p.Name}, Object: p})
	}
	b.apply(changes)
	w, _ := b.finish()
	clear(changes)
	for deadline := time.Now().Add(10 * time.Second); collected.Load() < pods; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d Pods are still held", pods-collected.Load(), pods)
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	if n := w.workloads.Len(); n != pods {
		t.Errorf("%d workloads of %d Pods", n, pods)
	}
	runtime.KeepAlive(b)
}
