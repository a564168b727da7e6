package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// selectingService is a Service of the namespace for all workloads of an app, as old as its
// number says, 0 the oldest.
func selectingService(namespace string, i int, app string, ports int) Change {
	o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("s%03d", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}}
	o.Spec = corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.96.%d.%d", len(namespace), i%250), Selector: map[string]string{"app": app}}
	for p := range ports {
		o.Spec.Ports = append(o.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("http-", p), Port: int32(80 + p)}) //nolint:gosec // few
	}
	return Change{Ref: object.Ref{Kind: object.KindService, Namespace: namespace, Name: o.Name}, Object: o}
}

func machine(namespace string, i int, app string, weight uint32) Change {
	o := &networkingv1.WorkloadEntry{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprint("m", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))},
		Spec: networking.WorkloadEntry{Address: fmt.Sprintf("192.%d.%d.%d", len(namespace), i/250, i%250), Labels: map[string]string{"app": app}, Weight: weight}}
	return Change{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: namespace, Name: o.Name}, Object: o}
}

// endpointsByHost are the endpoints of all hosts, as text.
func endpointsByHost(w *World) map[string]string {
	out := map[string]string{}
	for name, h := range w.Hosts() {
		var s strings.Builder
		for _, set := range h.Endpoints {
			for _, e := range set.Endpoints {
				fmt.Fprint(&s, e.Address, e.Ports, e.Weight, " ")
			}
		}
		out[name] = s.String()
	}
	return out
}

// TestEndpointsTakeTurns: one workload behind all services of a namespace is more than one
// pass takes in. What another namespace changes is in the next World, all hosts come to their
// turn, however often the workload changes, and in the end they are what a start would make.
func TestEndpointsTakeTurns(t *testing.T) {
	const services, machines = 60, 500
	changes := []Change{selectingService("honest", 0, "h", 1), machine("honest", 0, "h", 1)}
	for i := range services {
		changes = append(changes, selectingService("evil", i, "m", 2))
	}
	for i := range machines {
		changes = append(changes, machine("evil", i, "m", 1))
	}
	b := newBuilder()
	b.apply(changes)
	b.finish()
	if len(b.turns.left) > 0 {
		t.Fatalf("%d hosts are missing in the first World", len(b.turns.left))
	}
	b.turns.on = true
	weightOf := func(w *World, host string, address string) uint32 {
		return w.Host(host + ".svc.cluster.local").Endpoints[0].At(address)[0].Weight
	}
	r := rand.New(rand.NewPCG(1, 1))
	taken := map[string]bool{}
	for pass := range uint32(20) {
		b.apply([]Change{machine("evil", r.IntN(machines), "m", 10+pass), machine("evil", 0, "m", 10+pass), machine("honest", 0, "h", 10+pass)})
		w, dirty := b.finish()
		if got := weightOf(w, "s000.honest", "192.6.0.0"); got != 10+pass {
			t.Fatalf("in pass %d the honest endpoint has weight %d", pass, got)
		}
		if n := len(dirty.Hosts); n > 1+hostShare/(2*machines) {
			t.Fatalf("in pass %d %d hosts were made", pass, n)
		}
		for host := range dirty.Hosts {
			taken[host] = true
		}
		if len(b.turns.left) == 0 || b.due().IsZero() {
			t.Fatalf("in pass %d nothing is left over, or nobody would look at it", pass)
		}
		if w := b.waiting(); !w(object.Ref{Kind: object.KindWorkloadEntry, Namespace: "evil"}) || w(object.Ref{Kind: object.KindWorkloadEntry, Namespace: "honest"}) {
			t.Fatal("others are said to wait than those that do")
		}
	}
	if len(taken) != services+1 {
		t.Errorf("%d hosts of %d came to their turn", len(taken), services+1)
	}
	last := append(slices.Clone(changes), machine("honest", 0, "h", 29))
	for i := range machines {
		last = append(last, machine("evil", i, "m", 99))
		b.apply([]Change{machine("evil", i, "m", 99)})
	}
	w, _ := b.finish()
	for n := 0; len(b.turns.left) > 0; n++ {
		if w, _ = b.finish(); n > services {
			t.Fatal("hosts are left over for ever")
		}
	}
	want := endpointsByHost(Build(last))
	for host, got := range endpointsByHost(w) {
		if got != want[host] {
			t.Errorf("%s is not what a start makes of it", host)
		}
	}
	b.finish()
	if len(b.turns.served)+len(b.turns.left) > 0 {
		t.Error("something is kept of turns that are over")
	}
}

