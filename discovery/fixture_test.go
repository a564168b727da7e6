package discovery

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

func res(t testing.TB, typ snapshot.Type, name string, m proto.Message) *snapshot.Resource {
	t.Helper()
	r, err := snapshot.NewResource(typ, name, m, object.Ref{Kind: object.KindService, Namespace: "default", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// heldOf is what a proxy says that holds these versions by name.
func heldOf(t testing.TB, versions map[string]string) held {
	t.Helper()
	data, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{InitialResourceVersions: versions})
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodeDelta(data)
	if err != nil {
		t.Fatal(err)
	}
	return r.held
}

func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

// edsCluster is a cluster; mark tells versions apart.
func edsCluster(t testing.TB, name, mark string) *snapshot.Resource {
	return res(t, snapshot.Cluster, name, &clusterv3.Cluster{
		Name: name, AltStatName: mark, ConnectTimeout: durationpb.New(time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: adsSource()},
	})
}

func address(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
}

func endpoints(t testing.TB, name string, ports ...uint32) *snapshot.Resource {
	var list []*endpointv3.LbEndpoint
	for _, p := range ports {
		list = append(list, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: address("127.0.0.1", p)}}})
	}
	return res(t, snapshot.Endpoint, name, &endpointv3.ClusterLoadAssignment{ClusterName: name,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: list}}})
}

func anyOf(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// rdsListener serves a route configuration on a loopback port.
func rdsListener(t testing.TB, name string, port uint32, routeConfig string) *snapshot.Resource {
	manager := &hcmv3.HttpConnectionManager{StatPrefix: name,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routeConfig, ConfigSource: adsSource()}},
		HttpFilters: []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router",
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: anyOf(t, &routerv3.Router{})}}},
	}
	return res(t, snapshot.Listener, name, &listenerv3.Listener{Name: name, Address: address("127.0.0.1", port),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{Name: "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: anyOf(t, manager)}}}}}})
}

func frame(t testing.TB, name string) *snapshot.Resource {
	return res(t, snapshot.RouteConfig, name, &routev3.RouteConfiguration{Name: name})
}

// virtualHost routes domain to cluster, or answers 404 without one.
func virtualHost(t testing.TB, routeConfig, domain, cluster string) *snapshot.Resource {
	name := routeConfig + "/" + domain
	route := &routev3.Route{Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}}
	if cluster == "" {
		route.Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 404}}
	} else {
		route.Action = &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}}
	}
	return res(t, snapshot.VirtualHost, name, &routev3.VirtualHost{Name: name, Domains: []string{domain}, Routes: []*routev3.Route{route}})
}

// meshOf is a small mesh: services with a cluster, endpoints and a virtual host each.
func meshOf(t testing.TB, services int) snapshot.Stack {
	list := []*snapshot.Resource{rdsListener(t, "0.0.0.0_80", 18080, "80"), frame(t, "80"), virtualHost(t, "80", "*", "")}
	for i := range services {
		name := fmt.Sprintf("svc-%04d", i)
		list = append(list, edsCluster(t, name, ""), endpoints(t, name, 9000), virtualHost(t, "80", name, name))
	}
	return snapshot.Stack{snapshot.NewRevision(list...)}
}

// with changes the first layer of a stack.
func with(s snapshot.Stack, put []*snapshot.Resource, gone ...snapshot.Key) snapshot.Stack {
	s[snapshot.LayerOutbound] = s[snapshot.LayerOutbound].With(put, gone...)
	return s
}

// harness is a server on loopback whose views all show one stack.
type harness struct {
	server *Server
	addr   string
	mu     sync.Mutex
	stack  snapshot.Stack
	views  map[*snapshot.View]bool
	reject []Rejection
}

func serve(t testing.TB, stack snapshot.Stack, change func(*Config), transport Transport) *harness {
	t.Helper()
	h := &harness{stack: stack, views: map[*snapshot.View]bool{}}
	config := Config{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Attach: func(context.Context, *snapshot.Client) (*snapshot.View, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			var view *snapshot.View
			view = snapshot.NewView(h.stack, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				delete(h.views, view)
			})
			h.views[view] = true
			return view, nil
		},
		OnReject: func(r Rejection) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.reject = append(h.reject, r)
		},
	}
	if change != nil {
		change(&config)
	}
	h.server = New(config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.server.Serve(ctx, listener, transport) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.views) > 0 {
			t.Errorf("%d views were not closed", len(h.views))
		}
	})
	return h
}

func (h *harness) publish(stack snapshot.Stack) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stack = stack
	for v := range h.views {
		v.Publish(stack)
	}
}

func (h *harness) rejections() []Rejection {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Rejection(nil), h.reject...)
}

const nodeID = "sidecar~10.0.0.1~app-1.default~default.svc.cluster.local"

// connect runs a client until the test ends or stop is called.
func connect(t testing.TB, addr string, o wire.Options) (c *wire.Client, stop func()) {
	t.Helper()
	if o.NodeID == "" {
		o.NodeID = nodeID
	}
	c = wire.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx, addr)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return c, stop
}

// eventually polls until ok, and fails the test after a while.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// holds says whether a client has the resources of a stack.
func holds(c *wire.Client, stack snapshot.Stack, inline bool) bool {
	for t := range snapshot.NumTypes {
		if inline && t == snapshot.VirtualHost {
			continue
		}
		if c.Len(t) != stack.Len(t) {
			return false
		}
		for r := range stack.All(t) {
			if v, ok := c.Version(t, r.Name); !ok || !inline && v != r.Version {
				return false
			}
		}
	}
	return true
}

// wrongCluster is one that Envoy refuses though it is well-formed.
func wrongCluster() *clusterv3.Cluster {
	return &clusterv3.Cluster{Name: "wrong", ConnectTimeout: durationpb.New(time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LbPolicy:             clusterv3.Cluster_CLUSTER_PROVIDED}
}
