package translate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/test/freeport"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// TestEnvoyBalancesByUtilization: of two endpoints that report how busy they are with each
// answer, the less busy one gets most of the requests.
func TestEnvoyBalancesByUtilization(t *testing.T) {
	var counts [2]atomic.Int64
	endpoints := &endpointv3.LocalityLbEndpoints{}
	for i, load := range []string{"0.9", "0.1"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			counts[i].Add(1)
			w.Header().Set("endpoint-load-metrics", fmt.Sprintf("TEXT application_utilization=%s,rps_fractional=10", load))
		}))
		t.Cleanup(s.Close)
		endpoints.LbEndpoints = append(endpoints.LbEndpoints, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: localAddress(strings.TrimPrefix(s.URL, "http://"))}}})
	}
	lb := &networking.LoadBalancerSettings_BackendUtilizationLB{WeightStabilizationPeriod: durationpb.New(0), WeightUpdatePeriod: durationpb.New(100 * time.Millisecond)}
	cluster := &clusterv3.Cluster{Name: "web", ConnectTimeout: durationpb.New(time.Second), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{}, LoadBalancingPolicy: byUtilization(lb, nil, false),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: "web", Endpoints: []*endpointv3.LocalityLbEndpoints{endpoints}}}
	port := freeport.TCP(t)
	routes := &routev3.RouteConfiguration{Name: "80", VirtualHosts: []*routev3.VirtualHost{{Name: "web", Domains: []string{"*"}, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "web"}}},
	}}}}}
	runEnvoy(t, map[string]any{
		"listeners": []json.RawMessage{inboundJSON(t, &listenerv3.Listener{
			Name: "requests", Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: inboundSocket(netip.MustParseAddr("127.0.0.1"), port)}},
			FilterChains: []*listenerv3.FilterChain{{Filters: told(telemetry.Caller{}, HTTPFilters(HCMInput{Direction: resource.Outbound, Routes: routes, Config: mesh.DefaultConfig()}))}},
		})},
		"clusters": []json.RawMessage{inboundJSON(t, cluster)},
	}, nil)
	var plaintext *caller
	within(t, "the less busy endpoint gets three quarters", func() error {
		counts[0].Store(0)
		counts[1].Store(0)
		for range 200 {
			if status, _, err := plaintext.get(t, port, "/"); status != http.StatusOK {
				return fmt.Errorf("status %d, %w", status, err)
			}
		}
		if busy, idle := counts[0].Load(), counts[1].Load(); idle < 3*busy {
			return fmt.Errorf("%d and %d requests", busy, idle)
		}
		return nil
	})
}
