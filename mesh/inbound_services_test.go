package mesh

import (
	"fmt"
	"strings"
	"testing"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// listedPod is a Pod with one address in the namespace, with label app=NAME.
func listedPod(t *testing.T, ns, name, ip, more string) Change {
	t.Helper()
	return Change{Ref: object.Ref{Kind: object.KindPod, Namespace: ns, Name: name}, Object: readObject[corev1.Pod](t, fmt.Sprintf("metadata: {name: %[2]s, namespace: %[1]s, labels: {app: %[2]s}%[4]s}\nstatus: {phase: Running, podIP: %[3]s, conditions: [{type: Ready, status: 'True'}]}", ns, name, ip, more))}
}

func listedEntry(t *testing.T, ns, name, more string) Change {
	t.Helper()
	return Change{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: ns, Name: name}, Object: readObject[networkingv1.ServiceEntry](t, fmt.Sprintf("metadata: {name: %s, namespace: %s}\nspec: {hosts: [%s.example], resolution: STATIC, %s}", name, ns, name, more))}
}

// manual is a Service without a selector.
func manual(t *testing.T, ns, name, ports string) Change {
	t.Helper()
	return Change{Ref: object.Ref{Kind: object.KindService, Namespace: ns, Name: name}, Object: readObject[corev1.Service](t, fmt.Sprintf("metadata: {name: %s, namespace: %s}\nspec: {clusterIP: 10.96.0.1, ports: [%s]}", name, ns, ports))}
}

func manualSlice(t *testing.T, ns, service, name, more string) Change {
	t.Helper()
	return Change{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: ns, Name: name}, Object: readObject[discoveryv1.EndpointSlice](t, fmt.Sprintf("metadata: {name: %s, namespace: %s, labels: {kubernetes.io/service-name: %s}}\naddressType: IPv4\n%s", name, ns, service, more))}
}

// accepted says what the ports of a workload are, "PORT PROTOCOL HOST:PORT".
func accepted(w *World, ns, name string) string {
	in, _ := w.InboundOf(w.Workload(ns, name))
	var out []string
	for _, p := range in.Ports.Slice() {
		out = append(out, fmt.Sprintf("%d %s %s:%d", p.Number, p.Protocol, p.Service.Host, p.ServicePort))
	}
	return strings.Join(out, ", ")
}

