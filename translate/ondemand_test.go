package translate

import (
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// TestHeldHostsAreNotAskedFor: while sidecars ask for hosts that no route matches, a host whose
// rules do not take every request answers the others itself.
func TestHeldHostsAreNotAskedFor(t *testing.T) {
	for _, c := range []struct {
		name, scope, prefix string
		routes              int
	}{
		{"nobody learns", "", "/v1", 1},
		{"some learn", "shop", "/v1", 2},
		{"the rules take all", "shop", "/", 1},
	} {
		config := mesh.DefaultConfig()
		config.LearnedScope = c.scope
		vs := &traffic.VirtualService{Spec: &networking.VirtualService{Http: []*networking.HTTPRoute{{
			Match:          []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: c.prefix}}}},
			DirectResponse: &networking.HTTPDirectResponse{Status: 200},
		}}}}
		vh, _ := VirtualHost(VirtualHostInput{Config: "80", Name: "a.example", Domains: Domains{Wide: []string{"a.example"}}, Port: 80, Route: RouteInput{VirtualService: vs, Gateway: "mesh", Port: 80, Config: config}})
		if len(vh.GetRoutes()) != c.routes {
			t.Errorf("%s: %d routes, want %d", c.name, len(vh.GetRoutes()), c.routes)
		} else if last := vh.GetRoutes()[c.routes-1]; c.routes == 2 && last.GetDirectResponse().GetStatus() != 404 {
			t.Errorf("%s: the last route is %v", c.name, last)
		}
	}
}