// TestNamesOfOthersCostThemNothing: hosts that look as if they were Services of another
// namespace are the work of the one that declares them, and nobody else waits for them.
func TestNamesOfOthersCostThemNothing(t *testing.T) {
	const machines, hosts = 450, 60
	b := newBuilder()
	b.apply([]Change{selectingService("honest", 0, "h", 1), machine("honest", 0, "h", 1)})
	for i := range machines {
		b.apply([]Change{machine("evil", i, "m", 1)})
	}
	for i := range hosts {
		c := inlineEntry("evil", i, fmt.Sprintf("a%d.honest.svc.cluster.local", i), 2, 0)
		c.Object.(*networkingv1.ServiceEntry).Spec.WorkloadSelector = &networking.WorkloadSelector{Labels: map[string]string{"app": "m"}}
		b.apply([]Change{c})
	}
	b.finish()
	b.turns.on = true
	b.apply([]Change{machine("evil", 0, "m", 2)})
	b.finish()
	b.apply([]Change{machine("evil", 0, "m", 3), machine("honest", 0, "h", 3)})
	w, _ := b.finish()
	if got := w.Host("s000.honest.svc.cluster.local").Endpoints[0].Endpoints[0].Weight; got != 3 {
		t.Errorf("the honest endpoint has weight %d", got)
	}
	if b.waiting()(object.Ref{Kind: object.KindWorkloadEntry, Namespace: "honest"}) || len(b.turns.left) == 0 {
		t.Errorf("honest objects are said to wait for %d hosts", len(b.turns.left))
	}
}

// TestEndpointsOfOneNamespaceAreBounded: services that select the same workloads multiply with
// them. The oldest services have all of theirs, the same whatever came first, the others are
// told, and get theirs when there is room.
func TestEndpointsOfOneNamespaceAreBounded(t *testing.T) {
	const machines, ports = 400, 50 // 20,000 of each service
	fit := DefaultConfig().ExportedResources * allEndpoints / (machines * ports)
	var changes []Change
	for i := range machines {
		changes = append(changes, machine("evil", i, "m", 1))
	}
	for i := range fit + 2 {
		changes = append(changes, selectingService("evil", i, "m", ports))
	}
	changes = append(changes, selectingService("honest", 0, "h", 1), machine("honest", 0, "h", 1))
	served := func(w *World) (out []int) {
		for _, h := range w.Hosts() {
			out = append(out, len(h.Endpoints[0].Endpoints))
		}
		return out
	}
	want := slices.Concat([]int{machines, 1}, slices.Repeat([]int{machines}, fit-1), []int{0, 0}) // in the order of names: s000.evil, s000.honest, …
	b := newBuilder()
	for _, c := range changes {
		b.apply([]Change{c})
	}
	w, _ := b.finish()
	if got := served(w); !slices.Equal(got, want) {
		t.Errorf("endpoints are %v, want %v", got, want)
	}
	backwards := newBuilder()
	for _, c := range slices.Backward(changes) {
		backwards.apply([]Change{c})
		if c.Ref.Kind == object.KindService {
			backwards.finish()
		}
	}
	w2, _ := backwards.finish()
	if got := served(w2); !slices.Equal(got, want) {
		t.Errorf("when the youngest come first, endpoints are %v", got)
	}
	told := func(w *World) (out []string) {
		for f := range w.Findings() {
			if strings.Contains(f.Message, "with the older hosts of namespace evil") {
				out = append(out, f.Object.Name)
			}
		}
		slices.Sort(out)
		return out
	}
	young := []string{fmt.Sprintf("s%03d", fit), fmt.Sprintf("s%03d", fit+1)}
	if !slices.Equal(told(w), young) || !slices.Equal(told(w2), young) {
		t.Errorf("told are %v and %v", told(w), told(w2))
	}
	b.apply([]Change{{Ref: selectingService("evil", 0, "m", 1).Ref}, {Ref: selectingService("evil", 1, "m", 1).Ref}})
	if w, _ = b.finish(); len(told(w)) > 0 || slices.Contains(served(w), 0) {
		t.Errorf("there is room, endpoints are %v, and %v are told", served(w), told(w))
	}
	for _, c := range changes {
		b.apply([]Change{{Ref: c.Ref}})
	}
	b.finish()
	if len(b.shares.of)+len(b.shares.at)+len(b.turns.costs) > 0 {
		t.Error("something is kept of hosts that are gone")
	}
}

// TestSlicesAreNotLookedThrough: who is behind an address that an EndpointSlice lists is
// looked for when its record is made, and not for each workload that comes.
func TestSlicesAreNotLookedThrough(t *testing.T) {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "l-1", Labels: map[string]string{discoveryv1.LabelServiceName: "l"}}, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Port: new(int32(80))}}}
	slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.1"}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "p"}}, {Addresses: []string{"10.1.0.2"}}}
	service := selectingService("a", 0, "", 1)
	o := service.Object.(*corev1.Service)
	o.Name, service.Ref.Name, o.Spec.Selector = "l", "l", nil
	pod := func(name, ip string) Change {
		return Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: readObject[corev1.Pod](t, fmt.Sprintf("metadata: {name: %s, namespace: a}\nspec: {serviceAccountName: of-%s, containers: [{name: c}]}\nstatus: {podIP: %s}", name, name, ip))}
	}
	b := newBuilder()
	b.apply([]Change{service, {Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "a", Name: "l-1"}, Object: slice}})
	b.finish()
	identities := func() string {
		w, _ := b.finish()
		var out []string
		for _, e := range w.Host("l.a.svc.cluster.local").Endpoints[0].Endpoints {
			out = append(out, e.Workload.ServiceAccount)
		}
		return strings.Join(out, " ")
	}
	b.apply([]Change{pod("q", "10.1.0.2"), pod("p", "10.1.0.9")})
	if got := identities(); got != "default of-q" {
		t.Errorf("with the Pod at one address, accounts are %s", got)
	}
	b.apply([]Change{pod("p", "10.1.0.1"), {Ref: pod("q", "10.1.0.2").Ref}})
	if got := identities(); got != "of-p default" {
		t.Errorf("when one Pod comes to its address and the other goes, accounts are %s", got)
	}
	b.apply([]Change{pod("r", "10.1.0.7"), machine("a", 1, "m", 1)})
	if len(b.touched) > 0 {
		t.Errorf("%v are made again for workloads that no slice names", b.touched)
	}
}

