package translate

import (
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestRetriedOnce holds that what a route retries does not depend on where it
// is said, and that a route is not written to: other hosts may have it, too.
func TestRetriedOnce(t *testing.T) {
	often, seldom := &routev3.RetryPolicy{RetryOn: "5xx", NumRetries: wrapperspb.UInt32(5)}, &routev3.RetryPolicy{RetryOn: "5xx", NumRetries: wrapperspb.UInt32(1)}
	to := func(p *routev3.RetryPolicy) *routev3.Route {
		return &routev3.Route{Action: &routev3.Route_Route{Route: &routev3.RouteAction{RetryPolicy: proto.CloneOf(p)}}}
	}
	answer := &routev3.Route{Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}}}
	for name, c := range map[string]struct {
		routes []*routev3.Route
		once   bool
	}{
		"one":                        {[]*routev3.Route{to(often)}, false},
		"two alike":                  {[]*routev3.Route{to(often), to(often)}, true},
		"two alike, and an answer":   {[]*routev3.Route{answer, to(often), to(often)}, true},
		"two alike, and another":     {[]*routev3.Route{to(often), to(seldom), to(often)}, true},
		"two":                        {[]*routev3.Route{to(often), to(seldom)}, false},
		"two alike, and one without": {[]*routev3.Route{to(often), to(often), to(nil)}, false},
		"only an answer":             {[]*routev3.Route{answer}, false},
		"nothing":                    {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := &routev3.VirtualHost{Routes: c.routes}
			sent := &routev3.VirtualHost{Routes: append([]*routev3.Route{}, c.routes...)}
			untouched := proto.CloneOf(before)
			retriedOnce(sent)
			if !proto.Equal(before, untouched) {
				t.Errorf("a route was written to: %v", before)
			}
			if (sent.RetryPolicy != nil) != c.once {
				t.Errorf("said once: %v", sent.RetryPolicy)
			}
			for i, r := range sent.Routes {
				effective := r.GetRoute().GetRetryPolicy()
				if effective == nil && r.GetRoute() != nil {
					effective = sent.RetryPolicy
				}
				if want := c.routes[i].GetRoute().GetRetryPolicy(); !proto.Equal(effective, want) {
					t.Errorf("route %d: %v, want %v", i, effective, want)
				}
			}
		})
	}
}
