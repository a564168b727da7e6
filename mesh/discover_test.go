package mesh

import (
	"maps"
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func configured(mesh string) Change {
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio", Namespace: "istio-system"}, Data: map[string]string{"mesh": mesh}}
	return Change{Ref: object.Ref{Kind: object.KindConfigMap, Namespace: o.Namespace, Name: o.Name}, Object: o}
}

func labelled(name string, labels map[string]string) Change {
	return Change{Ref: object.Ref{Kind: object.KindNamespace, Namespace: "", Name: name}, Object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}}
}

func serviceIn(ns, name string, selector map[string]string) Change {
	o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}}
	o.Spec.Selector = selector
	o.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
	return Change{Ref: object.Ref{Kind: object.KindService, Namespace: ns, Name: name}, Object: o}
}

func TestDiscoverySelectors(t *testing.T) {
	b := newBuilder()
	check := func(what string, changes []Change, want ...string) {
		t.Helper()
		b.apply(changes)
		w, dirty := b.finish()
		var got []string
		for name := range w.Hosts() {
			got = append(got, name)
			delete(dirty.Hosts, name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the mesh has %q, want %q", what, got, want)
		}
		for name := range maps.Keys(dirty.Hosts) { // what is left is gone, and must have been said
			if w.Host(name) != nil {
				t.Errorf("%s: %s is dirty", what, name)
			}
		}
	}
	const a, c, d = "a.one.svc.cluster.local", "c.two.svc.cluster.local", "d.two.svc.cluster.local"
	check("no selectors", []Change{serviceIn("one", "a", nil), serviceIn("two", "c", nil), labelled("one", map[string]string{"mesh": "on"})}, a, c)
	check("one namespace", []Change{configured(`discoverySelectors: [{matchLabels: {mesh: "on"}}]`)}, a)
	check("what comes to another", []Change{serviceIn("two", "d", nil)}, a)
	check("labels change", []Change{labelled("two", map[string]string{"mesh": "on"}), labelled("one", nil)}, c, d)
	check("expressions", []Change{configured(`discoverySelectors: [{matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [one]}]}, {matchLabels: {none: such}}]`)}, a)
	check("what goes elsewhere", []Change{{Ref: object.Ref{Kind: object.KindService, Namespace: "two", Name: "d"}}}, a)
	check("one that cannot be read", []Change{configured(`discoverySelectors: [{matchExpressions: [{key: x, operator: Like, values: [one]}]}]`)})
	if findings := slices.Collect(b.world.Findings()); len(findings) != 1 || findings[0].Field != "discoverySelectors[0]" {
		t.Errorf("found %v", findings)
	}
	check("no configuration", []Change{{Ref: object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "istio"}}}, a, c)
}

func TestServiceSelectsWorkloadEntries(t *testing.T) {
	b := newBuilder()
	entry := func(labels map[string]string) Change {
		o := &networkingv1.WorkloadEntry{ObjectMeta: metav1.ObjectMeta{Name: "vm", Namespace: "one"}}
		o.Spec = networking.WorkloadEntry{Address: "203.0.113.7", Labels: labels, Ports: map[string]uint32{"http": 8080}}
		return Change{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: "one", Name: "vm"}, Object: o}
	}
	for _, s := range []struct {
		change Change
		want   []uint32
	}{
		{serviceIn("one", "a", map[string]string{"app": "a"}), nil},
		{entry(map[string]string{"app": "a"}), []uint32{8080}},
		{entry(map[string]string{"app": "b"}), nil},
		{entry(map[string]string{"app": "a", "version": "vm"}), []uint32{8080}},
		{Change{Ref: object.Ref{Kind: object.KindWorkloadEntry, Namespace: "one", Name: "vm"}}, nil},
	} {
		b.apply([]Change{s.change})
		w, dirty := b.finish()
		h := w.Host("a.one.svc.cluster.local")
		var got []uint32
		for _, e := range h.Endpoints[0].Endpoints {
			got = append(got, e.Ports...)
		}
		if !slices.Equal(got, s.want) {
			t.Errorf("after %v: endpoints have ports %v, want %v", s.change.Ref, got, s.want)
		}
		if dirty.Hosts[h.Name] == TouchNone {
			t.Errorf("after %v: the host is not dirty", s.change.Ref)
		}
	}
}

func TestSidecarOfTheRootNamespace(t *testing.T) {
	o := &networkingv1.Sidecar{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "istio-system"}}
	o.Spec.Egress = []*networking.IstioEgressListener{{Hosts: []string{"./*", "shared/db.example"}}}
	s := traffic.ParseSidecar(o)
	for _, c := range []struct {
		client, namespace, host string
		want                    bool
	}{
		{"one", "one", "a.one.svc.cluster.local", true},
		{"one", "two", "a.two.svc.cluster.local", false},
		{"one", "istio-system", "x.istio-system.svc.cluster.local", false},
		{"one", "shared", "db.example", true},
		{"istio-system", "istio-system", "x.istio-system.svc.cluster.local", true},
	} {
		if got := s.Imports(c.client, c.namespace, c.host); got != c.want {
			t.Errorf("clients in %s see %s: %v", c.client, c.host, got)
		}
	}
}
