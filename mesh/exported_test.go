package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// serviceOf is a Service of the namespace "evil" with ports of TCP.
func serviceOf(name string, age time.Duration, ports int, exportTo string) Change {
	o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1_000_000, 0).Add(-age))}}
	o.Spec.ClusterIPs = []string{"10.96.7.7"}
	if exportTo != "" {
		o.Annotations = map[string]string{registry.ExportToAnnotation: exportTo}
	}
	for i := range ports {
		o.Spec.Ports = append(o.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("tcp-", i), Port: int32(1000 + i)}) //nolint:gosec // few
	}
	return Change{Ref: object.Ref{Kind: object.KindService, Namespace: "evil", Name: name}, Object: o}
}

// seen are the names of Services and ServiceEntries of "evil" that namespaces see.
func seen(w *World, from string) (out []string) {
	v := w.View(Scope{Namespace: from})
	for host := range w.Hosts() {
		if s, _ := v.Service(host); s != nil {
			out = append(out, s.Ref.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func keptOf(w *World) map[string]object.Finding {
	out := map[string]object.Finding{}
	for f := range w.Findings() {
		if f.Field == "exportTo" {
			out[f.Object.Name] = f
		}
	}
	return out
}

// TestExportsAreBounded: what a namespace puts on the sidecars of others has a bound, by
// age and in whatever order it comes; beyond it objects are served at home only. What is
// small does not count, and neither does what is exported to nobody.
func TestExportsAreBounded(t *testing.T) {
	oldest, newest := entryOf("a", 3*time.Hour, 8, 60, 8), serviceOf("c", time.Hour, 100, "") // 8 × 8 × 61 = 3904, and 200
	small, home := entryOf("b", 0, 1, 1, 8), serviceOf("d", 5*time.Hour, 1000, ".")
	for _, p := range oldest.Object.(*networkingv1.ServiceEntry).Spec.Ports {
		p.Protocol = "TCP"
	}
	changes := []Change{oldest, newest, small, home}
	for range 4 {
		rand.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
		b := newBuilder()
		var w *World
		step := func(c ...Change) *Dirty {
			b.apply(c)
			var dirty *Dirty
			w, dirty = b.finish()
			return dirty
		}
		expect := func(when string, others ...string) {
			t.Helper()
			if got := seen(w, "shop"); !slices.Equal(got, others) {
				t.Errorf("%s: others see %v, want %v", when, got, others)
			}
			if got := seen(w, "evil"); !slices.Contains(got, "c") && slices.Contains(others, "c") {
				t.Errorf("%s: its own namespace sees %v", when, got)
			}
		}
		for _, c := range changes {
			step(c)
		}
		expect("all four", "a", "b")
		if got := seen(w, "evil"); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
			t.Errorf("its own namespace sees %v", got)
		}
		kept := keptOf(w)
		if f := kept["c"]; len(kept) != 1 || f.Winner != oldest.Ref {
			t.Fatalf("found %v, want c beside a", kept)
		}
		dirty := step(Change{Ref: oldest.Ref, Object: nil})
		if expect("with room", "b", "c"); len(keptOf(w)) != 0 {
			t.Errorf("found %v with room", keptOf(w))
		}
		if dirty.Hosts["c.evil.svc.cluster.local"] == TouchNone {
			t.Error("a host that others see again is not made anew")
		}
		step(oldest)
		expect("when the oldest is back", "a", "b")
		step(Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("fairway: {exportedResources: 1000}")})
		expect("lowered", "b", "c")
		step(Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("fairway: {exportedResources: 5000}")})
		expect("raised", "a", "b", "c")
		step(Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("rootNamespace: evil")})
		expect("of the root namespace", "a", "b", "c")
		step(Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: nil})
		expect("by default again", "a", "b")
	}
}

// TestKeptHomeShowsNothingMore: what its own namespace does not see stays hidden from it
// when an object is not exported any more, and what nobody sees does not count.
func TestKeptHomeShowsNothingMore(t *testing.T) {
	large, elsewhere, nobody := serviceOf("large", 3*time.Hour, 1000, ""), serviceOf("elsewhere", time.Hour, 1000, "shop"), serviceOf("nobody", 2*time.Hour, 1000, "~")
	b := newBuilder()
	b.apply([]Change{{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("fairway: {exportedResources: 3000}")}, large, elsewhere, nobody}) // 2,000 each, of 3,000, and none
	w, _ := b.finish()
	if got := seen(w, "shop"); !slices.Equal(got, []string{"large"}) {
		t.Errorf("others see %v", got)
	}
	if got := seen(w, "evil"); !slices.Equal(got, []string{"large"}) {
		t.Errorf("its own namespace sees %v", got)
	}
	if kept := keptOf(w); len(kept) != 1 || kept["elsewhere"].Winner != large.Ref {
		t.Errorf("found %v", kept)
	}
}

