package translate

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	envoymatcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/translate/resource"
)

// setOutlierDetection ejects endpoints that keep failing. Ejection by success
// rate, which Envoy has on by itself, is not part of the API and off.
func (b *clusterBuilder) setOutlierDetection() {
	o := b.outlier
	if o == nil {
		return
	}
	d := &clusterv3.OutlierDetection{
		EnforcingSuccessRate: wrapperspb.UInt32(0),
		Interval:             resource.Positive(o.Interval),
		BaseEjectionTime:     resource.Positive(o.BaseEjectionTime),
	}
	//nolint:staticcheck // old rules carry consecutiveErrors, which counted 502, 503 and 504
	if n := o.ConsecutiveErrors; n > 0 {
		d.ConsecutiveGatewayFailure, d.EnforcingConsecutiveGatewayFailure = failures(uint32(n))
	}
	if n := o.Consecutive_5XxErrors; n != nil {
		d.Consecutive_5Xx, d.EnforcingConsecutive_5Xx = failures(n.Value)
	}
	if n := o.ConsecutiveGatewayErrors; n != nil {
		d.ConsecutiveGatewayFailure, d.EnforcingConsecutiveGatewayFailure = failures(n.Value)
	}
	if n := o.FailurePercentageThreshold; n != nil {
		d.FailurePercentageThreshold, d.EnforcingFailurePercentage = failures(min(n.Value, 100))
	}
	if n := o.MaxEjectionPercent; n > 0 {
		d.MaxEjectionPercent = wrapperspb.UInt32(uint32(min(n, 100)))
	}
	if o.SplitExternalLocalOriginErrors {
		d.SplitExternalLocalOriginErrors = true
		d.EnforcingLocalOriginSuccessRate = wrapperspb.UInt32(0)
		if n := o.ConsecutiveLocalOriginFailures; n.GetValue() > 0 {
			d.ConsecutiveLocalOriginFailure, d.EnforcingConsecutiveLocalOriginFailure = failures(n.Value)
		}
	}
	b.cluster.OutlierDetection = d
	if n := o.MinHealthPercent; n > 0 {
		b.cluster.CommonLbConfig.HealthyPanicThreshold = &typev3.Percent{Value: float64(min(n, 100))}
	}
}

// failures is a number of failures in a row and how surely it ejects: always,
// or for 0 never.
func failures(n uint32) (count, enforcing *wrapperspb.UInt32Value) {
	if n == 0 {
		return wrapperspb.UInt32(0), wrapperspb.UInt32(0)
	}
	return wrapperspb.UInt32(n), wrapperspb.UInt32(100)
}

// errorCodes makes the status codes count as failures, and no others.
func errorCodes(codes []uint32) *httpv3.HttpProtocolOptions_OutlierDetection {
	var rules []*matcherv3.MatchPredicate
	for _, code := range codes {
		rules = append(rules, &matcherv3.MatchPredicate{Rule: &matcherv3.MatchPredicate_HttpResponseHeadersMatch{
			HttpResponseHeadersMatch: &matcherv3.HttpHeadersMatch{Headers: []*routev3.HeaderMatcher{{
				Name: ":status",
				HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &envoymatcherv3.StringMatcher{
					MatchPattern: &envoymatcherv3.StringMatcher_Exact{Exact: fmt.Sprint(code)},
				}},
			}}},
		}})
	}
	if len(rules) == 1 {
		return &httpv3.HttpProtocolOptions_OutlierDetection{ErrorMatcher: rules[0]}
	}
	return &httpv3.HttpProtocolOptions_OutlierDetection{ErrorMatcher: &matcherv3.MatchPredicate{
		Rule: &matcherv3.MatchPredicate_OrMatch{OrMatch: &matcherv3.MatchPredicate_MatchSet{Rules: rules}},
	}}
}
