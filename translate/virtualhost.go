package translate

import (
	"strconv"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// directBodyLimit is how long a directResponse may be; Envoy's own limit of
// 4 KiB is less than the API allows.
const directBodyLimit = 1 << 20

// VirtualHostInput is everything that may shape one virtual host of a sidecar.
type VirtualHostInput struct {
	Config      string // the route configuration it belongs to: "80", or "host:port" for a port of unknown protocol
	Name        string // of the virtual host within that
	Domains     Domains
	Service     *registry.Service // nil: only a VirtualService knows the host
	Port        uint32
	OriginalDst bool // requests go to the address that the client chose
	// Beside: the port is none of the service's that has the host. What is wrong with its
	// rules is told of the ports that are.
	Beside bool
	Route  RouteInput
}

// Resource is the name of the virtual host as a resource, which is its name in
// Envoy as well: removal by the incremental protocol works only then.
// A host that is called like a virtual host that stands for others has a dot behind its name, as
// no host has.
func (in VirtualHostInput) Resource() string {
	name := in.Config + "/" + in.Name
	switch in.Name {
	case allowAnyName, blockAllName, AskName:
		return name + "."
	}
	return name
}

// The names of the virtual hosts for hosts that nothing in the mesh knows, within a route
// configuration.
const (
	allowAnyName = "allow_any"
	blockAllName = "block_all"
)

// VirtualHost makes a virtual host: the routes of its VirtualService, or one
// route to its service.
func VirtualHost(in VirtualHostInput) (*routev3.VirtualHost, []object.Finding) {
	vh := &routev3.VirtualHost{Name: in.Resource(), Domains: in.Domains.all(), IncludeRequestAttemptCount: false}
	var findings []object.Finding
	if in.Route.VirtualService != nil && !in.OriginalDst {
		vh.Routes, findings = Routes(in.Route)
	}
	if in.Beside {
		findings = nil
	}
	if len(vh.Routes) == 0 && in.Service != nil {
		vh.Routes = []*routev3.Route{defaultRoute(in)}
	}
	if in.Route.Config != nil && in.Route.Config.Learns("") && !takesAll(vh.Routes) {
		vh.Routes = append(vh.Routes, noRoute())
	}
	retriedOnce(vh)
	if !in.OriginalDst {
		hosts := dynamicHosts{}
		hosts.add(in.Service)
		hosts.addOf(&in.Route)
		findings = append(findings, hosts.refuseInside(vh, func(*routev3.Route) object.Ref { return in.Route.VirtualService.Ref })...)
	}
	return vh, findings
}

// takesAll tells whether the last route matches every request.
func takesAll(routes []*routev3.Route) bool {
	if len(routes) == 0 {
		return false
	}
	all := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	return proto.Equal(routes[len(routes)-1].GetMatch(), all)
}

// noRoute answers what no rule of a host is for, as Envoy does where there is no route. Without it,
// Envoy would ask for the host that it holds.
func noRoute() *routev3.Route {
	return &routev3.Route{
		Name: "no_route", Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 404}},
	}
}

func defaultRoute(in VirtualHostInput) *routev3.Route {
	d := in.Route.Destinations[in.Service.Host]
	r := DefaultRoute(in.Service, in.Port, d, in.Route.Config)
	if in.OriginalDst {
		r.GetRoute().ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: resource.OriginalDestinationCluster(in.Service.Host, in.Port)}
	}
	return r
}

// FallbackVirtualHost answers for hosts that nothing in the mesh knows: the
// request goes to the cluster of what is [Unclaimed], or is refused with 502.
func FallbackVirtualHost(config, unclaimed string) *routev3.VirtualHost {
	if unclaimed == resource.BlackHoleCluster {
		return &routev3.VirtualHost{Name: config + "/" + blockAllName, Domains: []string{"*"}, Routes: []*routev3.Route{{
			Name:   "block_all",
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 502}},
		}}}
	}
	vh := &routev3.VirtualHost{Name: config + "/" + allowAnyName, Domains: []string{"*"}, Routes: []*routev3.Route{allowAny("allow_any", unclaimed)}}
	if unclaimed == DynamicCluster {
		vh.Routes[0].Match.Headers = hostConditions(true)[0]
		vh.Routes = append(vh.Routes, allowAny("allow_any_address", resource.PassthroughCluster))
	}
	return vh
}

func allowAny(name, cluster string) *routev3.Route {
	return &routev3.Route{
		Name:  name,
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
			Timeout:          durationpb.New(0),
			MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{
				MaxStreamDuration: durationpb.New(0), GrpcTimeoutHeaderMax: durationpb.New(0),
			},
		}},
	}
}

// RouteFrame is a route configuration without its virtual hosts, which travel
// by themselves.
func RouteFrame(name string) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name:                           name,
		ValidateClusters:               wrapperspb.Bool(false),
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(directBodyLimit),
		IgnorePortInHostMatching:       true,
	}
}

// PortConfig is the name of the route configuration that all HTTP services of
// a port share.
func PortConfig(port uint32) string { return strconv.FormatUint(uint64(port), 10) }

// hostConfig is the name of the route configuration of one port of unknown
// protocol.
func hostConfig(host string, port uint32) string { return host + ":" + PortConfig(port) }
