package mesh

import (
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSidecarPorts is about row 108: a port that a listener is for shows only that
// listener's hosts, all others those of the listeners without a port.
func TestSidecarPorts(t *testing.T) {
	port := func(n uint32) *networking.SidecarPort { return &networking.SidecarPort{Number: n} }
	o := &networkingv1.Sidecar{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: "one"}}
	o.Spec.Egress = []*networking.IstioEgressListener{
		{Hosts: []string{"./*"}},
		{Port: port(80), Hosts: []string{"./a"}},
		{Port: port(80), Hosts: []string{"./b"}},
		{Port: port(90), Bind: "127.0.0.1", Hosts: []string{"two/c"}},
	}
	s := parseSidecar(o)
	for _, c := range []struct {
		namespace, host string
		port            uint32
		want            bool
	}{
		{"one", "a", 80, true}, {"one", "b", 80, true}, {"one", "c", 80, false},
		{"one", "c", 81, true}, {"two", "a", 80, false},
		{"two", "c", 90, true}, {"two", "c", 91, true}, {"two", "d", 91, false}, // bind is not followed: shown on all ports
	} {
		if got := s.Listens("one", c.namespace, c.host, c.port); got != c.want {
			t.Errorf("%s/%s is shown on %d: %v, want %v", c.namespace, c.host, c.port, got, c.want)
		}
	}
	if !(*Sidecar)(nil).Listens("one", "two", "c", 80) {
		t.Error("without a Sidecar a host is not shown")
	}
	if len(checkEgress(o)) != 1 {
		t.Errorf("bind is not told of: %v", checkEgress(o))
	}
}