// TestYoungSlicesAreNotRead: of more addresses than a service may have, those of the oldest
// EndpointSlices are read.
func TestYoungSlicesAreNotRead(t *testing.T) {
	service := selectingService("a", 0, "", 1)
	service.Object.(*corev1.Service).Spec.Selector = nil
	changes := []Change{service}
	const slicesThatFit = bounds.MaxListed / 1000
	for i := range slicesThatFit + 5 {
		s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprintf("x%02d", 99-i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0)), Labels: map[string]string{discoveryv1.LabelServiceName: "s000"}}, AddressType: discoveryv1.AddressTypeIPv4,
			Ports: []discoveryv1.EndpointPort{{Port: new(int32(80))}}}
		for e := range 1000 {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", i, e/250, e%250)}})
		}
		changes = append(changes, Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "a", Name: s.Name}, Object: s})
	}
	w := Build(changes)
	list := w.Host("s000.a.svc.cluster.local").Endpoints[0].Endpoints
	for _, e := range list {
		if young := fmt.Sprintf("10.%d.", slicesThatFit); strings.HasPrefix(e.Address, young) {
			t.Fatalf("%s is served in place of an older one", e.Address)
		}
	}
	if len(list) != bounds.MaxListed {
		t.Errorf("%d endpoints are served", len(list))
	}
	for f := range w.Findings() {
		if f.Object == service.Ref && strings.Contains(f.Message, "the 5000 youngest endpoints get no requests") {
			return
		}
	}
	t.Error("nothing is told")
}

// TestReadyEndpointsOfYoungSlices: what is not served anyway, and what is not ready, takes no
// room of EndpointSlices that are younger, and what has no room is told.
func TestReadyEndpointsOfYoungSlices(t *testing.T) {
	const ports = 20
	room := bounds.MaxListed / ports
	service := selectingService("a", 0, "", ports)
	service.Object.(*corev1.Service).Spec.Selector = nil
	slice := func(age, n int, conditions discoveryv1.EndpointConditions, kind discoveryv1.AddressType) Change {
		s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("x", age), CreationTimestamp: metav1.NewTime(time.Unix(int64(age), 0)), Labels: map[string]string{discoveryv1.LabelServiceName: "s000"}}, AddressType: kind}
		for p := range ports {
			s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: new(fmt.Sprint("http-", p)), Port: new(int32(80 + p))}) //nolint:gosec // few
		}
		for e := range n {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", age, e/250, e%250)}, Conditions: conditions})
		}
		return Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "a", Name: s.Name}, Object: s}
	}
	ends, notReady, v4 := discoveryv1.EndpointConditions{Ready: new(false), Terminating: new(true)}, discoveryv1.EndpointConditions{Ready: new(false)}, discoveryv1.AddressTypeIPv4
	for _, c := range []struct {
		what            string
		old             Change
		served, healthy int
		told            string
	}{
		{"that end", slice(1, room, ends, v4), room, room, ""},
		{"of names", slice(1, room, discoveryv1.EndpointConditions{}, discoveryv1.AddressTypeFQDN), room, room, ""},
		{"that are not ready", slice(1, room, notReady, v4), room, room, fmt.Sprintf("the %d youngest endpoints get no requests", room)},
		{"that are not ready, half as many", slice(1, room/2, notReady, v4), room, room, fmt.Sprintf("the %d youngest endpoints get no requests", room/2)},
		{"that are ready", slice(1, room, discoveryv1.EndpointConditions{}, v4), room, room, fmt.Sprintf("the %d youngest endpoints get no requests", room)},
	} {
		w := Build([]Change{service, c.old, slice(2, room, discoveryv1.EndpointConditions{}, v4)})
		list := w.Host("s000.a.svc.cluster.local").Endpoints[0].Endpoints
		healthy, told := 0, ""
		for _, e := range list {
			if e.Healthy {
				healthy++
			}
		}
		for f := range w.Findings() {
			if f.Object == service.Ref {
				told += f.Message
			}
		}
		if len(list) != c.served || healthy != c.healthy || (c.told == "") != (told == "") || !strings.Contains(told, c.told) {
			t.Errorf("beside older endpoints %s: %d served, %d healthy, told %q", c.what, len(list), healthy, told)
		}
	}
}
