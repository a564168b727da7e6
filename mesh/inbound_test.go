package mesh

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func TestListsCompare(t *testing.T) {
	a, b := ListOf(1, 2, 3), ListOf([]int{1, 2, 3}...)
	if a != b {
		t.Error("equal lists are not equal")
	}
	for _, other := range []List[int]{ListOf[int](), ListOf(1, 2), ListOf(2, 1, 3), ListOf(1, 2, 3, 3)} {
		if a == other {
			t.Errorf("%v and %v are equal", a.Slice(), other.Slice())
		}
	}
	if !slices.Equal(a.Slice(), []int{1, 2, 3}) || a.Len() != 3 {
		t.Errorf("%v of length %d", a.Slice(), a.Len())
	}
	var empty List[int]
	if empty.Slice() != nil || empty != ListOf[int]() {
		t.Error("the zero list is not the empty one")
	}
}

func TestIngressEndpoint(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
		ok   bool
	}{
		{"", "", true},
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"[::1]:80", "[::1]:80", true},
		{"0.0.0.0:9080", "", true},
		{"0.0.0.0:80", ":80", true},
		{"[::]:80", ":80", true},
		{":80", ":80", true},
		{"unix:///a/b", "unix:///a/b", true},
		{"unix://", "unix://", false},
		{"10.0.0.1:80", "", false},
		{"127.0.0.1", "", false},
		{"127.0.0.1:0", "", false},
		{"127.0.0.1:99999", "", false},
		{"localhost:80", "", false},
	} {
		if got, ok := ingressEndpoint(c.in, 9080); got != c.want && ok || ok != c.ok {
			t.Errorf("%s: %q, %v; want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

// TestPodsOfOneDeploymentAreOne: what a workload accepts does not tell its pods
// apart.
func TestPodsOfOneDeploymentAreOne(t *testing.T) {
	w := newBuilder().world
	pod := func(name, hash string) *registry.Workload {
		return &registry.Workload{Ref: object.Ref{Kind: object.KindPod, Namespace: "default", Name: name}, Namespace: "default", Name: name, Owner: "web", ServiceAccount: "web",
			Labels: map[string]string{"app": "web", "pod-template-hash": hash}}
	}
	a, _ := w.InboundOf(pod("web-1", "x"))
	b, _ := w.InboundOf(pod("web-2", "y"))
	if a != b {
		t.Errorf("%+v\n%+v", a, b)
	}
	c := pod("web-3", "x")
	c.Labels["version"] = "v2"
	if x, _ := w.InboundOf(c); x == a {
		t.Error("another version is the same")
	}
}

func TestIngressLeavesOutWhatItCannotServe(t *testing.T) {
	s := &traffic.Sidecar{Spec: &networking.Sidecar{Ingress: []*networking.IstioIngressListener{
		{Port: &networking.SidecarPort{Number: 80, Protocol: "HTTP"}},
		{},
		{Port: &networking.SidecarPort{Number: 81, Protocol: "nonsense"}},
		{Port: &networking.SidecarPort{Number: 82}, DefaultEndpoint: "x"},
	}}}
	var ports []uint32
	findings := ingressPorts(s, nil, func(p InboundPort) { ports = append(ports, p.Number) })
	if !slices.Equal(ports, []uint32{80, 81}) || len(findings) != 3 {
		t.Errorf("ports %v, findings %v", ports, findings)
	}
}

// TestBackendsAreNoticed: a service that comes after the policy that calls it
// changes what workloads accept.
func TestBackendsAreNoticed(t *testing.T) {
	for _, c := range []struct {
		host    string
		inbound string
		noticed bool
	}{
		{"authz.default.svc.cluster.local", "", true},
		{"keys.example", "near", true},
		{"other.example", "", false},
	} {
		b := newBuilder()
		b.world.Config = &Config{MeshConfig: proto.Clone(DefaultConfig().MeshConfig).(*meshconfig.MeshConfig)}
		b.world.Config.ExtensionProviders = []*meshconfig.MeshConfig_ExtensionProvider{{Name: "check", Provider: &meshconfig.MeshConfig_ExtensionProvider_EnvoyExtAuthzHttp{
			EnvoyExtAuthzHttp: &meshconfig.MeshConfig_ExtensionProvider_EnvoyExternalAuthorizationHttpProvider{Service: "default/authz.default.svc.cluster.local", Port: 80},
		}}}
		ref := object.Ref{Kind: object.KindRequestAuthentication, Namespace: "near", Name: "a"}
		b.world.RequestAuthentications = b.world.RequestAuthentications.with(ref, &RequestAuthentication{Ref: ref, Namespace: "near",
			Spec: &security.RequestAuthentication{JwtRules: []*security.JWTRule{{JwksUri: "https://keys.example/x"}}}})
		b.dirty = newDirty()
		b.dirty.host(c.host, TouchHost)
		b.dirtyBackends()
		if _, ok := b.dirty.Inbound[c.inbound]; ok != c.noticed || b.dirty.Gateways != c.noticed {
			t.Errorf("%s: inbound %v, gateways %v", c.host, b.dirty.Inbound, b.dirty.Gateways)
		}
	}
}

func TestKeysAddress(t *testing.T) {
	for _, c := range []struct {
		uri  string
		host string
		port uint32
		tls  bool
		ok   bool
	}{
		{"https://A.example/keys", "a.example", 443, true, true},
		{"http://a.example:8080/keys", "a.example", 8080, false, true},
		{"http://[fd00::1]/keys", "fd00::1", 80, false, true},
		{"", "", 0, false, false},
		{"ftp://a.example", "", 0, false, false},
		{"https:///keys", "", 0, false, false},
		{"https://a.example:0/", "", 0, false, false},
		{"https://a.example:99999/", "", 0, false, false},
		{"::", "", 0, false, false},
	} {
		host, port, tls, ok := KeysAddress(c.uri)
		if host != c.host || port != c.port || tls != c.tls || ok != c.ok {
			t.Errorf("%s: %s, %d, %v, %v", c.uri, host, port, tls, ok)
		}
	}
}
