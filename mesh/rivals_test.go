package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	security "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// selectingAuthentication is a PeerAuthentication with a selector, as old as its number says, 0 the oldest.
func selectingAuthentication(name string, age int, mode security.PeerAuthentication_MutualTLS_Mode, selector map[string]string) Change {
	o := &securityv1.PeerAuthentication{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(age), 0))}}
	o.Spec.Selector, o.Spec.Mtls = &typeapi.WorkloadSelector{MatchLabels: selector}, &security.PeerAuthentication_MutualTLS{Mode: mode}
	return Change{Ref: object.Ref{Kind: object.KindPeerAuthentication, Namespace: "a", Name: name}, Object: o}
}

func labeledPod(t *testing.T, labels string) Change {
	return Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: "w"}, Object: readObject[corev1.Pod](t,
		"metadata: {name: w, namespace: a, labels: {"+labels+"}}\nspec: {containers: [{name: c}]}\nstatus: {podIP: 10.0.0.1}")}
}

// TestOverlapBehindASharedLabel: however many objects share a label of their selectors, an
// object that an older one leaves nothing to is told so.
func TestOverlapBehindASharedLabel(t *testing.T) {
	for _, others := range []int{51, 101, 2000} {
		changes := []Change{labeledPod(t, "env: prod, name: w")}
		for i := range others {
			changes = append(changes, selectingAuthentication(fmt.Sprint("n", i), i, security.PeerAuthentication_MutualTLS_STRICT, map[string]string{"env": "prod", "name": fmt.Sprint("n", i)}))
		}
		both := map[string]string{"env": "prod", "name": "w"}
		changes = append(changes, selectingAuthentication("old", others, security.PeerAuthentication_MutualTLS_PERMISSIVE, both), selectingAuthentication("lost", others+1, security.PeerAuthentication_MutualTLS_STRICT, both))
		if got := lost(Build(changes)); got != "lost<old" {
			t.Errorf("beside %d others: %q", others, got)
		}
	}
}

// TestOverlapsOfACrowd: where too many selectors share labels with a workload, nobody looks
// which of them select it, and the workload says so as long as that is so.
func TestOverlapsOfACrowd(t *testing.T) {
	const labels = 40 // each selector has two of them, and the workload one of these two
	pod := labeledPod(t, "")
	pod.Object.(*corev1.Pod).Labels = map[string]string{"app": "x"}
	changes := []Change{pod}
	for i := range labels {
		pod.Object.(*corev1.Pod).Labels[fmt.Sprint("l", i)] = "x"
		for j := range labels {
			name := fmt.Sprintf("p%02d-%02d", i, j)
			changes = append(changes, selectingAuthentication(name, i*labels+j, security.PeerAuthentication_MutualTLS_STRICT, map[string]string{fmt.Sprint("l", i): "x", fmt.Sprint("l", j): "y"}))
		}
	}
	app := map[string]string{"app": "x"}
	changes = append(changes, selectingAuthentication("old", 0, security.PeerAuthentication_MutualTLS_STRICT, app), selectingAuthentication("new", 1, security.PeerAuthentication_MutualTLS_STRICT, app))
	if got := lost(Build(changes)); got != "w<" {
		t.Errorf("of a crowd: %q", got)
	}
	b := newBuilder()
	b.apply(changes)
	w, _ := b.finish()
	for f := range w.Findings() {
		if f.Code == object.CodeConflict && (f.Field != "metadata.labels" || !strings.Contains(f.Message, "PeerAuthentication")) {
			t.Errorf("%v", f)
		}
	}
	for _, c := range changes[1 : 1+labels*(labels-2)] { // few enough are left
		b.apply([]Change{{Ref: c.Ref}})
	}
	if w, _ = b.finish(); lost(w) != "new<old" {
		t.Errorf("of what is left: %q", lost(w))
	}
	b.apply(changes)
	b.finish()
	b.apply([]Change{{Ref: pod.Ref}})
	if w, _ = b.finish(); lost(w) != "" || len(b.overlaps.crowded) > 0 {
		t.Errorf("without the workload: %q", lost(w))
	}
	for _, c := range changes {
		b.apply([]Change{{Ref: c.Ref}})
	}
	if b.finish(); len(b.overlaps.near) > 0 {
		t.Error("something is kept of objects that are gone")
	}
}

// TestRivals: the objects that select labels are those that looking at each one finds, the
// oldest first, unless their number is said to be too many.
func TestRivals(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	looked := 0
	for range 300 {
		var list []chosen
		draw := func(labels int) map[string]string {
			out := map[string]string{}
			for range labels {
				out[fmt.Sprint("l", r.IntN(6))] = fmt.Sprint("v", r.IntN(3))
			}
			return out
		}
		for i := range 2 + r.IntN(400) {
			list = append(list, chosen{object.Ref{Kind: object.KindSidecar, Name: fmt.Sprint("s", i)}, draw(1 + r.IntN(3))})
		}
		near := rivalsOf([][]chosen{list})
		for range 20 {
			labels := draw(r.IntN(7))
			var want []object.Ref
			for _, c := range list {
				if object.Selects(c.selector, labels) && len(want) < maxRivals {
					want = append(want, c.ref)
				}
			}
			got, ok := near[0].selecting(labels)
			if ok {
				looked++
			}
			if ok && !slices.Equal(got, want) {
				t.Fatalf("%v select %v, not %v", got, labels, want)
			}
		}
	}
	if looked < 3000 {
		t.Errorf("only %d times of 6000 somebody looked", looked)
	}
}
