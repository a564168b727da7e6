package translate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// sharedGateway is what the pods of a gateway in namespace edge get of objects, the
// first of which is the oldest: one second older than the next.
func sharedGateway(t *testing.T, text string) *GatewayPlan {
	t.Helper()
	changes := []mesh.Change{{Ref: object.Ref{Kind: object.KindService, Namespace: "edge", Name: "front"}, Object: &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "front"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "front"}, ClusterIP: "10.9.9.9",
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "https", Port: 443}, {Name: "bound", Port: 8080}}}}}}
	for i, doc := range strings.Split(text, "\n---\n") {
		var head struct {
			metav1.TypeMeta
			metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		switch istio := head.Kind == "VirtualService" || head.Kind == "Gateway" && !strings.HasPrefix(head.APIVersion, "gateway.networking.k8s.io/"); {
		case head.Kind == "MeshConfig":
			changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}, Object: []byte(doc[strings.Index(doc, "spec:\n")+6:])})
		case istio:
			changes = append(changes, istioChange(t, doc, i))
		default:
			c := gatewayAPIChange(t, doc)
			c.Object.(metav1.Object).SetCreationTimestamp(metav1.NewTime(time.Unix(int64(1000+i), 0)))
			changes = append(changes, c)
		}
	}
	return planOf(t, changes)
}

