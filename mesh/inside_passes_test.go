package mesh

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	networkingv1beta1 "istio.io/client-go/pkg/apis/networking/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestPassesThatProxiesDoNotSee: what only findings, labels of namespaces or settings of
// pods to come differ in is published as well.
func TestPassesThatProxiesDoNotSee(t *testing.T) {
	published := make(chan *World, 10)
	s := NewStore(slog.New(slog.DiscardHandler), func(w *World, _ *Dirty) { published <- w })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	s.Synced()
	<-published
	for _, c := range []struct {
		what   string
		change Change
		shows  func(*World) bool
	}{
		{"a ProxyConfig", Change{Ref: object.Ref{Kind: object.KindProxyConfig, Namespace: "a", Name: "p"}, Object: readObject[networkingv1beta1.ProxyConfig](t, "metadata: {name: p, namespace: a}\nspec: {concurrency: 3}")},
			func(w *World) bool { return w.ProxySettingsOf("a", nil).Concurrency != nil }},
		{"labels of a Namespace", Change{Ref: object.Ref{Kind: object.KindNamespace, Namespace: "", Name: "a"}, Object: readObject[corev1.Namespace](t, "metadata: {name: a, labels: {team: a}}")},
			func(w *World) bool { return w.spaces["a"]["team"] == "a" }},
		{"a finding", Change{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "a", Name: "e"}, Object: readObject[networkingv1.ServiceEntry](t, "metadata: {name: e, namespace: a}\nspec: {hosts: ['not a host'], ports: [{number: 80, name: http}]}")},
			func(w *World) bool {
				for range w.Findings() {
					return true
				}
				return false
			}},
	} {
		s.Submit([]Change{c.change})
		select {
		case w := <-published:
			if !c.shows(w) {
				t.Errorf("%s does not show", c.what)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s alone is never published", c.what)
		}
	}
}

// TestDelegatesFollowTheDefault: who may use a delegate is asked again when the default of
// exportTo changes.
func TestDelegatesFollowTheDefault(t *testing.T) {
	b := newBuilder()
	b.apply([]Change{
		{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "root"}, Object: readObject[networkingv1.VirtualService](t, "metadata: {name: root, namespace: a}\nspec: {hosts: [x.example], http: [{delegate: {name: leaf, namespace: b}}]}")},
		{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "b", Name: "leaf"}, Object: readObject[networkingv1.VirtualService](t, "metadata: {name: leaf, namespace: b}\nspec: {http: [{directResponse: {status: 200}}]}")},
	})
	rules := func() int {
		w, _ := b.finish()
		v, _ := w.virtualServices.Get("a/root")
		return len(v.Spec.Http)
	}
	if n := rules(); n != 1 {
		t.Errorf("%d rules of the delegate", n)
	}
	file := object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}
	for text, want := range map[string]int{"defaultVirtualServiceExportTo: ['.']": 0, "{}": 1} {
		b.apply([]Change{{Ref: file, Object: []byte("{}")}})
		b.finish()
		b.apply([]Change{{Ref: file, Object: []byte(text)}})
		if n := rules(); n != want {
			t.Errorf("%s: %d rules of the delegate, want %d", text, n, want)
		}
	}
}

// TestRouteWithoutAnyValidName: what is wrong with a route is told although no parent has it.
func TestRouteWithoutAnyValidName(t *testing.T) {
	ref := object.Ref{Kind: object.KindHTTPRoute, Namespace: "a", Name: "r"}
	b := newBuilder()
	b.apply([]Change{{Ref: ref, Object: readObject[gatewayv1.HTTPRoute](t, "metadata: {name: r, namespace: a}\nspec: {parentRefs: [{name: g}], hostnames: ['no host'], rules: [{}]}")}})
	w, _ := b.finish()
	found := false
	for f := range w.Findings() {
		found = found || f.Object == ref && f.Field == "spec.hostnames[0]"
	}
	if !found {
		t.Error("nothing is told of its hostnames")
	}
	b.apply([]Change{{Ref: ref}})
	w, _ = b.finish()
	for f := range w.Findings() {
		t.Errorf("the route is gone, and still %s", f)
	}
}

