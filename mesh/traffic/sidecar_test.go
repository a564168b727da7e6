package traffic

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
		{Port: port(90), Bind: "unix:///run/c", Hosts: []string{"two/c"}},
	}
	s := ParseSidecar(o)
	for _, c := range []struct {
		namespace, host string
		port            uint32
		want            bool
	}{
		{"one", "a", 80, true}, {"one", "b", 80, true}, {"one", "c", 80, false},
		{"one", "c", 81, true}, {"two", "a", 80, false},
		{"two", "c", 90, true}, {"two", "c", 91, true}, {"two", "d", 91, false}, // the socket is not there: shown on all ports
	} {
		if got := s.Listens("one", c.namespace, c.host, c.port); got != c.want {
			t.Errorf("%s/%s is shown on %d: %v, want %v", c.namespace, c.host, c.port, got, c.want)
		}
	}
	if !(*Sidecar)(nil).Listens("one", "two", "c", 80) {
		t.Error("without a Sidecar a host is not shown")
	}
	if len(CheckEgress(o)) != 1 {
		t.Errorf("the socket is not told of: %v", CheckEgress(o))
	}
}

// TestBindOf is about row 108: where services are found.
func TestBindOf(t *testing.T) {
	none := networking.CaptureMode_NONE
	listener := func(port uint32, bind string, mode networking.CaptureMode) *networking.IstioEgressListener {
		e := &networking.IstioEgressListener{Bind: bind, CaptureMode: mode, Hosts: []string{"./*"}}
		if port > 0 {
			e.Port = &networking.SidecarPort{Number: port}
		}
		return e
	}
	o := &networkingv1.Sidecar{}
	o.Spec.Egress = []*networking.IstioEgressListener{
		listener(80, "", none), listener(80, "127.0.0.9", none), listener(81, "127.0.0.2", none), listener(82, "10.0.0.1", networking.CaptureMode_DEFAULT),
		listener(83, "", networking.CaptureMode_IPTABLES), listener(84, "unix:///run/c", none), listener(85, "0::1", none),
	}
	for port, want := range map[uint32]Bind{
		80: {"127.0.0.1", true}, 81: {"127.0.0.2", true}, 82: {"10.0.0.1", false}, 83: {}, 84: {}, 85: {"::1", true}, 86: {},
	} {
		if got := ParseSidecar(o).BindOf(port); got != want {
			t.Errorf("port %d is found at %+v, want %+v", port, got, want)
		}
	}
	o.Spec.Egress = append(o.Spec.Egress[:5:5], listener(0, "", none))
	if got, want := ParseSidecar(o).BindOf(86), (Bind{"127.0.0.1", true}); got != want {
		t.Errorf("port 86 is found at %+v, want %+v as the rest", got, want)
	}
	if got := (*Sidecar)(nil).BindOf(80); got != (Bind{}) {
		t.Errorf("without a Sidecar a service is found at %+v", got)
	}
}
