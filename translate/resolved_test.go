package translate

import (
	"fmt"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh/object"
)

const wildCluster = "outbound|80||*.wild.example"

var wildHosts = dynamicHosts{"*.wild.example": true}

func routeTo(cluster string) *routev3.Route {
	return &routev3.Route{Match: &routev3.RouteMatch{}, Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}}}
}

func nobodysRule(*routev3.Route) object.Ref { return object.Ref{Name: "rule"} }

// shape says what the routes are: where they lead or what they answer, with "?" where the
// host is looked at.
func shape(vh *routev3.VirtualHost) (out string) {
	for _, r := range vh.Routes {
		switch {
		case r.GetDirectResponse() != nil:
			out += fmt.Sprint(r.GetDirectResponse().Status)
		case len(r.GetRoute().RequestMirrorPolicies) > 0:
			out += r.GetRoute().GetCluster()[:1] + "+mirror"
		default:
			out += r.GetRoute().GetCluster()[:1]
		}
		if len(r.Match.Headers) > 0 {
			out += "?"
		}
		out += " "
	}
	return out
}

// TestWhatIsGuarded: where all requests go to names that are resolved, hosts are looked at
// once; beside others at each route, and those others are led as before.
func TestWhatIsGuarded(t *testing.T) {
	mirrors := routeTo("plain")
	mirrors.GetRoute().RequestMirrorPolicies = []*routev3.RouteAction_RequestMirrorPolicy{{Cluster: wildCluster}}
	top := ""
	for range notResolved {
		top += "403? "
	}
	for want, routes := range map[string][]*routev3.Route{
		top + "o o ":   {routeTo(wildCluster), routeTo(wildCluster)},
		"o? 403 p ":    {routeTo(wildCluster), routeTo("plain")},
		"p+mirror? p ": {mirrors},
		"p ":           {routeTo("plain")},
	} {
		vh := &routev3.VirtualHost{Routes: routes}
		if found := wildHosts.refuseInside(vh, nobodysRule); shape(vh) != want || len(found) > 0 {
			t.Errorf("the routes are %q, want %q; found %v", shape(vh), want, found)
		}
	}
}

// TestGuardsAreBounded: what is beyond the bound is closed, and said.
func TestGuardsAreBounded(t *testing.T) {
	vh := &routev3.VirtualHost{Routes: []*routev3.Route{routeTo("plain")}}
	for range maxGuarded + 3 {
		vh.Routes = append(vh.Routes, routeTo(wildCluster))
	}
	found := wildHosts.refuseInside(vh, nobodysRule)
	if len(vh.Routes) != 1+2*maxGuarded+3 || len(found) != 1 || found[0].Object.Name != "rule" {
		t.Errorf("%d routes, found %v", len(vh.Routes), found)
	}
}

// TestHostsThatRulesWrite: a rule that leads to a service whose names are resolved may write
// another host, but none that leads inside.
func TestHostsThatRulesWrite(t *testing.T) {
	for host, closed := range map[string]bool{"": false, "a.example": false, "a.example:8080": false, "localhost": true, "127.0.0.1:80": true, "a.example:15000": true, "a.example:+15000": true} {
		plain := routeTo(wildCluster)
		other := &routev3.WeightedCluster_ClusterWeight{Name: "plain", Weight: wrapperspb.UInt32(1), HostRewriteSpecifier: &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: "localhost"}}
		part := &routev3.WeightedCluster_ClusterWeight{Name: wildCluster, Weight: wrapperspb.UInt32(1)}
		if host != "" {
			plain.GetRoute().HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: host}
			part.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: host}
		}
		split := routeTo("")
		split.GetRoute().ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: &routev3.WeightedCluster{Clusters: []*routev3.WeightedCluster_ClusterWeight{other, part}}}
		for name, r := range map[string]*routev3.Route{"plain": plain, "weighted": split} {
			vh := &routev3.VirtualHost{Routes: []*routev3.Route{r}}
			wildHosts.refuseInside(vh, nobodysRule)
			if is := vh.Routes[len(vh.Routes)-1].GetDirectResponse().GetStatus() == 403; is != closed {
				t.Errorf("%s, %q: refused is %v", name, host, is)
			}
		}
	}
}
