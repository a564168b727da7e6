package translate

import (
	"net/netip"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// TestEndpointsThatEndDrain: sessions go on at an endpoint that ends, and none
// begins there.
func TestEndpointsThatEndDrain(t *testing.T) {
	w := &registry.Workload{Namespace: "default", Name: "web-1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	s := &registry.Service{Host: "web.default.svc.cluster.local", Ports: []registry.Port{{Number: 80, Target: 80, Protocol: object.ProtocolHTTP}}}
	for status, e := range map[corev3.HealthStatus]registry.Endpoint{
		corev3.HealthStatus_DRAINING:  {Draining: true, Healthy: true},
		corev3.HealthStatus_UNHEALTHY: {},
		corev3.HealthStatus_UNKNOWN:   {Healthy: true},
	} {
		e.Workload, e.Address, e.Ports = w, "10.0.0.1", []uint32{80}
		a := Endpoints(EndpointsInput{Service: s, Port: 80, Config: mesh.DefaultConfig(), Endpoints: &registry.EndpointSet{Endpoints: []registry.Endpoint{e}}})
		if got := a.GetEndpoints()[0].GetLbEndpoints()[0].GetHealthStatus(); got != status {
			t.Errorf("%+v is %v, want %v", e, got, status)
		}
	}
}
