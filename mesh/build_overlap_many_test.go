package mesh

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	networkingapi "istio.io/api/networking/v1beta1"
	typeapi "istio.io/api/type/v1beta1"
	networkingv1beta1 "istio.io/client-go/pkg/apis/networking/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// heapInUse is what is alive, in bytes.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestOverlapsAreBounded: objects that all select all workloads of a namespace do not
// multiply with these. The oldest are told of, and whoever comes or goes changes nothing of
// which.
func TestOverlapsAreBounded(t *testing.T) {
	const objects, workloads = 1000, 500
	config := func(i int) Change {
		o := &networkingv1beta1.ProxyConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprintf("p%03d", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}}
		o.Spec = networkingapi.ProxyConfig{Selector: &typeapi.WorkloadSelector{MatchLabels: map[string]string{"app": "x"}}}
		return Change{Ref: object.Ref{Kind: object.KindProxyConfig, Namespace: "a", Name: o.Name}, Object: o}
	}
	var changes []Change
	for i := range workloads {
		name := fmt.Sprint("w", i)
		changes = append(changes, Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: readObject[corev1.Pod](t,
			fmt.Sprintf("metadata: {name: %s, namespace: a, labels: {app: x}}\nspec: {containers: [{name: c}]}\nstatus: {podIP: 10.0.%d.%d}", name, i/250, i%250))})
	}
	for i := range objects {
		changes = append(changes, config(i))
	}
	b := newBuilder()
	before := heapInUse()
	b.apply(changes)
	b.finish()
	if more := int(heapInUse()) - int(before); more > 3<<20 { //nolint:gosec // some megabytes
		t.Errorf("%d objects and %d workloads take %d MB", objects, workloads, more>>20)
	}
	losers := func() (out []string) {
		for f := range b.world.Findings() {
			if f.Code == object.CodeConflict {
				out = append(out, f.Object.Name)
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	all := losers()
	if len(all) != 99 || all[0] != "p001" || all[98] != "p099" {
		t.Errorf("%d objects are told of, from %s to %s", len(all), all[0], all[len(all)-1])
	}
	looked := testing.Benchmark(func(bench *testing.B) {
		for i := 0; bench.Loop(); i++ {
			b.apply([]Change{config(i % objects)})
			b.finish()
		}
	})
	if allocated := looked.AllocedBytesPerOp(); allocated > 16<<20 {
		t.Errorf("a change of one of them allocates %d MB", allocated>>20)
	}
	if !slices.Equal(losers(), all) {
		t.Error("after changes that change nothing others are told of")
	}
	b.apply([]Change{{Ref: config(0).Ref}})
	b.finish()
	if now := losers(); now[0] != "p002" || len(now) != 99 {
		t.Errorf("without the oldest, %d are told of, from %s on", len(now), now[0])
	}
}
