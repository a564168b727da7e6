package mesh

import (
	"fmt"
	"runtime"
	"testing"

	security "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestTargetsOfOthersCostNothing: what a tenant's policies refer to is not looked at again
// for the Service of another namespace, and is for one of its own.
func TestTargetsOfOthersCostNothing(t *testing.T) {
	service := func(b *builder, namespace, name string) (bytes uint64, w *World) {
		o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		o.Spec.Ports, o.Spec.Selector = []corev1.ServicePort{{Name: "http", Port: 80}}, map[string]string{"app": name}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b.apply([]Change{{Ref: object.Ref{Kind: object.KindService, Namespace: namespace, Name: name}, Object: o}})
		w, _ = b.finish()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc, w
	}
	beside := func(policies int) uint64 {
		b := newBuilder()
		for i := range policies {
			o := &securityv1.AuthorizationPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: fmt.Sprint("p", i)}}
			for j := range 64 {
				o.Spec.TargetRefs = append(o.Spec.TargetRefs, &typev1.PolicyTargetReference{Kind: "Service", Name: fmt.Sprint("s", j)})
			}
			o.Spec.Rules = []*security.Rule{{}}
			b.apply([]Change{{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "evil", Name: o.Name}, Object: o}})
		}
		_, _ = b.finish()
		cost, _ := service(b, "shop", "cart")
		missing := func(w *World) (n int) {
			for f := range w.Findings() {
				if f.Missing.Kind == object.KindService {
					n++
				}
			}
			return n
		}
		_, w := service(b, "evil", "s0")
		if n := missing(w); policies > 0 && n != policies*63 {
			t.Errorf("%d references are told to lead nowhere, want %d", n, policies*63)
		}
		return cost
	}
	if few, many := beside(0), beside(200); many > 2*few+100_000 {
		t.Errorf("a Service beside 200 policies allocates %d bytes, beside none %d", many, few)
	}
}
