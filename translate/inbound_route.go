package translate

import (
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// inboundRoutes lead every request to the application. How long it may take is
// the client's affair: nothing here ends a request.
func inboundRoutes(p mesh.InboundPort, cluster string, cfg *mesh.Config) *routev3.RouteConfiguration {
	number := strconv.FormatUint(uint64(p.Number), 10)
	never := durationpb.New(0)
	action := &routev3.RouteAction{
		ClusterSpecifier:  &routev3.RouteAction_Cluster{Cluster: cluster},
		Timeout:           never,
		MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: never, GrpcTimeoutHeaderMax: never},
	}
	action.RetryPolicy = inboundRetries(p.Protocol, cfg)
	operation := ":" + number + "/*"
	if p.Service != nil {
		operation = p.Service.Host + operation
	}
	return &routev3.RouteConfiguration{
		Name:             resource.InboundCluster(p.Number),
		ValidateClusters: wrapperspb.Bool(false),
		VirtualHosts: []*routev3.VirtualHost{{
			Name:    "inbound|http|" + number,
			Domains: []string{"*"},
			Routes: []*routev3.Route{{
				Name:      "default",
				Match:     &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Decorator: &routev3.Decorator{Operation: operation},
				Action:    &routev3.Route_Route{Route: action},
			}},
		}},
	}
}

// inboundRetries is how requests are sent again to the application; nil: not at all. It may
// close a kept-alive connection just when a request is on its way, and what it has not
// seen may be sent again. MeshConfig.defaultInboundHttpRetryPolicy says otherwise, gRPC
// excepted; of it only what makes sense for one application counts.
func inboundRetries(p object.Protocol, cfg *mesh.Config) *routev3.RetryPolicy {
	const beforeRequest = "reset-before-request"
	in := cfg.GetDefaultInboundHttpRetryPolicy()
	switch {
	case p == object.ProtocolGRPC || p == object.ProtocolGRPCWeb:
		return nil
	case in == nil && p.IsHTTP2():
		return nil
	case in == nil:
		return &routev3.RetryPolicy{RetryOn: beforeRequest, NumRetries: wrapperspb.UInt32(defaultRetries)}
	case in.Attempts <= 0:
		return nil
	}
	out := &routev3.RetryPolicy{RetryOn: beforeRequest, NumRetries: wrapperspb.UInt32(uint32(in.Attempts))}
	if strings.TrimSpace(in.RetryOn) != "" {
		out.RetryOn, out.RetriableStatusCodes = retryOn(in.RetryOn)
	}
	if d := atLeastMilli(in.Backoff); d != nil {
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: d}
	}
	return out
}
