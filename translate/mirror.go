package translate

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// mirror is a destination that gets copies of a share of the requests.
type mirror struct {
	destination *networking.Destination
	percent     float64
	field       string // of the destination, within the rule
}

// mirrorsOf are those of a rule, from the field for one and the field for
// many. Without a percentage every request is copied; with 0, none.
func mirrorsOf(rule *networking.HTTPRoute) []mirror {
	var out []mirror
	add := func(d *networking.Destination, percent float64, field string) {
		if d != nil && percent > 0 {
			out = append(out, mirror{d, percent, field})
		}
	}
	percent := 100.0
	if rule.MirrorPercentage != nil {
		percent = rule.MirrorPercentage.Value
	} else if old := rule.MirrorPercent; old != nil { //nolint:staticcheck // the field of old is still written
		percent = float64(old.Value)
	}
	add(rule.Mirror, percent, ".mirror")
	for i, m := range rule.Mirrors {
		percent := 100.0
		if m.Percentage != nil {
			percent = m.Percentage.Value
		}
		add(m.Destination, percent, ".mirrors["+strconv.Itoa(i)+"].destination")
	}
	return out
}

// mirrorPolicies make the copies of a rule's requests. They keep the Host of
// the request, and are not traced.
func mirrorPolicies(rule *networking.HTTPRoute, to []target) []*routev3.RouteAction_RequestMirrorPolicy {
	var out []*routev3.RouteAction_RequestMirrorPolicy
	for i, m := range mirrorsOf(rule) {
		out = append(out, &routev3.RouteAction_RequestMirrorPolicy{
			Cluster:                       to[i].cluster,
			RuntimeFraction:               &corev3.RuntimeFractionalPercent{DefaultValue: fraction(m.percent)},
			TraceSampled:                  wrapperspb.Bool(false),
			DisableShadowHostSuffixAppend: true,
		})
	}
	return out
}
