package translate

import (
	"strconv"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh"
)

// inboundRoutes lead every request to the application. How long it may take is
// the client's affair: nothing here ends a request.
func inboundRoutes(p mesh.InboundPort, cluster string) *routev3.RouteConfiguration {
	number := strconv.FormatUint(uint64(p.Number), 10)
	never := durationpb.New(0)
	action := &routev3.RouteAction{
		ClusterSpecifier:  &routev3.RouteAction_Cluster{Cluster: cluster},
		Timeout:           never,
		MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: never, GrpcTimeoutHeaderMax: never},
	}
	if !p.Protocol.IsHTTP2() {
		// The application may close a kept-alive connection just when a
		// request is on its way; what it has not seen may be sent again.
		action.RetryPolicy = &routev3.RetryPolicy{RetryOn: "reset-before-request", NumRetries: wrapperspb.UInt32(2)}
	}
	operation := ":" + number + "/*"
	if p.Service != nil {
		operation = p.Service.Host + operation
	}
	return &routev3.RouteConfiguration{
		Name:             InboundCluster(p.Number),
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
