package mesh

import (
	"fmt"
	"testing"

	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// TestRulesApplyWhereTheyAreExported: a DestinationRule is for the namespaces of its exportTo,
// its own among them only if it says so; the mesh's default takes none from its own; and one that selects
// its clients is private to its namespace whatever it says.
func TestRulesApplyWhereTheyAreExported(t *testing.T) {
	for _, c := range []struct {
		exportTo   []string
		fallback   string
		selects    bool
		own, other bool
	}{
		{nil, "", false, true, true},
		{nil, "defaultDestinationRuleExportTo: ['.']", false, true, false},
		{[]string{"."}, "", false, true, false},
		{[]string{"a"}, "", false, true, false},
		{[]string{"b"}, "", false, false, true},
		{[]string{".", "b"}, "", false, true, true},
		{[]string{"c"}, "", false, false, false},
		{[]string{"*"}, "", false, true, true},
		{[]string{"b"}, "", true, true, false},
		{nil, "", true, true, false},
	} {
		t.Run(fmt.Sprint(c.exportTo, c.fallback, c.selects), func(t *testing.T) {
			service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}
			rule := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"}}
			rule.Spec.Host, rule.Spec.ExportTo = "web", c.exportTo
			if c.selects {
				rule.Spec.WorkloadSelector = &typev1.WorkloadSelector{MatchLabels: map[string]string{"app": "client"}}
			}
			w := Build([]Change{
				{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: "web"}, Object: service},
				{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "a", Name: "web"}, Object: rule},
				{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte(c.fallback)},
			})
			for namespace, want := range map[string]bool{"a": c.own, "b": c.other} {
				scope := w.ScopeOf(&Proxy{Role: RoleSidecar, Workload: &registry.Workload{Namespace: namespace, Name: "client", Labels: map[string]string{"app": "client"}}})
				if got := w.View(scope).Rule(w.Host("web.a.svc.cluster.local").Services[0]) != nil; got != want {
					t.Errorf("in namespace %s the rule applies: %t, want %t", namespace, got, want)
				}
			}
		})
	}
}