// TestNothingIsLeftOfNamespaces: when all objects of a namespace are gone, building keeps
// no more than before they came.
func TestNothingIsLeftOfNamespaces(t *testing.T) {
	changes := []Change{
		{Ref: object.Ref{Kind: object.KindNamespace, Namespace: "", Name: "a"}, Object: readObject[corev1.Namespace](t, "metadata: {name: a, labels: {team: a}}")},
		{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: "s"}, Object: readObject[corev1.Service](t, "metadata: {name: s, namespace: a}\nspec: {clusterIP: 10.0.0.1, selector: {app: s}, ports: [{name: http, port: 80}]}")},
		{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: "h"}, Object: readObject[corev1.Service](t, "metadata: {name: h, namespace: a}\nspec: {clusterIP: None, selector: {app: s}, ports: [{name: http, port: 80}]}")},
		{Ref: object.Ref{Kind: object.KindService, Namespace: "a", Name: "byhand"}, Object: readObject[corev1.Service](t, "metadata: {name: byhand, namespace: a}\nspec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}]}")},
		{Ref: object.Ref{Kind: object.KindEndpointSlice, Namespace: "a", Name: "byhand-1"}, Object: readObject[discoveryv1.EndpointSlice](t, "metadata: {name: byhand-1, namespace: a, labels: {kubernetes.io/service-name: byhand}}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.1.1], nodeName: n, zone: z}]")},
		{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: "p"}, Object: readObject[corev1.Pod](t, "metadata: {name: p, namespace: a, labels: {app: s}}\nspec: {containers: [{name: c}]}\nstatus: {phase: Running, podIP: 10.0.1.1, podIPs: [{ip: 10.0.1.1}]}")},
		{Ref: object.Ref{Kind: object.KindServiceEntry, Namespace: "a", Name: "e"}, Object: readObject[networkingv1.ServiceEntry](t, "metadata: {name: e, namespace: a}\nspec: {hosts: [e.example], addresses: [240.0.0.1], ports: [{number: 80, name: http}], resolution: STATIC, workloadSelector: {labels: {app: s}}}")},
		{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: "a", Name: "w"}, Object: readObject[networkingv1.WorkloadEntry](t, "metadata: {name: w, namespace: a}\nspec: {address: 192.0.2.1, labels: {app: s}}")},
		{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "a", Name: "d"}, Object: readObject[networkingv1.DestinationRule](t, "metadata: {name: d, namespace: a}\nspec: {host: s, subsets: [{name: v1, labels: {version: v1}}], trafficPolicy: {outlierDetection: {}}}")},
		{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "v"}, Object: readObject[networkingv1.VirtualService](t, "metadata: {name: v, namespace: a}\nspec: {hosts: [s], gateways: [mesh, g], http: [{delegate: {name: l}}, {match: [{sourceLabels: {a: b}}], route: [{destination: {host: s, subset: v1}}]}]}")},
		{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "l"}, Object: readObject[networkingv1.VirtualService](t, "metadata: {name: l, namespace: a}\nspec: {http: [{route: [{destination: {host: h}}]}]}")},
		{Ref: object.Ref{Kind: object.KindGateway, Namespace: "a", Name: "g"}, Object: readObject[networkingv1.Gateway](t, "metadata: {name: g, namespace: a}\nspec: {selector: {app: s}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}")},
		{Ref: object.Ref{Kind: object.KindSidecar, Namespace: "a", Name: "c"}, Object: readObject[networkingv1.Sidecar](t, "metadata: {name: c, namespace: a}\nspec: {workloadSelector: {labels: {app: s}}, egress: [{hosts: ['./*']}]}")},
		{Ref: object.Ref{Kind: object.KindSidecar, Namespace: "a", Name: "d"}, Object: readObject[networkingv1.Sidecar](t, "metadata: {name: d, namespace: a}\nspec: {workloadSelector: {labels: {app: s}}, egress: [{hosts: ['./*']}]}")},
		{Ref: object.Ref{Kind: object.KindPeerAuthentication, Namespace: "a", Name: "p"}, Object: readObject[securityv1.PeerAuthentication](t, "metadata: {name: p, namespace: a}\nspec: {mtls: {mode: STRICT}}")},
		{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: "a", Name: "p"}, Object: readObject[securityv1.AuthorizationPolicy](t, "metadata: {name: p, namespace: a}\nspec: {targetRefs: [{kind: Service, name: s}]}")},
		{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "k"}, Object: readObject[gatewayv1.Gateway](t, "metadata: {name: k, namespace: a}\nspec: {gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}]}")},
		{Ref: object.Ref{Kind: object.KindHTTPRoute, Namespace: "a", Name: "r"}, Object: readObject[gatewayv1.HTTPRoute](t, "metadata: {name: r, namespace: a}\nspec: {parentRefs: [{name: k}, {kind: Service, group: '', name: s}], rules: [{backendRefs: [{name: s, port: 80}]}]}")},
	}
	b := newBuilder()
	b.finish()
	before := held(reflect.ValueOf(*b), "builder")
	for range 2 {
		b.apply(changes)
		b.finish()
		for _, c := range changes {
			b.apply([]Change{{Ref: c.Ref}})
		}
		b.finish()
		b.finish()
	}
	for at, n := range held(reflect.ValueOf(*b), "builder") {
		if n > before[at] {
			t.Errorf("%s holds %d more than before", at, n-before[at])
		}
	}
}

// held are how many entries the maps and lists within a struct have, by their path.
func held(v reflect.Value, path string) map[string]int {
	out := map[string]int{}
	for i := range v.NumField() {
		f, at := v.Field(i), path+"."+v.Type().Field(i).Name
		switch f.Kind() {
		case reflect.Map, reflect.Slice:
			out[at] = f.Len()
		case reflect.Struct:
			for k, n := range held(f, at) {
				out[k] = n
			}
		case reflect.Pointer:
			if strings.HasPrefix(f.Type().Elem().Name(), "node[") { // of a persistent map
				if out[at] = 0; !f.IsNil() {
					out[at] = int(f.Elem().FieldByName("size").Uint())
				}
				continue
			}
			if f.Type().Elem().Kind() == reflect.Struct && !f.IsNil() && f.Type() == reflect.TypeFor[*asked]() {
				for k, n := range held(f.Elem(), at) {
					out[k] = n
				}
			}
		}
	}
	return out
}
