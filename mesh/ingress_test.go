package mesh

import (
	"slices"
	"strings"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	netv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestServesIngress is about row 154: the class says whose an Ingress is.
func TestServesIngress(t *testing.T) {
	istio, other := "istio", "nginx"
	const off, strict, standard = meshconfig.MeshConfig_OFF, meshconfig.MeshConfig_STRICT, meshconfig.MeshConfig_DEFAULT
	for _, c := range []struct {
		name       string
		mode       meshconfig.MeshConfig_IngressControllerMode
		in         ingress
		controller string
		want       bool
	}{
		{"annotation", strict, ingress{annotation: &istio}, "", true},
		{"annotation without a mode", meshconfig.MeshConfig_UNSPECIFIED, ingress{annotation: &istio}, "", true},
		{"annotation of others", standard, ingress{annotation: &other}, "", false},
		{"annotation over class", strict, ingress{annotation: &other, class: "mesh"}, ingressController, false},
		{"annotation, off", off, ingress{annotation: &istio}, "", false},
		{"class", strict, ingress{class: "mesh"}, ingressController, true},
		{"class of others", standard, ingress{class: "nginx"}, "k8s.io/ingress-nginx", false},
		{"class that is not there", standard, ingress{class: "nginx"}, "", false},
		{"none, strict", strict, ingress{}, "", false},
		{"none, default", standard, ingress{}, "", true},
		{"none, off", off, ingress{}, "", false},
	} {
		config := DefaultConfig()
		config.IngressControllerMode = c.mode
		if got := config.servesIngress(&c.in, c.controller); got != c.want {
			t.Errorf("%s: served %v, want %v", c.name, got, c.want)
		}
	}
}

func TestIngressSelector(t *testing.T) {
	for _, c := range []struct{ service, selector, want string }{
		{"", "", "ingressgateway"}, {"istio-ingressgateway", "", "ingressgateway"}, {"edge", "", "edge"}, {"edge", "front", "front"},
	} {
		config := DefaultConfig()
		config.IngressService, config.IngressSelector = c.service, c.selector
		if got := config.ingressSelector()["istio"]; got != c.want {
			t.Errorf("service %q and selector %q select %q, want %q", c.service, c.selector, got, c.want)
		}
	}
}

// TestParseIngress leaves out what cannot be served, and nothing else.
func TestParseIngress(t *testing.T) {
	const text = `
metadata: {name: a, namespace: b}
spec:
  defaultBackend: {resource: {kind: Bucket, name: c}}
  rules:
  - {host: "bad host", http: {paths: [{path: /0, backend: {service: {name: s, port: {number: 80}}}}]}}
  - host: A.example
    http:
      paths:
      - {path: no-slash, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}
      - {path: /1, pathType: Exact, backend: {service: {name: s, port: {number: 80}}}}
      - {path: /2, pathType: Exact, backend: {service: {name: s}}}
      - {path: /3/, pathType: Prefix, backend: {service: {name: s, port: {name: http}}}}
      - {path: "/4.x.*", backend: {service: {name: s, port: {number: 80}}}}
      - {pathType: ImplementationSpecific, backend: {service: {name: s, port: {number: 80}}}}
  - {}
`
	o := &netv1.Ingress{}
	if err := yaml.Unmarshal([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	in := parseIngress(o)
	var paths []string
	for _, p := range in.everything() {
		paths = append(paths, strings.Join(strings.Fields(p.host+" "+p.match.GetUri().String()), " "))
	}
	want := []string{`a.example exact:"/1"`, `a.example prefix:"/3"`, `a.example regex:"/4\\.x.*"`, `a.example <nil>`}
	if !slices.Equal(paths, want) {
		t.Errorf("got %q, want %q", paths, want)
	}
	var fields []string
	for _, f := range in.findings {
		fields = append(fields, f.Field)
	}
	want = []string{"spec.rules[0].host", "spec.rules[1].http.paths[0].path", "spec.rules[1].http.paths[2].backend.service.port", "spec.defaultBackend.backend.resource"}
	if !slices.Equal(fields, want) {
		t.Errorf("found %q, want %q", fields, want)
	}
	if !in.refersByName(object.Ref{Kind: object.KindService, Namespace: "b", Name: "s"}) || in.refersByName(object.Ref{Kind: object.KindService, Namespace: "other", Name: "s"}) {
		t.Error("a port is not found to be given by its name")
	}
}
