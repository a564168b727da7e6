package translate

import (
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestHostsThatRulesWrite: a rule that leads to a service whose names are resolved may write
// another host, but none that leads inside.
func TestHostsThatRulesWrite(t *testing.T) {
	const cluster = "outbound|80||*.wild.example"
	for host, closed := range map[string]bool{"": false, "a.example": false, "a.example:8080": false, "localhost": true, "127.0.0.1:80": true, "a.example:15000": true, "a.example:+15000": true} {
		plain := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}
		part := &routev3.WeightedCluster_ClusterWeight{Name: cluster, Weight: wrapperspb.UInt32(1)}
		if host != "" {
			plain.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: host}
			part.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: host}
		}
		split := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_WeightedClusters{WeightedClusters: &routev3.WeightedCluster{Clusters: []*routev3.WeightedCluster_ClusterWeight{part}}}}
		for name, action := range map[string]*routev3.RouteAction{"plain": plain, "weighted": split} {
			vh := &routev3.VirtualHost{Routes: []*routev3.Route{{Match: &routev3.RouteMatch{}, Action: &routev3.Route_Route{Route: action}}}}
			refuseInside(vh, map[string]bool{"*.wild.example": true})
			if is := vh.Routes[0].GetDirectResponse().GetStatus() == 403; is != closed {
				t.Errorf("%s, %q: refused is %v", name, host, is)
			}
		}
	}
}
