package translate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/test/freeport"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// TestEnvoyCountsAsCaller shows Istio's metrics as a real Envoy makes them on
// the caller's side: who calls is known from the node, who is called from the
// metadata of cluster and endpoint (row 192).
func TestEnvoyCountsAsCaller(t *testing.T) {
	web, lines := netip.MustParseAddrPort(headerServer(t)), netip.MustParseAddrPort(lineServer(t, ""))
	requests, bytes := freeport.TCP(t), freeport.TCP(t)
	sleep := telemetry.CallerOf("sleep", "default", map[string]string{"app": "sleep-app", "service.istio.io/canonical-revision": "r2"})
	listener := func(name string, port uint32, filters []*listenerv3.Filter) json.RawMessage {
		return inboundJSON(t, &listenerv3.Listener{
			Name: name, Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: inboundSocket(netip.MustParseAddr("127.0.0.1"), port)}},
			FilterChains: []*listenerv3.FilterChain{{Filters: told(sleep, filters)}},
		})
	}
	cluster := func(name string, to netip.AddrPort) json.RawMessage {
		return inboundJSON(t, &clusterv3.Cluster{
			Name: name, ConnectTimeout: durationpb.New(1e9), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"mesh": structValue("host", "web.default.svc.cluster.local", "name", "web").GetStructValue()}},
			LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: localAddress(to.String())}},
				Metadata:       &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{resource.TransportSocketMatch: structValue("workload", "web-v1", "version", "v1").GetStructValue()}},
			}}}}},
		})
	}
	pass := inboundJSON(t, &clusterv3.Cluster{ // its endpoints are those that clients ask for
		Name: "pass", ConnectTimeout: durationpb.New(1e9), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		Metadata: BasicClusters(mesh.DefaultConfig())[0].Metadata,
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: "pass", Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: localAddress(lines.String())}},
		}}}}},
	})
	nobodys := inboundJSON(t, &clusterv3.Cluster{ // as pass, with the name by which listeners know it
		Name: resource.BlackHoleCluster, ConnectTimeout: durationpb.New(1e9), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: resource.BlackHoleCluster, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: localAddress(lines.String())}},
		}}}}},
	})
	passed, described, nobody := freeport.TCP(t), freeport.TCP(t), freeport.TCP(t)
	routes := &routev3.RouteConfiguration{Name: "80", VirtualHosts: []*routev3.VirtualHost{{Name: "web", Domains: []string{"*"}, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "web"}}},
	}}}}}
	e := runEnvoy(t, map[string]any{
		"listeners": []json.RawMessage{
			listener("requests", requests, HTTPFilters(HCMInput{Direction: resource.Outbound, Routes: routes, Config: mesh.DefaultConfig()})),
			listener("bytes", bytes, TCPFilters(TCPProxyInput{Direction: resource.Outbound, Clusters: []WeightedCluster{{Cluster: "lines"}}, Config: mesh.DefaultConfig()})),
			listener("passed", passed, TCPFilters(TCPProxyInput{Direction: resource.Outbound, Clusters: []WeightedCluster{{Cluster: "pass"}}, Config: mesh.DefaultConfig()})),
			listener("described", described, told(telemetry.Caller{Workload: "described"}, TCPFilters(TCPProxyInput{Direction: resource.Outbound, Clusters: []WeightedCluster{{Cluster: "lines"}}, Described: true, Config: mesh.DefaultConfig()}))),
			listener("nobody", nobody, TCPFilters(TCPProxyInput{Direction: resource.Outbound, Clusters: []WeightedCluster{{Cluster: resource.BlackHoleCluster}}, Config: mesh.DefaultConfig()})),
		},
		"clusters": []json.RawMessage{cluster("web", web), cluster("lines", lines), pass, nobodys},
	}, nil)

	var plaintext *caller
	for range 3 {
		if status, _, err := plaintext.get(t, requests, "/"); status != http.StatusOK {
			t.Fatal(status, err)
		}
	}
	for _, port := range []uint32{bytes, passed, described, nobody} {
		if got, err := plaintext.say(t, port, "ping"); got != "ping" {
			t.Fatal(got, err)
		}
	}
	common := map[string]string{
		"reporter": "source", "source_workload": "sleep", "source_workload_namespace": "default", "source_app": "sleep-app", "source_version": "unknown",
		"source_canonical_service": "sleep-app", "source_canonical_revision": "r2", "source_principal": "unknown", "destination_principal": "unknown",
		"destination_workload": "web-v1", "destination_version": "v1", "destination_service": "web.default.svc.cluster.local", "destination_service_name": "web",
		"connection_security_policy": "unknown",
	}
	for name, more := range map[string]string{
		"envoy_istio_requests_total":                      `request_protocol="http" response_code="200"`,
		"envoy_istio_request_duration_milliseconds_count": `response_code="200"`,
		"envoy_istio_request_bytes_count":                 `response_code="200"`,
		"envoy_istio_response_bytes_count":                `response_code="200"`,
		"envoy_istio_tcp_connections_opened_total":        `request_protocol="tcp"`,
		"envoy_istio_tcp_connections_closed_total":        `request_protocol="tcp"`,
		"envoy_istio_tcp_sent_bytes_total":                `request_protocol="tcp"`,
		"envoy_istio_tcp_received_bytes_total":            `request_protocol="tcp"`,
	} {
		labels := map[string]string{"__name__": name}
		for k, v := range common {
			labels[k] = v
		}
		for pair := range strings.FieldsSeq(more) {
			k, v, _ := strings.Cut(pair, "=")
			labels[k] = strings.Trim(v, `"`)
		}
		within(t, fmt.Sprint(labels), func() error { return e.counted(labels) })
	}
	labels := map[string]string{"__name__": "envoy_istio_tcp_sent_bytes_total", "source_workload": "described"}
	for name, value := range common {
		if strings.HasPrefix(name, "destination_") {
			labels[name] = value
		}
	}
	within(t, fmt.Sprint(labels), func() error { return e.counted(labels) })
	for _, cluster := range []string{resource.PassthroughCluster, resource.BlackHoleCluster} {
		labels := map[string]string{"__name__": "envoy_istio_tcp_connections_opened_total", "source_principal": "unknown", "destination_service": "unknown", "destination_service_name": cluster}
		for _, name := range []string{"workload", "workload_namespace", "app", "version", "canonical_service", "canonical_revision", "service_namespace", "principal"} {
			labels["destination_"+name] = "unknown"
		}
		within(t, fmt.Sprint(labels), func() error { return e.counted(labels) })
	}
}
