package mesh

import (
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
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
	pod := func(name, hash string) *Workload {
		return &Workload{Ref: Ref{KindPod, "default", name}, Namespace: "default", Name: name, Owner: "web", ServiceAccount: "web",
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
	s := &Sidecar{Spec: &networking.Sidecar{Ingress: []*networking.IstioIngressListener{
		{Port: &networking.SidecarPort{Number: 80, Protocol: "HTTP"}},
		{},
		{Port: &networking.SidecarPort{Number: 81, Protocol: "nonsense"}},
		{Port: &networking.SidecarPort{Number: 82}, DefaultEndpoint: "x"},
	}}}
	var ports []uint32
	findings := ingressPorts(s, &Workload{}, nil, func(p InboundPort) { ports = append(ports, p.Number) })
	if !slices.Equal(ports, []uint32{80, 81}) || len(findings) != 3 {
		t.Errorf("ports %v, findings %v", ports, findings)
	}
}
