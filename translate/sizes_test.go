package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

func largePolicy(namespace string) *mesh.AuthorizationPolicy {
	p := &mesh.AuthorizationPolicy{Ref: object.Ref{Kind: object.KindAuthorizationPolicy, Namespace: namespace, Name: "large"}, Namespace: namespace}
	p.Spec = &security.AuthorizationPolicy{Action: security.AuthorizationPolicy_DENY}
	for i := range 20_000 {
		p.Spec.Rules = append(p.Spec.Rules, &security.Rule{To: []*security.Rule_To{{Operation: &security.Operation{Paths: []string{fmt.Sprintf("/%d*", i)}}}}})
	}
	return p
}

// TestPoliciesOfManyPortsAreBounded: each port of a workload has its policies again. Ports
// that do not fit are closed, since without the policies they would be open.
func TestPoliciesOfManyPortsAreBounded(t *testing.T) {
	policy := largePolicy("evil")
	var ports []mesh.InboundPort
	for i := range 200 {
		ports = append(ports, mesh.InboundPort{Number: uint32(8000 + i), Protocol: object.ProtocolHTTP, MutualTLS: mesh.Permissive})
	}
	in := mesh.Inbound{Namespace: "evil", Workload: "web", IPv4: true, MutualTLS: mesh.Permissive, Ports: mesh.ListOf(ports...),
		AuthorizationPolicies: mesh.ListOf(policy), Config: mesh.DefaultConfig()}
	out := Inbound(in)
	if n := proto.Size(out.Listeners[0]); n < maxChains/2 || n > 5*maxChains/4 {
		t.Errorf("the listener has %d bytes, want up to about %d", n, maxChains)
	}
	guarded, closed := 0, 0
	for _, c := range out.Listeners[0].FilterChains {
		text := string(c.GetFilters()[len(c.GetFilters())-1].GetTypedConfig().GetValue())
		switch {
		case strings.Contains(text, "/19999"):
			guarded++
		case strings.Contains(text, resource.BlackHoleCluster):
			closed++
		case len(c.GetFilters()) < 2: // of TCP, which has its policies before it
			t.Errorf("chain %s is neither guarded nor closed", c.Name)
		}
	}
	if guarded == 0 || closed == 0 {
		t.Errorf("%d chains are guarded and %d closed, want some of each", guarded, closed)
	}
	if n := len(out.Findings); n != 1 || out.Findings[0].Object != policy.Ref {
		t.Errorf("found %v", out.Findings)
	}
	if alone := InboundFindings(in); !slices.Equal(alone, out.Findings) {
		t.Errorf("found %v without translating, and %v with it", alone, out.Findings)
	}
}

// TestPortsOfSharedGatewaysAreBounded: a tenant opens few ports on others' pods, and the
// older ones of theirs stay.
func TestPortsOfSharedGatewaysAreBounded(t *testing.T) {
	var changes []mesh.Change
	for i, namespace := range []string{"evil", "edge"} {
		o := &networkingv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "g", CreationTimestamp: metav1.NewTime(time.Unix(int64(1000+i), 0))}}
		o.Spec.Selector = map[string]string{"app": "front"}
		for j := range 150 {
			o.Spec.Servers = append(o.Spec.Servers, &networking.Server{Port: &networking.Port{Number: uint32(20_000 + 1000*i + j), Name: fmt.Sprint("http-", j), Protocol: "HTTP"}, Hosts: []string{"*"}})
		}
		changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindGateway, Namespace: namespace, Name: "g"}, Object: o})
	}
	plan := planOf(t, changes)
	ports := map[bool]int{}
	for _, l := range plan.Listeners {
		ports[l.GetAddress().GetSocketAddress().GetPortValue() >= 21_000]++
	}
	said := 0
	for _, f := range plan.Findings {
		if f.Object.Namespace == "evil" && f.Code == object.CodeInvalid {
			said++
		}
	}
	if ports[false] != 100 || ports[true] != 150 || said != 50 {
		t.Errorf("the tenant has %d ports and %d findings, the owner %d ports", ports[false], said, ports[true])
	}
}

// TestRulesOfManyServersAreBounded: rules are made again for each host of each server of
// a gateway. The oldest come first, and another namespace has a share of its own.
func TestRulesOfManyServersAreBounded(t *testing.T) {
	gateway := &networkingv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "g", CreationTimestamp: metav1.NewTime(time.Unix(1000, 0))}}
	gateway.Spec.Selector = map[string]string{"app": "front"}
	for i := range 100 {
		gateway.Spec.Servers = append(gateway.Spec.Servers, &networking.Server{Port: &networking.Port{Number: uint32(20_000 + i), Name: fmt.Sprint("http-", i), Protocol: "HTTP"}, Hosts: []string{"*"}})
	}
	changes := []mesh.Change{{Ref: object.Ref{Kind: object.KindGateway, Namespace: "edge", Name: "g"}, Object: gateway}}
	rules := func(namespace, name string, age int64, n int) {
		o := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(5000-age, 0))}}
		o.Spec.Hosts, o.Spec.Gateways = []string{name + ".example"}, []string{"edge/g"}
		for i := range n {
			o.Spec.Http = append(o.Spec.Http, &networking.HTTPRoute{
				Match:          []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: fmt.Sprint("/", i)}}}},
				DirectResponse: &networking.HTTPDirectResponse{Status: 200},
			})
		}
		changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: namespace, Name: name}, Object: o})
	}
	rules("evil", "old", 2, 5)
	rules("evil", "new", 1, 2500)
	rules("shop", "other", 0, 5)
	plan := planOf(t, changes)
	routes := map[string]int{}
	for _, vh := range plan.virtualHosts() {
		routes[vh.Domains[0]] += len(vh.Routes)
	}
	if routes["old.example"] != 500 || routes["other.example"] != 500 || routes["new.example"] == 0 || routes["new.example"] > 200_000 {
		t.Errorf("routes are %v", routes)
	}
	said := 0
	for _, f := range plan.Findings {
		if f.Object.Name == "new" && f.Code == object.CodeInvalid {
			said++
		}
	}
	if said != 1 {
		t.Errorf("the rules that are left out have %d findings", said)
	}
}
