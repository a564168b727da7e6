package translate

import (
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// built is the virtual host as proxies get it, and what is found about its rules.
func (h GatewayHost) built() (*routev3.VirtualHost, []object.Finding) {
	joined, findings := JoinRoutes(h.Rules)
	before, after := h.Frame(joined)
	before.Routes = append(before.Routes, joined.Routes...)
	proto.Merge(before, after)
	return before, findings
}

// virtualHosts are all of the plan.
func (p *GatewayPlan) virtualHosts() (out []*routev3.VirtualHost) {
	for _, h := range p.Hosts {
		vh, _ := h.built()
		out = append(out, vh)
	}
	return out
}

// TestReachIsWhatRoutesAre compares what is said of rules before their routes are made with
// the routes.
func TestReachIsWhatRoutesAre(t *testing.T) {
	text := func(kind, value string) *networking.StringMatch {
		switch kind {
		case "exact":
			return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: value}}
		case "prefix":
			return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: value}}
		}
		return &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: value}}
	}
	header := map[string]*networking.StringMatch{"a": text("exact", "b")}
	matches := []*networking.HTTPMatchRequest{
		{}, {Uri: text("prefix", "/")}, {Uri: text("prefix", "")}, {Uri: text("regex", ".*")}, {Uri: text("prefix", "/a")}, {Uri: text("exact", "/")}, {Uri: text("exact", "")}, {Uri: text("regex", "/.*")},
		{Uri: &networking.StringMatch{}}, {Uri: text("prefix", "/"), IgnoreUriCase: true}, {Uri: text("prefix", "/"), Headers: header}, {WithoutHeaders: header}, {QueryParams: header},
		{Method: text("exact", "GET")}, {Scheme: text("exact", "http")}, {Authority: text("exact", "x")}, {Port: 80}, {Port: 81}, {Gateways: []string{"a/front"}}, {Gateways: []string{"a/other"}},
		{SourceNamespace: "a"}, {SourceNamespace: "b"}, {SourceLabels: map[string]string{"app": "front"}}, {SourceLabels: map[string]string{"app": "no"}}, nil,
	}
	some, all := 0, 0
	for i := range matches {
		for j := range matches {
			o := &networkingv1.VirtualService{}
			o.Namespace, o.Name = "a", "v"
			answer := &networking.HTTPDirectResponse{Status: 200}
			o.Spec.Http = []*networking.HTTPRoute{{Match: []*networking.HTTPMatchRequest{matches[i], matches[j]}, DirectResponse: answer}, {Match: []*networking.HTTPMatchRequest{matches[j]}, DirectResponse: answer}}
			o.Spec.Hosts = []string{"x.example"}
			vs, _ := traffic.ParseVirtualService(o, object.Domain)
			in := RouteInput{VirtualService: vs, Gateway: "a/front", Port: 80, Source: Source{Namespace: "a", Labels: "app=front"}, Config: mesh.DefaultConfig()}
			routes, _ := Routes(in)
			want := reach{some: len(routes) > 0}
			want.all = want.some && CatchAll(routes[len(routes)-1])
			if got := in.reach(); got != want {
				t.Errorf("matches %v and %v: %+v, the routes are %+v", matches[i], matches[j], got, want)
			}
			if want.some {
				some++
			}
			if want.all {
				all++
			}
		}
	}
	if some == all || all == 0 {
		t.Errorf("of all, %d have routes and %d end with one for all", some, all)
	}
}