// slicesOf are EndpointSlices of a Service of "evil", 100 addresses each.
func slicesOf(service string, addresses, ports int) (out []Change) {
	for n := 0; n*100 < addresses; n++ {
		o := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "evil", Name: fmt.Sprint(service, "-", n), Labels: map[string]string{discoveryv1.LabelServiceName: service}}, AddressType: discoveryv1.AddressTypeIPv4}
		for i := range ports {
			name, port := fmt.Sprint("tcp-", i), int32(1000+i) //nolint:gosec // few
			o.Ports = append(o.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port})
		}
		for i := range min(100, addresses-n*100) {
			o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.77.%d.%d", n, i)}})
		}
		out = append(out, Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "evil", Name: o.Name}, Object: o})
	}
	return out
}

// TestPodsOfHeadlessServicesCountAsExports: each has a listener of its own for each port,
// on the sidecars of all namespaces. What a StatefulSet has fits in.
func TestPodsOfHeadlessServicesCountAsExports(t *testing.T) {
	headless := func(name string, age time.Duration, ports int) Change {
		c := serviceOf(name, age, ports, "")
		c.Object.(*corev1.Service).Spec.ClusterIP, c.Object.(*corev1.Service).Spec.ClusterIPs = "None", []string{"None"}
		return c
	}
	changes := append(append([]Change{headless("honest", 2*time.Hour, 3), headless("many", time.Hour, 20)}, slicesOf("honest", 100, 3)...), slicesOf("many", 300, 20)...)
	for range 4 {
		rand.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
		b := newBuilder()
		var w *World
		step := func(c ...Change) {
			b.apply(c)
			w, _ = b.finish()
		}
		for _, c := range changes {
			step(c)
		}
		if got := seen(w, "shop"); !slices.Equal(got, []string{"honest"}) {
			t.Errorf("others see %v", got)
		}
		if got := seen(w, "evil"); !slices.Equal(got, []string{"honest", "many"}) {
			t.Errorf("its own namespace sees %v", got)
		}
		if f := keptOf(w)["many"]; f.Winner.Name != "honest" {
			t.Errorf("found %v", keptOf(w))
		}
		if all := Build(changes); !slices.Equal(seen(all, "shop"), []string{"honest"}) {
			t.Errorf("from nothing others see %v", seen(all, "shop"))
		}
		gone := slicesOf("many", 300, 20)
		step(Change{Ref: gone[0].Ref, Object: nil}, Change{Ref: gone[1].Ref, Object: nil}) // 100 pods × 20 ports are left
		if got := seen(w, "shop"); !slices.Equal(got, []string{"honest", "many"}) || len(keptOf(w)) > 0 {
			t.Errorf("with fewer pods others see %v; found %v", got, keptOf(w))
		}
		step(gone...)
		step(Change{Ref: gone[0].Ref, Object: nil}, Change{Ref: gone[1].Ref, Object: nil}, Change{Ref: gone[2].Ref, Object: nil})
		if got := seen(w, "shop"); !slices.Equal(got, []string{"honest", "many"}) || len(keptOf(w)) > 0 || len(b.exported.pods) != 1 {
			t.Errorf("without pods others see %v; found %v; pods %v", got, keptOf(w), b.exported.pods)
		}
	}
}

// TestNamesOfClustersCountAsExports: each cluster of a ServiceEntry says its subjectAltNames
// again.
func TestNamesOfClustersCountAsExports(t *testing.T) {
	long, plain := entryOf("long", 0, 1, 0, 50), entryOf("plain", 0, 1, 0, 50)
	plain.Object.(*networkingv1.ServiceEntry).Spec.SubjectAltNames = []string{"one.example", "two.example"}
	for i := range 5000 {
		long.Object.(*networkingv1.ServiceEntry).Spec.SubjectAltNames = append(long.Object.(*networkingv1.ServiceEntry).Spec.SubjectAltNames, fmt.Sprintf("name-%d.of.a.server.example", i))
	}
	w := Build([]Change{long, plain})
	if got := seen(w, "shop"); !slices.Equal(got, []string{"plain"}) {
		t.Errorf("others see %v", got)
	}
	if got := seen(w, "evil"); !slices.Equal(got, []string{"long", "plain"}) {
		t.Errorf("its own namespace sees %v", got)
	}
}

