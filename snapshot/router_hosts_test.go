package snapshot

import (
	"bytes"
	"fmt"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate"
)

// gatewayRules is a VirtualService of a few rules for a Gateway "edge/front".
func gatewayRules(name string, hosts []string, rules int, answer uint32) mesh.Change {
	o := &networkingv1.VirtualService{}
	o.Namespace, o.Name = "edge", name
	o.Spec.Hosts, o.Spec.Gateways = hosts, []string{"front"}
	for i := range rules {
		o.Spec.Http = append(o.Spec.Http, &networking.HTTPRoute{
			Match: []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: fmt.Sprint("/", i)}}}},
			Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "a.example", Port: &networking.PortSelector{Number: 80}}}},
		})
	}
	o.Spec.Http = append(o.Spec.Http, &networking.HTTPRoute{DirectResponse: &networking.HTTPDirectResponse{Status: answer}})
	return mesh.Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "edge", Name: name}, Object: o}
}

// TestRouterHostsAreMadeAnewWhereTheyChange compares virtual hosts that share the bytes of
// their routes with such that are encoded whole, and has one of two VirtualServices change.
func TestRouterHostsAreMadeAnewWhereTheyChange(t *testing.T) {
	front := &networkingv1.Gateway{}
	front.Namespace, front.Name = "edge", "front"
	front.Spec.Selector = map[string]string{"app": "front"}
	for i := range 3 {
		s := &networking.Server{Port: &networking.Port{Number: uint32(80 + i), Protocol: "HTTP", Name: fmt.Sprint("http-", i)}, Hosts: []string{"*"}} //nolint:gosec // three ports
		if i == 2 {
			s.Tls = &networking.ServerTLSSettings{HttpsRedirect: true}
		}
		front.Spec.Servers = append(front.Spec.Servers, s)
	}
	plan := func(answer uint32) []translate.GatewayHost {
		w := mesh.Build([]mesh.Change{
			{Ref: object.Ref{Kind: object.KindGateway, Namespace: "edge", Name: "front"}, Object: front},
			gatewayRules("many", []string{"a.example", "b.example", "shared.example"}, 3, 200), gatewayRules("one", []string{"c.example", "shared.example"}, 1, answer),
		})
		return translate.Gateway(translate.GatewayInput{View: w.View(mesh.Scope{Role: mesh.RoleRouter, Namespace: "edge", Labels: "app=front"}), Has: func(string) bool { return true },
			Workload: &registry.Workload{Namespace: "edge", Name: "front", Labels: map[string]string{"app": "front"}}}).Hosts
	}
	hosts := plan(201)
	intern := NewInterner()
	first := routerHosts(nil).update(hosts, intern)
	if len(first) != 13 {
		t.Fatalf("%d virtual hosts, want four on each of three ports, and one for all others that redirects", len(first))
	}
	redirects := 0
	for _, h := range hosts {
		got, want := first[h.Name].resource, &routev3.VirtualHost{}
		if err := proto.Unmarshal(got.Body(), want); err != nil {
			t.Fatal(err)
		}
		if want.RequireTls != 0 {
			redirects++
		}
		whole, findings := encode(VirtualHost, h.Name, want, h.Owners...)
		if len(findings) > 0 || !bytes.Equal(whole.Body(), got.Body()) || whole.Version != got.Version || len(want.Routes) < 2 && h.Domain != "*" || want.Domains[0] != h.Domain {
			t.Errorf("%s is not what it is when it is encoded whole: %v", h.Name, want)
		}
	}
	if redirects != 5 {
		t.Errorf("%d virtual hosts redirect, want those of one port", redirects)
	}
	for name, h := range first.update(hosts, NewInterner()) {
		if h.resource != first[name].resource {
			t.Errorf("%s is made anew though nothing has changed", name)
		}
	}
	next := first.update(plan(202), intern)
	for _, h := range hosts {
		changed := h.Domain == "c.example" || h.Domain == "shared.example"
		if h.Domain == "shared.example" { // the older rules take every request
			changed = false
		}
		if same := next[h.Name].resource.Same(first[h.Name].resource); same == changed {
			t.Errorf("%s is the same: %v", h.Name, same)
		}
	}
}
