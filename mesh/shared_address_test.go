package mesh

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// servedAs says who stands behind the endpoints of a host, and whether with mutual TLS.
func servedAs(w *World, host string) string {
	var out []string
	for _, e := range w.Host(host).Endpoints[0].Endpoints {
		out = append(out, fmt.Sprintf("%s %s %s %v", e.Address, e.Workload.Ref, e.Workload.ServiceAccount, e.Workload.MutualTLS))
	}
	return strings.Join(out, ", ")
}

// TestAddressesInTurn: whatever the order in which pods of one address come, go and change,
// a Service that lists the address leads to the one that a fresh start would find there.
func TestAddressesInTurn(t *testing.T) {
	pod := func(name, ip, ready, more string) Change {
		return Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}, Object: readObject[corev1.Pod](t, fmt.Sprintf("metadata: {name: %[1]s, namespace: a, labels: {security.istio.io/tlsMode: istio}%[4]s}\nspec: {serviceAccountName: %[1]s}\nstatus: {phase: Running, podIP: %[2]s, conditions: [{type: Ready, status: '%[3]s'}]}", name, ip, ready, more))}
	}
	states := map[string][]Change{}
	for _, name := range []string{"old", "new", "done"} {
		states[name] = []Change{
			{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: name}},
			pod(name, "10.0.0.7", "True", ""), pod(name, "10.0.0.7", "False", ""), pod(name, "10.0.0.8", "True", ""),
			pod(name, "10.0.0.7", "True", ", creationTimestamp: '2024-05-01T00:00:00Z'"),
			pod(name, "10.0.0.7", "True", ", deletionTimestamp: '2024-05-01T00:00:00Z'"),
		}
	}
	fixed := []Change{
		manual(t, "a", "m", "{name: http, port: 80}"),
		manualSlice(t, "a", "m", "m-1", "ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.7]}, {addresses: [10.0.0.8]}]"),
		manual(t, "a", "named", "{name: http, port: 80}"),
		manualSlice(t, "a", "named", "named-1", "ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.7], targetRef: {kind: Pod, name: old}}]"),
		listedEntry(t, "a", "press", "endpoints: [{address: 10.0.0.7}], ports: [{number: 80, name: web, protocol: HTTP}]"),
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := newBuilder()
		b.apply(fixed)
		b.finish()
		last := map[string]Change{}
		for range 6 {
			name := []string{"old", "new", "done"}[r.IntN(3)]
			last[name] = states[name][r.IntN(len(states[name]))]
			b.apply([]Change{last[name]})
			w, _ := b.finish()
			fresh := newBuilder()
			fresh.apply(fixed)
			for _, name := range []string{"done", "new", "old"} {
				if c, ok := last[name]; ok {
					fresh.apply([]Change{c})
				}
			}
			want, _ := fresh.finish()
			for _, host := range []string{"m.a.svc.cluster.local", "named.a.svc.cluster.local", "press.example"} {
				if is, would := servedAs(w, host), servedAs(want, host); is != would {
					t.Fatalf("%s: %s, a fresh start finds %s", host, is, would)
				}
			}
		}
	}
}

// TestAccountOfEntryIsNoticed: naming the account that is the default is a change.
func TestAccountOfEntryIsNoticed(t *testing.T) {
	entry := func(more string) Change {
		return Change{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: "a", Name: "vm"}, Object: readObject[networkingv1.WorkloadEntry](t, "metadata: {name: vm, namespace: a}\nspec: {address: 10.0.0.8, labels: {app: vm}"+more+"}")}
	}
	b := newBuilder()
	b.apply([]Change{entry(""), listedEntry(t, "a", "press", "workloadSelector: {labels: {app: vm}}, ports: [{number: 80, name: web, protocol: HTTP}]")})
	w, _ := b.finish()
	before := servedAs(w, "press.example")
	b.apply([]Change{entry(", serviceAccount: default")})
	w, _ = b.finish()
	if got := servedAs(w, "press.example"); got == before || !strings.HasSuffix(got, "default true") {
		t.Errorf("%s, before %s", got, before)
	}
}
