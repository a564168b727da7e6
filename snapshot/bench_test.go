package snapshot_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// pass is a world and what changed to make it, as the store published them.
type pass struct {
	world *mesh.World
	dirty *mesh.Dirty
}

// passes is a store whose passes are taken one by one.
type passes struct {
	store *mesh.Store
	out   chan pass
}

func newPasses(b testing.TB, services int) *passes {
	b.Helper()
	p := &passes{out: make(chan pass, 1)}
	p.store = mesh.NewStore(slog.New(slog.NewTextHandler(io.Discard, nil)), func(w *mesh.World, d *mesh.Dirty) { p.out <- pass{w, d} })
	done := make(chan struct{})
	go func() { defer close(done); _ = p.store.Run(b.Context()) }()
	b.Cleanup(func() { <-done })
	var all []mesh.Change
	for i := range services {
		meta := metav1.ObjectMeta{Namespace: fmt.Sprintf("ns%d", i%10), Name: fmt.Sprintf("s%d", i)}
		all = append(all, mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: meta.Namespace, Name: meta.Name}, Object: &corev1.Service{
			ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.96.%d.%d", i>>8, i&255), Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}}}})
	}
	p.store.Submit(all)
	p.store.Synced()
	return p
}

func flip(timeout string) mesh.Change {
	meta := metav1.ObjectMeta{Namespace: "ns0", Name: "s0"}
	return mesh.Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "ns0", Name: "s0"}, Object: &networkingv1.VirtualService{ObjectMeta: meta, Spec: networking.VirtualService{
		Hosts: []string{"s0.ns0.svc.cluster.local"},
		Http:  []*networking.HTTPRoute{{Name: timeout, Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "s0.ns0.svc.cluster.local"}}}}}}}}
}

func engineOf(first pass) *snapshot.Engine {
	e := snapshot.NewEngine(slog.New(slog.NewTextHandler(io.Discard, nil)), nil, nil)
	e.Update(first.world, first.dirty)
	return e
}

func attach(b *testing.B, e *snapshot.Engine, n int) (views []*snapshot.View) {
	b.Helper()
	for i := range n {
		v, err := e.Attach(b.Context(), &snapshot.Client{NodeID: fmt.Sprint(i), Role: snapshot.RoleSidecar, Namespace: fmt.Sprintf("ns%d", i%10), Pod: fmt.Sprintf("p%d", i), IP: "10.1.0.1"})
		if err != nil {
			b.Fatal(err)
		}
		views = append(views, v)
	}
	return views
}

// BenchmarkWorld is one flipped route from its object to the next World.
func BenchmarkWorld(b *testing.B) {
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPasses(b, n)
			<-p.out
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				p.store.Submit([]mesh.Change{flip(fmt.Sprint("r", i))})
				<-p.out
			}
		})
	}
}

// BenchmarkUpdate is resolving, building and encoding what a flipped route
// touches, for sidecars of ten namespaces.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPasses(b, n)
			e := engineOf(<-p.out)
			attach(b, e, 100)
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

// BenchmarkFromNothing is the first computation of a mesh.
func BenchmarkFromNothing(b *testing.B) {
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			first := <-newPasses(b, n).out
			b.ReportAllocs()
			for b.Loop() {
				engineOf(first)
			}
		})
	}
}

// BenchmarkAttachNamespace is a proxy that is the first of its namespace.
func BenchmarkAttachNamespace(b *testing.B) {
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := engineOf(<-newPasses(b, n).out)
			for i := range 300 { // leave no room for layers that nobody looks at
				v, err := e.Attach(b.Context(), &snapshot.Client{NodeID: "gone", Role: snapshot.RoleSidecar, Namespace: fmt.Sprint("gone", i), Pod: "p", IP: "10.1.0.1"})
				if err != nil {
					b.Fatal(err)
				}
				v.Close()
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				v, err := e.Attach(b.Context(), &snapshot.Client{NodeID: "new", Role: snapshot.RoleSidecar, Namespace: fmt.Sprint("new", i), Pod: "p", IP: "10.1.0.1"})
				if err != nil {
					b.Fatal(err)
				}
				v.Close()
			}
		})
	}
}

// BenchmarkReturn is a proxy that comes back soon, the only one of its
// namespace and of its sort.
func BenchmarkReturn(b *testing.B) {
	e := engineOf(<-newPasses(b, 500).out)
	attach(b, e, 1)[0].Close()
	b.ReportAllocs()
	for b.Loop() {
		attach(b, e, 1)[0].Close()
	}
}

// BenchmarkDiff is the difference of two stacks that differ by one route.
func BenchmarkDiff(b *testing.B) {
	for _, n := range []int{500, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPasses(b, n)
			e := engineOf(<-p.out)
			view := attach(b, e, 1)[0]
			old := view.Current()
			p.store.Submit([]mesh.Change{flip("r")})
			next := <-p.out
			e.Update(next.world, next.dirty)
			now := view.Current()
			b.ReportAllocs()
			for b.Loop() {
				if len(old.Diff(now, snapshot.VirtualHost)) == 0 {
					b.Fatal("nothing differs")
				}
			}
		})
	}
}

// BenchmarkAttachWorkload is a further proxy of a namespace whose workload
// accepts what no other does.
func BenchmarkAttachWorkload(b *testing.B) {
	p := newPasses(b, 50)
	e := engineOf(<-p.out)
	p.store.Submit([]mesh.Change{
		{Ref: object.Ref{Kind: object.KindService, Namespace: "ns0", Name: "web"}, Object: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns0", Name: "web"},
			Spec: corev1.ServiceSpec{ClusterIP: "10.97.0.1", Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}}}},
		{Ref: object.Ref{Kind: object.KindPod, Namespace: "ns0", Name: "web"}, Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns0", Name: "web", Labels: map[string]string{"app": "web"}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.2.0.1", PodIPs: []corev1.PodIP{{IP: "10.2.0.1"}}}}},
	})
	next := <-p.out
	e.Update(next.world, next.dirty)
	attach(b, e, 1)
	b.ReportAllocs()
	for b.Loop() {
		v, err := e.Attach(b.Context(), &snapshot.Client{NodeID: "web", Role: snapshot.RoleSidecar, Namespace: "ns0", Pod: "web", IP: "10.2.0.1"})
		if err != nil {
			b.Fatal(err)
		}
		v.Close()
	}
}