// TestSmallExportsAreBounded: objects that put little on other sidecars count together: all
// that they put there, listeners of TCP, and the ports at which listeners are. The youngest
// are kept to their namespace.
func TestSmallExportsAreBounded(t *testing.T) {
	service := func(i, ports int, word, ip string, first int) Change {
		c := serviceOf(fmt.Sprintf("%s%05d", word, i), 0, ports, "")
		o := c.Object.(*corev1.Service)
		o.Spec.ClusterIP, o.Spec.ClusterIPs = ip, []string{ip}
		for p := range o.Spec.Ports {
			o.Spec.Ports[p].Name, o.Spec.Ports[p].Port = fmt.Sprint(word, "-", p), int32(first+p) //nolint:gosec // few
		}
		return c
	}
	small := Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte("fairway: {exportedResources: 100}")}
	for name, c := range map[string]struct {
		make func(i int) Change
		most int // of them that others see
	}{
		"clusters":          {func(i int) Change { return service(i, 10, "http", "10.1.1.1", 1000) }, (600 - 10) / 10},
		"of headless ones":  {func(i int) Change { return service(i, 10, "http", "None", 1000) }, (600 - 10) / 20},
		"listeners of TCP":  {func(i int) Change { return service(i, 2, "tcp", "10.1.1.1", 1000) }, 50},
		"listeners of HTTP": {func(i int) Change { return service(i, 2, "http", "10.1.1.1", 1000+2*i) }, 50},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuilder()
			changes := []Change{small}
			for i := range 100 {
				changes = append(changes, c.make(i))
			}
			b.apply(changes)
			w, _ := b.finish()
			if got := seen(w, "shop"); len(got) != c.most {
				t.Errorf("others see %d, want %d", len(got), c.most)
			}
			if got := seen(w, "evil"); len(got) != 100 {
				t.Errorf("its own namespace sees %d", len(got))
			}
			if kept := keptOf(w); len(kept) != 100-c.most {
				t.Errorf("%d findings", len(kept))
			}
			b.apply([]Change{{Ref: changes[1].Ref, Object: nil}}) // the oldest
			if w, _ = b.finish(); len(seen(w, "shop")) != c.most {
				t.Errorf("with room others see %d", len(seen(w, "shop")))
			}
			b.apply([]Change{{Ref: small.Ref, Object: nil}})
			if w, _ = b.finish(); len(seen(w, "shop")) != 99 || len(keptOf(w)) != 0 {
				t.Errorf("by default others see %d", len(seen(w, "shop")))
			}
		})
	}
}

// TestDefaultsSayWhatIsExported: what the mesh's default keeps at home counts for nothing, and
// takes no room from what is exported; when the default changes all is counted again.
func TestDefaultsSayWhatIsExported(t *testing.T) {
	config := func(rest string) Change {
		return Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh.yaml"}, Object: []byte(rest + "fairway: {exportedResources: 100}")}
	}
	open, private := config(""), config("defaultServiceExportTo: ['.']\n")
	changes := []Change{serviceOf("public", 0, 1, "*")}
	for i := range 320 {
		changes = append(changes, serviceOf(fmt.Sprintf("p%03d", i), 10*time.Hour, 2, ""))
	}
	check := func(w *World, atHome bool) {
		t.Helper()
		if got := slices.Contains(seen(w, "shop"), "public"); got != atHome || (len(keptOf(w)) == 0) != atHome {
			t.Errorf("the public Service is seen: %v, and %d are told that they are too many, with all others at home: %v", got, len(keptOf(w)), atHome)
		}
	}
	first := map[bool]Change{false: open, true: private}
	for _, atHome := range []bool{false, true} {
		b := newBuilder()
		b.apply(append([]Change{first[atHome]}, changes...))
		for range 3 {
			w, _ := b.finish()
			check(w, atHome)
			if atHome && !slices.Equal(seen(w, "shop"), []string{"public"}) || len(seen(w, "evil")) != len(changes) {
				t.Errorf("another namespace sees %v, their own %d", seen(w, "shop"), len(seen(w, "evil")))
			}
			atHome = !atHome
			b.apply([]Change{first[atHome]})
		}
	}
}
