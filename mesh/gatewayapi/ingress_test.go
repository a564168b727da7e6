package gatewayapi

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
		in         Ingress
		controller string
		want       bool
	}{
		{"annotation", strict, Ingress{Annotation: &istio}, "", true},
		{"annotation without a mode", meshconfig.MeshConfig_UNSPECIFIED, Ingress{Annotation: &istio}, "", true},
		{"annotation of others", standard, Ingress{Annotation: &other}, "", false},
		{"annotation over class", strict, Ingress{Annotation: &other, Class: "mesh"}, IngressController, false},
		{"annotation, off", off, Ingress{Annotation: &istio}, "", false},
		{"class", strict, Ingress{Class: "mesh"}, IngressController, true},
		{"class of others", standard, Ingress{Class: "nginx"}, "k8s.io/ingress-nginx", false},
		{"class that is not there", standard, Ingress{Class: "nginx"}, "", false},
		{"none, strict", strict, Ingress{}, "", false},
		{"none, default", standard, Ingress{}, "", true},
		{"none, off", off, Ingress{}, "", false},
	} {
		config := &meshconfig.MeshConfig{}
		config.IngressControllerMode = c.mode
		if got := c.in.ServedBy(config, c.controller); got != c.want {
			t.Errorf("%s: served %v, want %v", c.name, got, c.want)
		}
	}
}

func TestIngressSelector(t *testing.T) {
	for _, c := range []struct{ service, selector, want string }{
		{"", "", "ingressgateway"}, {"istio-ingressgateway", "", "ingressgateway"}, {"edge", "", "edge"}, {"edge", "front", "front"},
	} {
		config := &meshconfig.MeshConfig{}
		config.IngressService, config.IngressSelector = c.service, c.selector
		if got := ingressSelector(config)["istio"]; got != c.want {
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
	in := ParseIngress(o)
	var paths []string
	for _, p := range in.Paths() {
		paths = append(paths, strings.Join(strings.Fields(p.Host+" "+p.match.GetUri().String()), " "))
	}
	want := []string{`a.example exact:"/1"`, `a.example prefix:"/3"`, `a.example regex:"/4\\.x.*"`, `a.example <nil>`}
	if !slices.Equal(paths, want) {
		t.Errorf("got %q, want %q", paths, want)
	}
	var fields []string
	for _, f := range in.Findings {
		fields = append(fields, f.Field)
	}
	want = []string{"spec.rules[0].host", "spec.rules[1].http.paths[0].path", "spec.rules[1].http.paths[2].backend.service.port", "spec.defaultBackend.resource"}
	if !slices.Equal(fields, want) {
		t.Errorf("found %q, want %q", fields, want)
	}
	if !in.RefersByName(object.Ref{Kind: object.KindService, Namespace: "b", Name: "s"}) || in.RefersByName(object.Ref{Kind: object.KindService, Namespace: "other", Name: "s"}) {
		t.Error("a port is not found to be given by its name")
	}
}
