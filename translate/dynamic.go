package translate

import (
	"regexp"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// DynamicCluster is the cluster of requests for hosts that the mesh does not know, where
// proxies resolve their names (MeshConfig.outboundTrafficPolicy ALLOW_ANY_DYNAMIC_DNS).
const DynamicCluster = "DynamicDNSCluster"

// UnclaimedRequests is the cluster of requests whose host nothing in the mesh knows. It
// differs from what is [Unclaimed] of connections only where names are resolved, which
// connections do not have.
func UnclaimedRequests(v *mesh.View) string {
	to := Unclaimed(v)
	if to == resource.PassthroughCluster && v.Config.ResolvesUnknown() && (v.Sidecar == nil || v.Sidecar.Spec.OutboundTrafficPolicy == nil) {
		return DynamicCluster
	}
	return to
}

// DynamicClusters are the clusters for names that proxies resolve: none or one. It is the
// cluster that a ServiceEntry of resolution DYNAMIC_DNS for every host would have, with the
// TLS settings of the mesh configuration.
func DynamicClusters(config *mesh.Config) []*clusterv3.Cluster {
	if !config.ResolvesUnknown() {
		return nil
	}
	in := ClusterInput{
		Service: &registry.Service{Host: "*", External: true, Resolution: registry.ResolutionDynamicDNS, Ports: []registry.Port{{Name: "http", Number: 80, Protocol: object.ProtocolAuto}}},
		Port:    80, Config: config,
	}
	if t := config.GetOutboundTrafficPolicy().GetTls(); t != nil {
		in.Rule = &traffic.DestinationRule{Refs: []object.Ref{config.Ref}, Host: "*", Policy: &networking.TrafficPolicy{Tls: t}}
	}
	c, _ := Cluster(in, nil)
	c.Name = DynamicCluster
	c.Metadata = ofNobody(c.Name)
	return []*clusterv3.Cluster{c}
}

// notResolved are the hosts, with their ports, whose names proxies do not resolve by
// themselves: all that are not a name, or a name and a port of plain digits; addresses in all
// their forms; names of the proxy's own pod and of metadata servers; and the proxy's own
// ports. Who writes the Host of a request is not always who runs the client: such requests go
// where the client connected to, as without this mode. They are regular expressions (RE2) of
// whole hosts, each small enough for an Envoy that allows what Envoy allows by itself.
var notResolved = func() []string {
	list := []string{
		`(?i)(.*\.)?(localhost|0x[0-9a-f]*|[0-9]+)\.*(:[0-9]*)?`,
		`(?i).*[^-a-z0-9._:].*`,
		// Envoy reads a port as generously as it can, with a sign before it as well.
		`.*:(0*150([0-8][0-9]|90)|.*[^0-9].*)?`,
		`.*:0*([1-9][0-9]{5,}|[7-9][0-9]{4}|6[6-9][0-9]{3}|65[6-9][0-9]{2}|655[4-9][0-9]|6553[6-9])`,
	}
	var names string
	for _, n := range mesh.InsideNames() {
		if names != "" && len(names)+len(n) > maxNames {
			list, names = append(list, ownNames(names)), ""
		}
		names += "|" + regexp.QuoteMeta(n)
	}
	return append(list, ownNames(names))
}()

// maxNames is how long the names in one expression may be.
const maxNames = 70

func ownNames(names string) string { return `(?i)(` + names[1:] + `)\.*(:[0-9]*)?` }

// hostConditions are conditions on the host of a request. To be resolved it has to meet all
// of the one list: to be none of notResolved. Otherwise it meets one of many.
func hostConditions(resolved bool) (out [][]*routev3.HeaderMatcher) {
	for _, regex := range notResolved {
		out = append(out, []*routev3.HeaderMatcher{{
			Name: ":authority", InvertMatch: resolved,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: regex}},
			}},
		}})
	}
	if resolved {
		out = [][]*routev3.HeaderMatcher{slices.Concat(out...)}
	}
	return out
}

// resolvedPort is the port on which requests are found without an HTTP service of the mesh.
const resolvedPort = 80

// dynamicDetection is how long a connection to resolvedPort may say nothing before it is one
// of bytes, where the mesh configuration does not say it.
const dynamicDetection = time.Second

// setDynamic has the listener of captured connections read requests on resolvedPort. Others
// it does not look at: it sees connections to all services first, and those of servers that
// speak first would wait.
func setDynamic(l *listenerv3.Listener, r telemetry.Reporting, cfg *mesh.Config) {
	l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{
		Name:             DynamicCluster,
		FilterChainMatch: &listenerv3.FilterChainMatch{ApplicationProtocols: []string{"http/1.0", "http/1.1", "h2c"}},
		Filters: HTTPFilters(HCMInput{
			Direction: resource.Outbound, StatPrefix: "outbound_" + l.Name, Reporting: r, Config: cfg,
			Routes: &routev3.RouteConfiguration{Name: DynamicCluster, VirtualHosts: []*routev3.VirtualHost{FallbackVirtualHost(DynamicCluster, DynamicCluster)}},
		}),
	})
	inspector := listenerFilter("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{})
	inspector.FilterDisabled = &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_NotMatch{
		NotMatch: &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
			DestinationPortRange: &typev3.Int32Range{Start: resolvedPort, End: resolvedPort + 1},
		}},
	}}
	// UseOriginalDst finds the destination after all filters; the inspector has to know it.
	l.ListenerFilters = append(l.ListenerFilters, listenerFilter("envoy.filters.listener.original_dst", &originaldstv3.OriginalDst{}), inspector)
	timeout := resource.Positive(cfg.GetProtocolDetectionTimeout()).AsDuration()
	if timeout == 0 {
		timeout = dynamicDetection
	}
	l.ListenerFiltersTimeout, l.ContinueOnListenerFiltersTimeout = durationpb.New(timeout), true
}