// planOf is what those pods get of changes.
func planOf(t *testing.T, changes []mesh.Change) *GatewayPlan {
	t.Helper()
	w := worldOf(t, changes)
	pod := &registry.Workload{Namespace: "edge", Name: "front-0", Labels: map[string]string{"app": "front"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	plan := Gateway(GatewayInput{View: w.View(mesh.Scope{Role: mesh.RoleRouter, Namespace: "edge", Labels: "app=front"}), Workload: pod, Has: func(string) bool { return true }})
	for f := range w.Findings() {
		plan.Findings = append(plan.Findings, f)
	}
	checkPlan(t, plan)
	return plan
}

// checkPlan holds what every router must have: names that are its own, and what
// the protos themselves ask for.
func checkPlan(t testing.TB, plan *GatewayPlan) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range plan.Listeners {
		if err := l.ValidateAll(); err != nil || seen[l.Name] {
			t.Errorf("listener %s (twice: %v): %v", l.Name, seen[l.Name], err)
		}
		seen[l.Name] = true
		names := map[string]bool{}
		for _, c := range l.FilterChains {
			key := fmt.Sprint(c.GetFilterChainMatch().GetPrefixRanges())
			for _, n := range append(slices.Clone(c.GetFilterChainMatch().GetServerNames()), map[bool]string{true: "every"}[len(c.GetFilterChainMatch().GetServerNames()) == 0]) {
				if n == "" {
					continue
				}
				if names[key+n] {
					t.Errorf("listener %s: the name %s stands in two chains", l.Name, n)
				}
				names[key+n] = true
			}
		}
	}
	frames, domains := map[string]bool{}, map[string]bool{}
	for _, f := range plan.Frames {
		if frames[f] || strings.Contains(f, "/") {
			t.Errorf("route configuration %q is no name of its own", f)
		}
		frames[f] = true
	}
	for _, vh := range plan.virtualHosts() {
		config, _, _ := strings.Cut(vh.Name, "/")
		for _, d := range vh.Domains {
			if !frames[config] || domains[config+"/"+d] {
				t.Errorf("virtual host %q: a domain twice, or of no route configuration", vh.Name)
			}
			domains[config+"/"+d] = true
		}
		if err := vh.ValidateAll(); err != nil {
			t.Errorf("virtual host %s: %v", vh.Name, err)
		}
	}
}

// answer is where a request goes that comes to a port of an address, by TLS with a
// server name or ("-") in plain text: a cluster's host, a status, or nothing.
func (p *GatewayPlan) answer(t *testing.T, bind string, port uint32, sni, host, path string) string {
	t.Helper()
	var l *GatewayListener
	for i, x := range p.Listeners {
		a := x.Address.GetSocketAddress()
		if a.GetPortValue() == port && (a.Address == bind || a.Address == AnyAddress && l == nil) {
			l = &p.Listeners[i]
		}
	}
	if l == nil {
		return "closed"
	}
	lines := strings.Split(strings.TrimSuffix(chainLines(t, l.Listener), "\n"), "\n")
	best, chain := -1, ""
	for i, c := range l.FilterChains {
		names := c.GetFilterChainMatch().GetServerNames()
		if len(names) == 0 {
			names = []string{"*"}
		}
		for _, n := range names {
			if object.HostMatches(n, sni) && near(n) > best && (sni == "-") == (c.TransportSocket == nil && len(l.ListenerFilters) == 0) {
				best, chain = near(n), lines[i]
			}
		}
	}
	_, config, http := strings.Cut(chain, "-> routes ")
	if best < 0 || !http {
		return cmp.Or(chain[strings.LastIndex(chain, " ")+1:], "closed")
	}
	var found *routev3.VirtualHost
	longest := -1
	for _, vh := range p.virtualHosts() {
		for _, d := range vh.Domains {
			if strings.HasPrefix(vh.Name, config+"/") && object.HostMatches(d, host) && near(d) > longest {
				found, longest = vh, near(d)
			}
		}
	}
	if found.GetRequireTls() != routev3.VirtualHost_NONE {
		return "301"
	}
	for _, r := range found.GetRoutes() {
		if prefix := r.GetMatch().GetPrefix(); strings.HasPrefix(path, prefix) {
			if d := r.GetDirectResponse(); d != nil {
				return fmt.Sprint(d.Status)
			}
			h, _, _, _ := resource.SplitCluster(r.GetRoute().GetCluster())
			return h
		}
	}
	return "404"
}

// near is how closely a name or pattern matches: exact names most of all.
func near(pattern string) int {
	if !object.IsWildcard(pattern) {
		return 1000
	}
	return len(pattern)
}

// istioChange is a Gateway or VirtualService of YAML, the i-th in age.
func istioChange(t *testing.T, doc string, i int) mesh.Change {
	t.Helper()
	var head struct {
		metav1.TypeMeta
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	var o metav1.Object = &networkingv1.VirtualService{}
	if head.Kind == "Gateway" {
		o = &networkingv1.Gateway{}
	}
	if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	o.SetCreationTimestamp(metav1.NewTime(time.Unix(int64(1000+i), 0)))
	return mesh.Change{Ref: object.Ref{Kind: object.Kind(head.Kind), Namespace: head.Namespace, Name: head.Name}, Object: o}
}

const (
	shopGateway = `{kind: Gateway, metadata: {name: g, namespace: shop}, spec: {selector: {app: front}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}, {port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop}, hosts: [shop.example]}]}}`
	shopRule    = `{kind: VirtualService, metadata: {name: v, namespace: shop}, spec: {hosts: [shop.example], gateways: [g], http: [{route: [{destination: {host: shop.test}}]}]}}`
	openGateway = `{kind: Gateway, metadata: {name: open, namespace: edge}, spec: {selector: {app: front}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}, {port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: edge}, hosts: ["*"]}]}}`
	evilRule    = `{kind: VirtualService, metadata: {name: v, namespace: evil}, spec: {hosts: [shop.example, evil.example, "*"], exportTo: [edge], gateways: [g], http: [{match: [{uri: {prefix: /pay}}], route: [{destination: {host: evil.test}}]}, {route: [{destination: {host: evil.test}}]}], tls: [{match: [{sniHosts: [shop.example, "*"]}], route: [{destination: {host: evil.test}}]}], tcp: [{route: [{destination: {host: evil.test}}]}]}}`
)

// evilGateway is a Gateway of a tenant with one server.
func evilGateway(server string) string {
	return `{kind: Gateway, metadata: {name: g, namespace: evil}, spec: {selector: {app: front}, servers: [` + server + `]}}`
}

// TestNewerGatewaysTakeNothing: whatever a tenant writes, requests for an older
// Gateway's host go where they went.
func TestNewerGatewaysTakeNothing(t *testing.T) {
	for name, attack := range map[string]string{
		"nothing":               evilGateway(`{port: {number: 81, name: http, protocol: HTTP}, hosts: [evil.example]}`),
		"any address":           evilGateway(`{port: {number: 80, name: http, protocol: HTTP}, bind: 0.0.0.0, hosts: ["*"]}`),
		"any address of IPv6":   evilGateway(`{port: {number: 80, name: http, protocol: HTTP}, bind: "::", hosts: [shop.example]}`),
		"mapped":                evilGateway(`{port: {number: 80, name: http, protocol: HTTP}, bind: "::ffff:0.0.0.0", hosts: [shop.example]}`),
		"the pod's own":         evilGateway(`{port: {number: 80, name: http, protocol: HTTP}, bind: 10.0.0.1, hosts: ["*", shop.example]}`),
		"its own, mapped, TLS":  evilGateway(`{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop}, bind: "::ffff:10.0.0.1", hosts: ["*", shop.example]}`),
		"TLS":                   evilGateway(`{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop}, hosts: [shop.example, "*"]}`),
		"another case":          evilGateway(`{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop}, hosts: [SHOP.example]}, {port: {number: 80, name: http, protocol: HTTP}, hosts: [Shop.Example.]}`),
		"with a namespace":      evilGateway(`{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop}, hosts: ["evil/shop.example", "./shop.example", "*/shop.example"]}`),
		"pass through":          evilGateway(`{port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [shop.example, "*"]}`),
		"TCP behind TLS":        evilGateway(`{port: {number: 443, name: tls, protocol: TLS}, tls: {mode: SIMPLE, credentialName: shop}, hosts: [shop.example, "*"]}`),
		"TCP":                   evilGateway(`{port: {number: 443, name: tcp, protocol: TCP}, hosts: ["*"]}, {port: {number: 80, name: tcp, protocol: MONGO}, bind: 10.0.0.1, hosts: ["*"]}`),
		"HTTP on 443":           evilGateway(`{port: {number: 443, name: http, protocol: HTTP}, hosts: ["*"]}`),
		"HTTPS on 80":           evilGateway(`{port: {number: 80, name: https, protocol: HTTPS}, bind: 10.0.0.1, tls: {mode: SIMPLE, credentialName: shop}, hosts: ["*"]}`),
		"redirect":              evilGateway(`{port: {number: 80, name: http, protocol: HTTP}, tls: {httpsRedirect: true}, hosts: [shop.example]}`),
		"HTTP2 by another name": evilGateway(`{port: {number: 80, name: x, protocol: http2}, hosts: [shop.example]}, {port: {number: 80, name: z, protocol: Grpc}, hosts: [shop.example]}`),
		"names of routes":       evilGateway(`{port: {number: 443, name: https.g.shop/shop.example, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop}, hosts: [evil.example]}`),
		"the mesh's mutual TLS": evilGateway(`{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: ISTIO_MUTUAL}, hosts: [shop.example]}`),
		"an API Gateway": "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g, namespace: edge}, spec: {gatewayClassName: istio, addresses: [{type: Hostname, value: front.edge.svc.cluster.local}], listeners: [" +
			"{name: http, port: 80, protocol: HTTP, hostname: shop.example}, {name: https, port: 443, protocol: HTTPS, hostname: shop.example, tls: {certificateRefs: [{name: shop}]}}, {name: all, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: shop}]}}]}}",
	} {
		t.Run(name, func(t *testing.T) {
			plan := sharedGateway(t, strings.Join([]string{shopGateway, shopRule, attack, evilRule}, "\n---\n"))
			for _, bind := range []string{AnyAddress, "10.0.0.1"} {
				for _, path := range []string{"/", "/pay"} {
					if got := plan.answer(t, bind, 80, "-", "shop.example", path); got != "shop.test" {
						t.Errorf("http://shop.example%s at %s goes to %s", path, bind, got)
					}
					if got := plan.answer(t, bind, 443, "shop.example", "shop.example", path); got != "shop.test" {
						t.Errorf("https://shop.example%s at %s goes to %s", path, bind, got)
					}
				}
			}
			if !slices.Contains(plan.Frames, "https.443.https.g.shop") {
				t.Errorf("the first does not have the name that Istio gives: %q", plan.Frames)
			}
			lost := slices.ContainsFunc(plan.Findings, func(f object.Finding) bool { return f.Winner.Namespace == "shop" && f.Code == object.CodeConflict })
			if want := name != "nothing" && name != "names of routes"; lost != want {
				t.Errorf("a loser is told: %v, findings %v", lost, plan.Findings)
			}
		})
	}
}

// TestOlderRules: what came to a host first stays first, by whichever Gateway.
func TestOlderRules(t *testing.T) {
	evilOpen := strings.Replace(evilRule, "gateways: [g]", "gateways: [edge/open]", 1)
	own := strings.Replace(strings.Replace(openGateway, "namespace: edge", "namespace: evil", 1), "name: open", "name: g", 1)
	shopOpen := strings.Replace(shopRule, "gateways: [g]", "gateways: [edge/open]", 1)
	for name, c := range map[string]struct {
		objects []string
		at      []string // port, SNI, host, path, want
	}{
		"a newer rule on an older Gateway that is open to all": {[]string{openGateway, shopGateway, shopRule, evilOpen}, []string{"80 - shop.example /pay shop.test", "443 shop.example shop.example /pay shop.test"}},
		"a server for a name that is served under a wider one": {
			[]string{openGateway, shopOpen, evilGateway(`{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: evil}, hosts: [shop.example]}`), evilRule},
			[]string{"443 shop.example shop.example / shop.test", "443 shop.example shop.example /pay shop.test"},
		},
		"its own owner moves it to a Gateway of his": {[]string{openGateway, shopOpen, shopGateway}, []string{"443 shop.example shop.example / 404"}},
		"two Gateways for all, of two namespaces": {
			[]string{openGateway, `{kind: VirtualService, metadata: {name: one, namespace: edge}, spec: {hosts: ["*"], gateways: [open], http: [{match: [{uri: {prefix: /one}}], route: [{destination: {host: one.test}}]}]}}`, own,
				`{kind: VirtualService, metadata: {name: two, namespace: evil}, spec: {hosts: ["*"], gateways: [g], http: [{match: [{uri: {prefix: /one}}, {uri: {prefix: /two}}], route: [{destination: {host: two.test}}]}]}}`},
			[]string{"80 - x.example /one one.test", "80 - x.example /two two.test", "80 - x.example / 404"},
		},
		"rules of one Gateway follow each other": {
			[]string{openGateway, shopOpen, strings.Replace(evilOpen, `shop.example, evil.example, "*"`, "shop.example", 1)}, []string{"80 - shop.example /pay evil.test", "80 - shop.example / shop.test"},
		},
		"hosts that are given to namespaces": {
			[]string{"kind: MeshConfig\nspec:\n  fairway: {gatewayHosts: owned}", strings.ReplaceAll(shopGateway, "hosts: [shop.example]", `hosts: ["*.example"]`), shopRule, own, evilRule},
			[]string{"80 - shop.example /pay shop.test", "80 - evil.example / 404", "443 evil.example evil.example / 404", "80 - other.test / evil.test"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := sharedGateway(t, strings.Join(c.objects, "\n---\n"))
			for _, line := range c.at {
				p := strings.Fields(line)
				port := map[string]uint32{"80": 80, "443": 443}[p[0]]
				if got := plan.answer(t, AnyAddress, port, p[1], p[2], p[3]); got != p[4] {
					t.Errorf("%s: goes to %s", line, got)
				}
			}
		})
	}
}

// TestModesShareNoRoutes: what one server asks of its clients is not undone by the
// name of another.
func TestModesShareNoRoutes(t *testing.T) {
	mutual := `{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: MUTUAL, credentialName: admin}, hosts: [%s]}`
	simple := `{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop}, hosts: [%s]}`
	rules := `{kind: VirtualService, metadata: {name: v, namespace: evil}, spec: {hosts: [admin.example, x.admin.example, shop.example], gateways: [g], http: [{route: [{destination: {host: any.test}}]}]}}`
	for _, c := range []struct{ admin, shop, sni, host, want string }{
		{"admin.example", "shop.example", "shop.example", "admin.example", "404"},
		{"admin.example", "shop.example", "admin.example", "admin.example", "any.test"},
		{"admin.example", "shop.example", "shop.example", "shop.example", "any.test"},
		{"admin.example", `"*"`, "shop.example", "admin.example", "421"},
		{"admin.example", `"*.example"`, "shop.example", "admin.example", "421"},
		{`"*.admin.example"`, `"*"`, "shop.example", "x.admin.example", "421"},
		{`"*.admin.example"`, `"*"`, "shop.example", "y.admin.example", "421"},
		{`"*.admin.example"`, `"*", x.admin.example`, "x.admin.example", "x.admin.example", "any.test"},
		{`"*"`, "shop.example", "shop.example", "admin.example", "404"},
	} {
		for _, servers := range []string{fmt.Sprintf(mutual+", "+simple, c.admin, c.shop), fmt.Sprintf(simple+", "+mutual, c.shop, c.admin)} {
			plan := sharedGateway(t, evilGateway(servers)+"\n---\n"+rules)
			if got := plan.answer(t, AnyAddress, 443, c.sni, c.host, "/"); got != c.want {
				t.Errorf("MUTUAL %s, SIMPLE %s: SNI %s and Host %s go to %s, want %s", c.admin, c.shop, c.sni, c.host, got, c.want)
			}
			if len(plan.Frames) != 2 || !slices.Contains(plan.Frames, "https.443.https.g.evil") {
				t.Errorf("route configurations %q", plan.Frames)
			}
		}
	}
}
