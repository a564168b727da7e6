package telemetry

import (
	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	transformv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/actions/transform_stat/v3"
	statsinputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/stats/v3"

	"github.com/fairway-mesh/fairway/translate/resource"
)

// orUnknown is a label of something that connections without TLS do not have.
func orUnknown(name, format string) *statsv3.Config_Tag {
	t := tag(name, format)
	t.Rules = matchingValue(&xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_Exact{Exact: ""}}, Unknown)
	return t
}

// requestProtocol tells gRPC, which is known by its content type, from other
// requests.
func requestProtocol() *statsv3.Config_Tag {
	t := tag("request_protocol", "%REQ(CONTENT-TYPE)%")
	t.Rules = matchingValue(&xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_Prefix{Prefix: "application/grpc"}}, "grpc")
	t.Rules.OnNoMatch = becomes("http")
	return t
}

// matchingValue replaces the value of a label where it matches. An expression
// would say the same for seven times the memory.
func matchingValue(match *xdsmatcherv3.StringMatcher, value string) *xdsmatcherv3.Matcher {
	return &xdsmatcherv3.Matcher{MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{
		Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{{
			Predicate: &xdsmatcherv3.Matcher_MatcherList_Predicate{MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
				SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
					Input:   &xdscorev3.TypedExtensionConfig{Name: "value", TypedConfig: resource.Pack(&statsinputv3.StatTagValueInput{})},
					Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: match},
				},
			}},
			OnMatch: becomes(value),
		}},
	}}}
}

func becomes(value string) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{Action: &xdscorev3.TypedExtensionConfig{
		Name: "becomes", TypedConfig: resource.Pack(&transformv3.TransformStat{UpdateTag: &transformv3.TransformStat_UpdateTag{NewTagValue: value}}),
	}}}
}
