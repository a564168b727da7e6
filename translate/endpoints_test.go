package translate

import (
	"fmt"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// servers are n endpoints in three zones, every third one not ready.
func servers(n int) *registry.EndpointSet {
	set := &registry.EndpointSet{}
	for i := range n {
		l := registry.Locality{Region: "r1", Zone: fmt.Sprint("z", i%3)}
		w := &registry.Workload{Namespace: "default", Name: fmt.Sprint("web-", i), Owner: "web", Labels: map[string]string{"app": "web", "version": "v1"}, Locality: l, MutualTLS: true}
		set.Endpoints = append(set.Endpoints, registry.Endpoint{Workload: w, Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), Ports: []uint32{8080}, Healthy: i%3 != 0, Locality: l})
	}
	return set
}

func serversInput(n int) EndpointsInput {
	return EndpointsInput{
		Service: &registry.Service{Host: "web.default.svc.cluster.local", Ports: []registry.Port{{Number: 80, Protocol: object.ProtocolHTTP}}},
		Port:    80, Config: mesh.DefaultConfig(), Endpoints: servers(n),
	}
}

// TestUnreadyEndpoints is about row 144: what is not ready is sent as
// unhealthy, and left out where the rule counts healthy ones.
func TestUnreadyEndpoints(t *testing.T) {
	count := func(in EndpointsInput) (healthy, unhealthy int) {
		for _, l := range Endpoints(in).Endpoints {
			for _, e := range l.LbEndpoints {
				if e.HealthStatus == corev3.HealthStatus_UNHEALTHY {
					unhealthy++
				} else {
					healthy++
				}
			}
		}
		return healthy, unhealthy
	}
	in := serversInput(9)
	if h, u := count(in); h != 6 || u != 3 {
		t.Errorf("%d healthy and %d unhealthy endpoints, want 6 and 3", h, u)
	}
	in.Rule = &traffic.DestinationRule{Policy: &networking.TrafficPolicy{OutlierDetection: &networking.OutlierDetection{MinHealthPercent: 50}}}
	if h, u := count(in); h != 6 || u != 0 {
		t.Errorf("with minHealthPercent %d healthy and %d unhealthy endpoints, want 6 and none", h, u)
	}
}

// TestPrioritiesHaveNoGaps is about row 53: Envoy rejects an assignment whose
// priorities leave one out.
func TestPrioritiesHaveNoGaps(t *testing.T) {
	in := serversInput(9)
	in.Rule = &traffic.DestinationRule{Policy: &networking.TrafficPolicy{OutlierDetection: &networking.OutlierDetection{}}}
	for _, zone := range []string{"z0", "z1", "elsewhere"} {
		for _, region := range []string{"r1", "r2"} {
			in.Client.Locality = registry.Locality{Region: region, Zone: zone}
			next := uint32(0)
			for _, l := range Endpoints(in).Endpoints {
				if l.Priority > next {
					t.Errorf("from %v: priority %d where %d is next", in.Client.Locality, l.Priority, next)
				}
				next = l.Priority + 1
			}
		}
	}
}

// TestAssignmentWithoutEndpoints is about row 148: nothing to send is sent.
func TestAssignmentWithoutEndpoints(t *testing.T) {
	in := serversInput(0)
	a := Endpoints(in)
	if a.ClusterName != "outbound|80||web.default.svc.cluster.local" || len(a.Endpoints) != 0 {
		t.Errorf("got %v", a)
	}
	in.Endpoints = servers(3)
	in.Subset = &traffic.Subset{Name: "v9", Labels: map[string]string{"version": "v9"}}
	if a := Endpoints(in); len(a.Endpoints) != 0 || a.ClusterName != "outbound|80|v9|web.default.svc.cluster.local" {
		t.Errorf("no endpoint has the labels, yet got %v", a)
	}
}

// TestLocalOnly is about row 151: the endpoints of the client's node, or all
// where the node is not known.
func TestLocalOnly(t *testing.T) {
	in := serversInput(4)
	in.Service.LocalOnly = true
	in.Endpoints.Endpoints[2].Workload.Node = "node-1"
	for node, want := range map[string]int{"node-1": 1, "node-2": 0, "": 4} {
		in.Client.Node = node
		n := 0
		for _, l := range Endpoints(in).Endpoints {
			n += len(l.LbEndpoints)
		}
		if n != want {
			t.Errorf("on node %q: %d endpoints, want %d", node, n, want)
		}
	}
}

func BenchmarkEndpoints(b *testing.B) {
	for _, n := range []int{5, 1000} {
		in := serversInput(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = proto.Size(Endpoints(in))
			}
			b.ReportMetric(float64(size)/float64(n), "bytes/endpoint")
		})
	}
}

func BenchmarkCluster(b *testing.B) {
	in := inputOf(&networking.TrafficPolicy{}, object.ProtocolHTTP, registry.ResolutionStatic, false, "z1")
	b.ReportAllocs()
	for b.Loop() {
		Cluster(in, nil)
	}
}
