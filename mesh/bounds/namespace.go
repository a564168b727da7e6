package bounds

import (
	"google.golang.org/protobuf/proto"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// NamespaceLimits are how much all objects of a kind in one namespace may ask for
// together: many objects, each within the Limits of its own, add up. The oldest objects
// come first, and one that does not fit beside them is left out.
var NamespaceLimits = []Limit{
	{object.KindVirtualService, "spec.hosts × matches", 5 * MaxRoutes, "routes", of(func(o *networkingv1.VirtualService) int {
		return max(1, len(o.Spec.Hosts)) * CostOfRules(&o.Spec).Matches
	})},
	{object.KindVirtualService, "spec.hosts × matches × what their rules say", 4 * MaxExpanded, "bytes", of(func(o *networkingv1.VirtualService) int {
		return max(1, len(o.Spec.Hosts)) * CostOfRules(&o.Spec).Bytes
	})},
	{object.KindDestinationRule, "spec.subsets × trafficPolicy", 4 * MaxExpanded, "bytes", of(func(o *networkingv1.DestinationRule) int { return costOfPolicies(&o.Spec) })},
	{object.KindServiceEntry, "spec.hosts × ports", 20_000, "clusters", of(clustersOf)},
	{object.KindServiceEntry, "spec.hosts × addresses × ports", 20_000, "addresses of listeners", of(func(o *networkingv1.ServiceEntry) int { return clustersOf(o) * len(o.Spec.Addresses) })},
	{object.KindServiceEntry, "spec.hosts × addresses × ports that are not HTTP", maxEntryListeners, "listeners", of(entryListeners)},
	{object.KindServiceEntry, "spec.hosts × endpoints × ports", 4 * MaxEntryEndpoints, "endpoints of clusters", of(func(o *networkingv1.ServiceEntry) int { return clustersOf(o) * len(o.Spec.Endpoints) })},
	{object.KindGateway, "spec.servers", 2000, "servers", of(func(o *networkingv1.Gateway) int { return len(o.Spec.Servers) })},
	{object.KindGateway, "spec.servers[*].hosts", 10_000, "hosts", of(serverHosts)},
	{object.KindGateway, "spec.servers[*].hosts × tls", 4 * MaxExpanded, "bytes", of(costOfServers)},
	{object.KindAuthorizationPolicy, "spec.rules × from and to × when", 4 * maxPolicy, "bytes", of(func(o *securityv1.AuthorizationPolicy) int { return costOfPolicy(&o.Spec) })},
	{object.KindRequestAuthentication, "spec.jwtRules", 2000, "rules", of(func(o *securityv1.RequestAuthentication) int { return len(o.Spec.JwtRules) })},
	{object.KindRequestAuthentication, "spec", 4 * maxPolicy, "bytes", of(func(o *securityv1.RequestAuthentication) int { return proto.Size(&o.Spec) })},
	{object.KindTelemetry, "spec.metrics, tracing and accessLogging", 5000, "entries with their providers and overrides", of(telemetryEntries)},
	{object.KindTelemetry, "spec", 4 * maxPolicy, "bytes", of(func(o *telemetryv1.Telemetry) int { return proto.Size(&o.Spec) })},
	{object.KindHTTPRoute, "spec.parentRefs × hostnames × matches", 5 * MaxRoutes, "routes", of(func(o *gatewayv1.HTTPRoute) int {
		return max(1, len(o.Spec.ParentRefs)) * max(1, len(o.Spec.Hostnames)) * matchesOf(o)
	})},
}

// OfNamespace are the NamespaceLimits of a kind.
func OfNamespace(kind object.Kind) (out []Limit) {
	for _, l := range NamespaceLimits {
		if l.Kind == kind {
			out = append(out, l)
		}
	}
	return out
}
