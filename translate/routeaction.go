package translate

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// action is where a rule sends requests. Header operations of a destination
// that is alone are added to headers, those of the route.
func (b *routeBuilder) action(rule *networking.HTTPRoute, m *networking.HTTPMatchRequest, to *targets, headers *headerMutations) *routev3.RouteAction {
	a := &routev3.RouteAction{RequestMirrorPolicies: mirrorPolicies(rule, to.mirrors)}
	setTimeout(a, rule.Timeout)
	if authority := rule.Rewrite.GetAuthority(); authority != "" {
		headers.authority = authority
	}
	b.setDestinations(a, rule.Route, to.route, headers)
	a.RetryPolicy = retryPolicy(rule.Retries, len(a.HashPolicy) > 0, b.Config)
	rewritePath(a, rule.Rewrite)
	if b.VirtualService.GatewayAPI {
		a.ClusterNotFoundResponseCode = routev3.RouteAction_INTERNAL_SERVER_ERROR
		if with := rule.Rewrite.GetUri(); with != "" {
			a.PrefixRewrite, a.RegexRewrite = "", replacePrefix(m.GetUri().GetPrefix(), with)
		}
	}
	if headers.authority != "" {
		a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: headers.authority}
	}
	a.AppendXForwardedHost = b.Config.GetDefaultConfig().GetProxyHeaders().GetXForwardedHost().GetEnabled().GetValue()
	return a
}

// setTimeout limits how long a request may take; nil is no limit, where Envoy
// left alone would take 15 seconds. A gRPC client's own deadline holds within
// the limit.
func setTimeout(a *routev3.RouteAction, timeout *durationpb.Duration) {
	if timeout == nil {
		timeout = durationpb.New(0)
	}
	a.Timeout = timeout
	// Envoy ignores timeout as soon as the newer max_stream_duration is there.
	a.MaxGrpcTimeout = timeout //nolint:staticcheck // the only one that goes with timeout
}

// setDestinations sets the cluster, or the weighted ones. Of several, those
// without weight get nothing; one alone gets everything.
func (b *routeBuilder) setDestinations(a *routev3.RouteAction, route []*networking.HTTPRouteDestination, to []target, headers *headerMutations) {
	var live []int
	for i, d := range route {
		if d.Weight > 0 || len(route) == 1 {
			live = append(live, i)
			addHash(a, to[i].hash)
		}
	}
	if len(live) == 1 {
		d := route[live[0]]
		a.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: to[live[0]].cluster}
		headers.add(headerMutationsOf(d.Headers))
		return
	}
	w := &routev3.WeightedCluster{}
	given := make([]uint64, len(live))
	for n, i := range live {
		given[n] = uint64(max(route[i].Weight, 0))
	}
	weights := scaledWeights(given)
	for n, i := range live {
		c := &routev3.WeightedCluster_ClusterWeight{Name: to[i].cluster, Weight: wrapperspb.UInt32(weights[n])}
		own := headerMutationsOf(route[i].Headers)
		if headers.authority != "" {
			own.authority = ""
		}
		own.applyToCluster(c)
		withSession(c, to[i].session)
		w.Clusters = append(w.Clusters, c)
	}
	a.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: w}
}

// addHash adds the hash policies that are not there yet: Envoy hashes before
// it chooses among weighted clusters.
func addHash(a *routev3.RouteAction, policies []*routev3.RouteAction_HashPolicy) {
next:
	for _, p := range policies {
		for _, have := range a.HashPolicy {
			if proto.Equal(have, p) {
				continue next
			}
		}
		a.HashPolicy = append(a.HashPolicy, p)
	}
}