// TestInboundFollowsEveryService: whatever leads to a pod declares its ports.
func TestInboundFollowsEveryService(t *testing.T) {
	for _, c := range []struct {
		what    string
		changes []Change
		want    string
	}{
		{"an entry that selects, without targetPort", []Change{listedEntry(t, "a", "press", "workloadSelector: {labels: {app: web}}, ports: [{number: 7070, name: web, protocol: HTTP}, {number: 7071, name: s, protocol: HTTP2}]")},
			"7070 http press.example:7070, 7071 http2 press.example:7071"},
		{"an entry that selects, with targetPort", []Change{listedEntry(t, "a", "press", "workloadSelector: {labels: {app: web}}, ports: [{number: 80, name: web, protocol: HTTP, targetPort: 7070}]")},
			"7070 http press.example:80"},
		{"an entry that lists the address", []Change{listedEntry(t, "a", "press", "endpoints: [{address: 10.0.0.7, ports: {web: 8081}}], ports: [{number: 80, name: web, protocol: HTTP}]")},
			"8081 http press.example:80"},
		{"a Service with slices", []Change{manual(t, "a", "m", "{name: web, port: 80, appProtocol: http}, {name: tls, port: 81}"), manualSlice(t, "a", "m", "m-1", "ports: [{name: web, port: 8080}, {name: tls, port: 8443}]\nendpoints: [{addresses: [10.0.0.7]}]")},
			"8080 http m.a.svc.cluster.local:80, 8443 tls m.a.svc.cluster.local:81"},
		{"two slices, a port each", []Change{manual(t, "a", "m", "{name: http, port: 80}, {name: grpc, port: 81}"), manualSlice(t, "a", "m", "m-1", "ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.7]}]"), manualSlice(t, "a", "m", "m-2", "ports: [{name: grpc, port: 8081}]\nendpoints: [{addresses: [10.0.0.7]}]")},
			"8080 http m.a.svc.cluster.local:80, 8081 grpc m.a.svc.cluster.local:81"},
		{"slices of another pod that has the address", []Change{listedPod(t, "a", "twin", "10.0.0.7", ""), manual(t, "a", "m", "{name: http, port: 80}"), manualSlice(t, "a", "m", "m-1", "ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.7], targetRef: {kind: Pod, name: twin}}]")},
			""},
		{"an entry of another namespace", []Change{listedEntry(t, "b", "press", "endpoints: [{address: 10.0.0.7}], ports: [{number: 80, name: web, protocol: HTTP}]")}, ""},
		{"an empty selector", []Change{listedEntry(t, "a", "press", "workloadSelector: {labels: {}}, ports: [{number: 80, name: web, protocol: HTTP}]")}, ""},
		{"a selector without labels", []Change{listedEntry(t, "a", "press", "workloadSelector: {}, ports: [{number: 80, name: web, protocol: HTTP}]")}, ""},
	} {
		pod := listedPod(t, "a", "web", "10.0.0.7", "")
		for _, order := range [][]Change{append([]Change{pod}, c.changes...), append(append([]Change{}, c.changes...), pod)} {
			b := newBuilder()
			var dirty *Dirty
			var w *World
			for _, change := range order { // one after the other: indexes follow
				b.apply([]Change{change})
				w, dirty = b.finish()
			}
			if got := accepted(w, "a", "web"); got != c.want {
				t.Errorf("%s: %q, want %q", c.what, got, c.want)
			}
			if _, marked := dirty.Workloads[pod.Ref]; c.want != "" && !marked {
				t.Errorf("%s: what the pod accepts is not looked at again", c.what)
			}
			for _, change := range c.changes {
				b.apply([]Change{{Ref: change.Ref}})
			}
			w, dirty = b.finish()
			if got := accepted(w, "a", "web"); got != "" {
				t.Errorf("%s: %q is left when all is gone", c.what, got)
			}
			if _, marked := dirty.Workloads[pod.Ref]; c.want != "" && !marked {
				t.Errorf("%s: what the pod accepts is not looked at again when all is gone", c.what)
			}
			if w.listed.Len() != 0 {
				t.Errorf("%s: the index keeps %d addresses", c.what, w.listed.Len())
			}
		}
	}
}

// TestInboundFollowsChangesOfPorts: a Service that lists a pod may declare its ports anew.
func TestInboundFollowsChangesOfPorts(t *testing.T) {
	b := newBuilder()
	pod := listedPod(t, "a", "web", "10.0.0.7", "")
	b.apply([]Change{pod, manual(t, "a", "m", "{name: http, port: 80}"), manualSlice(t, "a", "m", "m-1", "ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.7]}]")})
	b.finish()
	b.apply([]Change{manual(t, "a", "m", "{name: http, port: 80, appProtocol: kubernetes.io/h2c}")})
	w, dirty := b.finish()
	if _, marked := dirty.Workloads[pod.Ref]; !marked {
		t.Error("what the pod accepts is not looked at again")
	}
	if got, want := accepted(w, "a", "web"), "8080 http2 m.a.svc.cluster.local:80"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestEmptySelectorsSelectNothing: neither endpoints nor what policies refer to.
func TestEmptySelectorsSelectNothing(t *testing.T) {
	for _, selector := range []string{"{}", "{labels: {}}"} {
		b := newBuilder()
		b.apply([]Change{listedPod(t, "a", "web", "10.0.0.7", ""),
			{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: "a", Name: "vm"}, Object: readObject[networkingv1.WorkloadEntry](t, "metadata: {name: vm, namespace: a}\nspec: {address: 10.0.0.8}")},
			listedEntry(t, "a", "press", "workloadSelector: "+selector+", ports: [{number: 80, name: web, protocol: HTTP}]")})
		w, _ := b.finish()
		if n := len(w.Host("press.example").Endpoints[0].Endpoints); n != 0 {
			t.Errorf("%s selects %d endpoints", selector, n)
		}
		if got := w.ServicesOf(w.Workload("a", "web")); len(got) != 0 {
			t.Errorf("%s selects a pod for %s", selector, got[0].Host)
		}
		var said []string
		for f := range w.Findings() {
			said = append(said, f.String())
		}
		if len(said) != 1 || !strings.Contains(said[0], "spec.workloadSelector: the selector is empty") {
			t.Errorf("%s: findings %q", selector, said)
		}
	}
}
