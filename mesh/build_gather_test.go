package mesh

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// inlineEntry is a ServiceEntry of a host that lists so many endpoints itself, as old as its
// number says.
func inlineEntry(namespace string, i int, host string, ports, endpoints int) Change {
	o := &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("z%05d", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))},
		Spec: networking.ServiceEntry{Hosts: []string{host}, Resolution: networking.ServiceEntry_STATIC}}
	for p := range ports {
		o.Spec.Ports = append(o.Spec.Ports, &networking.ServicePort{Number: uint32(1000 + p), Name: fmt.Sprint("tcp-", p), Protocol: "TCP"}) //nolint:gosec // few
	}
	for e := range endpoints {
		o.Spec.Endpoints = append(o.Spec.Endpoints, &networking.WorkloadEntry{Address: fmt.Sprintf("198.%d.%d.%d", i%250, e/250, e%250)})
	}
	return Change{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: namespace, Name: o.Name}, Object: o}
}

// servedOf counts the endpoints of clusters of the namespace's services.
func servedOf(w *World, namespace string) (n int) {
	for _, h := range w.Hosts() {
		for i, s := range h.Services {
			if s.Namespace == namespace {
				n += len(h.Endpoints[i].Endpoints) * len(s.Ports)
			}
		}
	}
	return n
}

// TestServicesDeclaredTwiceAreBounded: a ServiceEntry for the host of a Service of its own
// namespace adds to what the Service asks for, and takes nothing of the Service's share.
func TestServicesDeclaredTwiceAreBounded(t *testing.T) {
	const machines, ports = 40, 50 // 2,000 of each Service
	most := 10 * machines * ports
	b := newBuilder()
	b.world.Config.ExportedResources = most / allEndpoints
	for i := range machines {
		b.apply([]Change{machine("evil", i, "m", 1)})
	}
	for i := range 20 {
		b.apply([]Change{selectingService("evil", i, "m", ports)})
	}
	b.finish()
	for i := range 20 {
		b.apply([]Change{inlineEntry("evil", 100+i, fmt.Sprintf("s%03d.evil.svc.cluster.local", i), 1, 1)})
	}
	w, _ := b.finish()
	if got := servedOf(w, "evil"); got > most {
		t.Errorf("%d endpoints of clusters are served, more than %d", got, most)
	}
	h := w.Host("s000.evil.svc.cluster.local")
	if len(h.Endpoints[0].Endpoints) != machines || len(h.Endpoints[1].Endpoints) != 1 {
		t.Errorf("the oldest Service has %d endpoints, and its entry %d", len(h.Endpoints[0].Endpoints), len(h.Endpoints[1].Endpoints))
	}
}

// TestMergedEntriesAreToldOfCuts: what ServiceEntries of a namespace list together for a host
// is asked for once, whole; what has no room is told.
func TestMergedEntriesAreToldOfCuts(t *testing.T) {
	const most = 6000
	b := newBuilder()
	b.world.Config.ExportedResources = most / allEndpoints
	var changes []Change
	for i := range 40 {
		changes = append(changes, machine("evil", i, "m", 1))
	}
	changes = append(changes, selectingService("evil", 0, "m", 37), inlineEntry("evil", 10, "z.example", 50, 300), inlineEntry("evil", 11, "z.example", 50, 0))
	b.apply(changes)
	w, _ := b.finish()
	told := false
	for f := range w.Findings() {
		told = told || f.Object.Name == "z00010" && strings.Contains(f.Message, "210 of its 300 endpoints get no requests")
	}
	at := b.shares.of["evil"]
	if served := len(w.Host("z.example").Endpoints[0].Endpoints); served != (most-40*37)/50 || !told || !at.crowded || at.hosts["z.example"].n != 15000 {
		t.Errorf("%d endpoints are served, told %t, crowded %t, %d wanted", served, told, at.crowded, at.hosts["z.example"].n)
	}
}

// TestEntriesOfOneHostAreLinear: four times as many ServiceEntries for one host are about four
// times as much work for each change, and all of them are in force.
func TestEntriesOfOneHostAreLinear(t *testing.T) {
	cost := func(n int) float64 {
		b := newBuilder()
		for i := range n {
			c := inlineEntry("evil", i, "h.example", 1, 1)
			c.Object.(*networkingv1.ServiceEntry).Spec.Endpoints[0].Address = fmt.Sprintf("198.18.%d.%d", i/250, i%250)
			b.apply([]Change{c})
		}
		w, _ := b.finish()
		if h := w.Host("h.example"); len(h.Services) != 1 || len(h.Endpoints[0].Endpoints) != n {
			t.Fatalf("%d services, %d endpoints", len(h.Services), len(h.Endpoints[0].Endpoints))
		}
		b.turns.on = true
		var before, after runtime.MemStats
		b.apply([]Change{inlineEntry("evil", n, "h.example", 1, 1)})
		runtime.ReadMemStats(&before)
		start := time.Now()
		b.finish()
		runtime.ReadMemStats(&after)
		t.Logf("one change beside %d entries took %s", n, time.Since(start))
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	if few, many := cost(250), cost(1000); many > 8*few {
		t.Errorf("one change beside 1000 entries allocates %.1f MB, beside 250 %.1f MB", many/1e6, few/1e6)
	}
}

// TestOldHostsAreNotCutBeforeTheyAreCounted: a host that comes to a crowded namespace, older
// than others, is never published with fewer endpoints than it may have, though its namespace
// has had its turn in the pass.
func TestOldHostsAreNotCutBeforeTheyAreCounted(t *testing.T) {
	const machines, ports, fit, small = 400, 20, 5, 14 // 8,000 of each Service, and 800 of each small one
	most := machines * (fit*ports + small*2)
	b := newBuilder()
	b.world.Config.ExportedResources = most / allEndpoints
	for i := range machines {
		b.apply([]Change{machine("evil", i, "m", 1)})
	}
	for i := range small { // each is made without a look at how much it is
		b.apply([]Change{selectingService("evil", 10+i, "m", 2)})
	}
	for i := range fit + 2 {
		b.apply([]Change{selectingService("evil", 30+i, "m", ports)})
	}
	b.finish()
	b.turns.on = true
	b.apply([]Change{selectingService("evil", 0, "m", ports), machine("evil", 0, "m", 2)})
	for n := 0; n == 0 || len(b.turns.left) > 0; n++ {
		w, _ := b.finish()
		if h := w.Host("s000.evil.svc.cluster.local"); h != nil && len(h.Endpoints[0].Endpoints) != machines {
			t.Fatalf("after %d passes the oldest host has %d endpoints", n+1, len(h.Endpoints[0].Endpoints))
		}
		if n > 50 {
			t.Fatal("hosts are left over for ever")
		}
	}
	if got := servedOf(&b.world, "evil"); got != most {
		t.Errorf("%d endpoints of clusters are served in the end", got)
	}
}
