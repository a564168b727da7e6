package snapshot_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// podOf is a Pod of a workload that one person made by itself.
func podOf(namespace, name, ip string) mesh.Change {
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	o.Status.PodIP = ip
	return mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: namespace, Name: name}, Object: o}
}

// next is what the next change does.
func (p *passes) next(t testing.TB, e *snapshot.Engine, changes ...mesh.Change) *snapshot.Pass {
	t.Helper()
	p.store.Submit(changes)
	select {
	case x := <-p.out:
		return e.Update(x.world, x.dirty)
	case <-time.After(20 * time.Second):
		t.Fatal("the store made no pass")
		return nil
	}
}

// TestPassTells: what a pass has done to proxies is told, and how far they are with it.
func TestPassTells(t *testing.T) {
	p := newPasses(t, 20)
	e := engineOf(<-p.out)
	p.next(t, e, podOf("ns0", "one", "10.1.0.1"), podOf("ns0", "two", "10.1.0.2"), podOf("ns3", "three", "10.1.0.3"))
	var views []*snapshot.View
	for _, c := range []*snapshot.Client{sidecarOf("ns0", "one"), sidecarOf("ns0", "two"), sidecarOf("ns3", "three")} {
		v, err := e.Attach(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	added := p.next(t, e, flip("r1"))
	if added.Proxies != 3 || added.Bytes == 0 || added.More || len(added.Namespaces) != 0 || added.Accepted().Waiting != 3 {
		t.Errorf("%+v, %+v", added, added.Accepted())
	}
	if want := []object.Ref{{Namespace: "ns0", Name: "one"}, {Namespace: "ns0", Name: "two"}, {Namespace: "ns3", Name: "three"}}; !slices.Equal(added.Workloads, want) {
		t.Errorf("workloads %v", added.Workloads)
	}
	hosts := func(p *snapshot.Pass) (out []string) {
		for _, r := range p.Resources {
			if r.Type == snapshot.VirtualHost {
				out = append(out, r.Change+" "+r.Name)
			}
		}
		return out
	}
	const host = "8080/s0.ns0.svc.cluster.local"
	if got := hosts(added); !slices.Contains(got, "changed "+host) || !slices.Contains(got, "added 80/allow_any") || added.Added+added.Changed+added.Removed != len(added.Resources) {
		t.Errorf("%+v", added)
	}

	// One accepts, one leaves, and the third only when more has come.
	_, at := views[0].Published()
	views[0].Took(at)
	views[1].Close()
	if a := added.Accepted(); a.Waiting != 1 || a.Left != 1 || a.Took <= 0 {
		t.Errorf("%+v", a)
	}
	later := p.next(t, e, flip("r2"))
	views[2].Took(at)
	if got := hosts(later); !slices.Equal(got, []string{"changed 80/s0.ns0.svc.cluster.local", "changed " + host}) {
		t.Errorf("%+v", later)
	}
	if a, b := added.Accepted(), later.Accepted(); a.Waiting != 0 || b.Waiting != 2 || later.Proxies != 2 {
		t.Errorf("%+v, %+v", a, b)
	}

	// A proxy that never accepts is not counted for ever.
	for i := range 40 {
		p.next(t, e, flip(fmt.Sprint("x", i)))
	}
	if a := later.Accepted(); a.Waiting != 0 || a.Late != 2 {
		t.Errorf("%+v", a)
	}
	gone := p.next(t, e, mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: "ns5", Name: "s5"}})
	if !slices.Contains(hosts(gone), "removed 8080/s5.ns5.svc.cluster.local") || gone.Bytes != 0 && gone.Removed == 0 {
		t.Errorf("%+v", gone)
	}
	if idle := e.Update(worldOf(t, 0), &mesh.Dirty{Status: true}); idle.Proxies != 0 || len(idle.Resources) != 0 || idle.Accepted() != (snapshot.Acceptance{}) {
		t.Errorf("a pass that changes nothing: %+v", idle)
	}
}

// TestPassNamesNotAll: of a change of very much the first are named.
func TestPassNamesNotAll(t *testing.T) {
	p := newPasses(t, 300)
	e := engineOf(<-p.out)
	for i := range 100 {
		if _, err := e.Attach(t.Context(), sidecarOf(fmt.Sprint("ns", i%10), fmt.Sprint("p", i))); err != nil {
			t.Fatal(err)
		}
	}
	var gone []mesh.Change
	for i := range 300 {
		gone = append(gone, mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: fmt.Sprintf("ns%d", i%10), Name: fmt.Sprintf("s%d", i)}})
	}
	x := p.next(t, e, gone...)
	if x.Removed < 600 || len(x.Resources) != 50 || x.Workloads != nil || len(x.Namespaces) != 10 || x.Proxies != 100 {
		t.Errorf("%d removed, %d named, workloads %v, namespaces %v, %d proxies", x.Removed, len(x.Resources), x.Workloads, x.Namespaces, x.Proxies)
	}
}

// BenchmarkTold is a flipped route for so many sidecars of ten namespaces, all of which it
// concerns.
func BenchmarkTold(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPasses(b, 500)
			e := engineOf(<-p.out)
			attach(b, e, n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				p.store.Submit([]mesh.Change{flip(fmt.Sprint("r", i))})
				next := <-p.out
				e.Update(next.world, next.dirty)
			}
		})
	}
}
