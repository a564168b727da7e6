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

// BenchmarkLearned is a pass in a mesh that learns, for 500 workloads of 100 namespaces that
// each use ten hosts: of a route that some of them use, of one that none uses, and of a new host.
func BenchmarkLearned(b *testing.B) {
	const workloads, uses = 500, 10
	for _, n := range []int{2000, 10000} {
		for _, what := range []string{"used", "unused", "new"} {
			b.Run(fmt.Sprintf("%d/%s", n, what), func(b *testing.B) {
				p := newPasses(b, n)
				e := engineOf(<-p.out)
				p.store.Submit([]mesh.Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte("fairway: {learnedScope: '*'}")}})
				first := <-p.out
				e.Update(first.world, first.dirty)
				for i := range workloads {
					c := envoy140(fmt.Sprintf("team%d", i%100), fmt.Sprintf("p%d", i), 40)
					v, err := e.Attach(b.Context(), &c)
					if err != nil {
						b.Fatal(err)
					}
					var names []string
					for k := range uses {
						s := (i*7 + k*31) % n
						names = append(names, fmt.Sprintf("8080/s%d.ns%d", s, s%10))
					}
					for _, host := range v.Ask(names) {
						if host == "" {
							b.Fatalf("%v are no hosts", names)
						}
					}
				}
				changes := make([]pass, 0, 1)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					b.StopTimer()
					switch what {
					case "used":
						p.store.Submit([]mesh.Change{flip(fmt.Sprint("r", i))})
					case "unused":
						c := flip(fmt.Sprint("r", i))
						vs := c.Object.(*networkingv1.VirtualService)
						vs.Namespace, vs.Name, vs.Spec.Hosts = "ns9", "s1999", []string{"s1999.ns9.svc.cluster.local"}
						c.Ref.Namespace, c.Ref.Name = vs.Namespace, vs.Name
						p.store.Submit([]mesh.Change{c})
					case "new":
						meta := metav1.ObjectMeta{Namespace: "ns0", Name: fmt.Sprintf("new%d", i)}
						p.store.Submit([]mesh.Change{{Ref: object.Ref{Kind: object.KindService, Namespace: meta.Namespace, Name: meta.Name}, Object: &corev1.Service{
							ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.97.%d.%d", i>>8&255, i&255), Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}}}}})
					}
					changes = append(changes[:0], <-p.out)
					b.StartTimer()
					e.Update(changes[0].world, changes[0].dirty)
				}
			})
		}
	}
}
