package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	networkingv1beta1 "istio.io/client-go/pkg/apis/networking/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestOverlaps: of objects of which one alone is in force for a workload, the others say
// which one that is, as long as it is so, whatever came first.
func TestOverlaps(t *testing.T) {
	obj := map[object.Kind]func(name, selector string) any{
		object.KindSidecar: func(name, selector string) any {
			return readObject[networkingv1.Sidecar](t, head(name)+"spec: {workloadSelector: {labels: {"+selector+"}}, egress: [{hosts: ['./*']}]}")
		},
		object.KindPeerAuthentication: func(name, selector string) any {
			return readObject[securityv1.PeerAuthentication](t, head(name)+"spec: {selector: {matchLabels: {"+selector+"}}}")
		},
		object.KindTelemetry: func(name, selector string) any {
			return readObject[telemetryv1.Telemetry](t, head(name)+"spec: {selector: {matchLabels: {"+selector+"}}}")
		},
		object.KindProxyConfig: func(name, selector string) any {
			return readObject[networkingv1beta1.ProxyConfig](t, head(name)+"spec: {selector: {matchLabels: {"+selector+"}}}")
		},
	}
	pod := func(name, labels string) Change {
		return Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: readObject[corev1.Pod](t, fmt.Sprintf("metadata: {name: %s, namespace: a, labels: {%s}}\nspec: {containers: [{name: c}]}\nstatus: {podIP: 10.0.0.%d}", name, labels, len(name)))}
	}
	for kind, of := range obj {
		said := func(changes []Change) string {
			b := newBuilder()
			for _, c := range changes { // each in a pass of its own
				b.apply([]Change{c})
				b.finish()
			}
			w, _ := b.finish()
			whole := lost(Build(changes))
			if got := lost(w); got != whole {
				t.Errorf("%s: step by step %q, at once %q", kind, got, whole)
			}
			return whole
		}
		make := func(name, selector string) Change {
			return Change{Ref: object.Ref{Kind: kind, Namespace: "a", Name: name}, Object: of(name, selector)}
		}
		one, two, wide1, wide2 := make("y1", "app: x"), make("y2", "tier: front"), make("y3", ""), make("y4", "")
		both, half := pod("p", "app: x, tier: front"), pod("pp", "app: x")
		gone := func(c Change) Change { return Change{Ref: c.Ref} }
		for _, c := range []struct {
			what    string
			changes []Change
			want    string
		}{
			{"no workload is selected by both", []Change{one, two, half}, ""},
			{"one is", []Change{two, both, half, one}, "y2<y1"},
			{"it goes", []Change{two, both, half, one, gone(both)}, ""},
			{"it is no longer selected", []Change{one, both, two, pod("p", "app: x")}, ""},
			{"the winner goes", []Change{one, both, two, gone(one)}, ""},
			{"two for all", []Change{wide2, wide1}, "y4<y3"},
			{"and the older one goes", []Change{wide2, wide1, gone(wide1)}, ""},
			{"one for all and one with a selector", []Change{wide2, one, both}, ""},
			{"the loser comes to be for all", []Change{one, both, two, wide1, make("y2", "")}, "y3<y2"},
		} {
			if got := said(c.changes); got != c.want {
				t.Errorf("%s: %s: %q, want %q", kind, c.what, got, c.want)
			}
		}
		all := []Change{one, two, wide1, wide2, both, half}
		r := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			var changes []Change
			for range 12 {
				c := all[r.IntN(len(all))]
				if r.IntN(3) == 0 {
					c = gone(c)
				}
				changes = append(changes, c)
			}
			said(changes)
		}
	}
}

// head is the metadata of an object that is as old as its name says, "y1" the oldest.
func head(name string) string {
	return fmt.Sprintf("metadata: {name: %s, namespace: a, creationTimestamp: '202%s-01-01T00:00:00Z'}\n", name, name[1:])
}

// lost are the findings about conflicts in a World, as "loser<winner".
func lost(w *World) string {
	var out []string
	for f := range w.Findings() {
		if f.Code == object.CodeConflict {
			out = append(out, f.Object.Name+"<"+f.Winner.Name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
