package translate

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// cors maps CorsPolicy; nil in, nil out. Preflight requests from other origins
// go on to the application unless unmatchedPreflights is IGNORE.
func cors(in *networking.CorsPolicy) proto.Message {
	if in == nil {
		return nil
	}
	p := &corsv3.CorsPolicy{
		AllowMethods:                 strings.Join(in.AllowMethods, ","),
		AllowHeaders:                 strings.Join(in.AllowHeaders, ","),
		ExposeHeaders:                strings.Join(in.ExposeHeaders, ","),
		FilterEnabled:                &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100, Denominator: typev3.FractionalPercent_HUNDRED}},
		ForwardNotMatchingPreflights: wrapperspb.Bool(in.UnmatchedPreflights != networking.CorsPolicy_IGNORE),
	}
	for _, o := range in.AllowOrigins {
		p.AllowOriginStringMatch = append(p.AllowOriginStringMatch, stringMatcher(o))
	}
	if len(in.AllowOrigins) == 0 {
		for _, o := range in.AllowOrigin { //nolint:staticcheck // the field of old is still written
			p.AllowOriginStringMatch = append(p.AllowOriginStringMatch, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: o}})
		}
	}
	if in.AllowCredentials != nil {
		p.AllowCredentials = wrapperspb.Bool(in.AllowCredentials.Value)
	}
	if in.MaxAge != nil {
		p.MaxAge = strconv.FormatInt(in.MaxAge.Seconds, 10)
	}
	return p
}
