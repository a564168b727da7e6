package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// holder is a builder of which time is a variable.
type holder struct {
	t     *testing.T
	b     *builder
	now   time.Time
	world *World
	dirty *Dirty
}

func newHolder(t *testing.T, start ...string) *holder {
	t.Helper()
	h := &holder{t: t, b: newBuilder(), now: time.Unix(1000, 0)}
	h.b.holding, h.b.clock = true, func() time.Time { return h.now }
	h.apply(start...)
	return h
}

// apply takes in objects, written as in heldObject, in one pass.
func (h *holder) apply(objects ...string) {
	h.t.Helper()
	var changes []Change
	for _, o := range objects {
		changes = append(changes, heldObject(h.t, o))
	}
	h.b.apply(changes)
	h.world, h.dirty = h.b.finish()
}

// pass lets time pass, as the Store does when the builder is due.
func (h *holder) pass(d time.Duration) {
	for end := h.now.Add(d); ; {
		due := h.b.due()
		if due.IsZero() || due.After(end) {
			h.now = end
			return
		}
		h.now = due
		h.world, h.dirty = h.b.finish()
	}
}

// heldObject reads "KIND NAMESPACE/NAME {spec}", or "-KIND NAMESPACE/NAME" of one that is gone.
func heldObject(t *testing.T, what string) Change {
	t.Helper()
	words := strings.SplitN(what, " ", 3)
	kind, gone := strings.CutPrefix(words[0], "-")
	ns, name, _ := strings.Cut(words[1], "/")
	kinds := map[string]struct {
		kind   object.Kind
		object any
	}{
		"service": {object.KindService, &corev1.Service{}}, "rule": {object.KindDestinationRule, &networkingv1.DestinationRule{}},
		"route": {object.KindVirtualService, &networkingv1.VirtualService{}}, "gateway": {object.KindGateway, &networkingv1.Gateway{}},
		"entry": {object.KindServiceEntry, &networkingv1.ServiceEntry{}}, "sidecar": {object.KindSidecar, &networkingv1.Sidecar{}},
		"http": {object.KindHTTPRoute, &gatewayv1.HTTPRoute{}}, "tcp": {object.KindTCPRoute, &gatewayv1.TCPRoute{}}, "class": {object.KindGatewayClass, &gatewayv1.GatewayClass{}}, "kube": {object.KindKubeGateway, &gatewayv1.Gateway{}},
		"grant": {object.KindReferenceGrant, &gatewayv1.ReferenceGrant{}}, "ingress": {object.KindIngress, &netv1.Ingress{}}, "namespace": {object.KindNamespace, &corev1.Namespace{}},
	}
	if kind == "config" {
		return Change{Ref: object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "istio"}, Object: &corev1.ConfigMap{Data: map[string]string{"mesh": words[2]}}}
	}
	k, ok := kinds[kind]
	if !ok {
		t.Fatalf("what is %q?", what)
	}
	c := Change{Ref: object.Ref{Kind: k.kind, Namespace: ns, Name: name}}
	if kind == "class" || kind == "namespace" {
		c.Ref.Namespace = ""
	}
	if gone {
		return c
	}
	spec := "{}"
	if len(words) > 2 {
		spec = words[2]
	}
	if kind == "namespace" {
		c.Object = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"mesh": spec}}}
		return c
	}
	if err := yaml.Unmarshal([]byte(fmt.Sprintf("metadata: {name: %s, namespace: %q, creationTimestamp: \"2020-01-01T00:00:00Z\"}\nspec: %s", name, c.Ref.Namespace, spec)), k.object); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	c.Object = k.object
	return c
}

const (
	web    = "service a/web {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}"
	api    = "service a/api {clusterIP: 10.0.0.2, selector: {app: api}, ports: [{name: http, port: 80}]}"
	other  = "service b/other {clusterIP: 10.0.0.3, selector: {app: other}, ports: [{name: http, port: 80}]}"
	ruleV1 = "rule a/web {host: web, subsets: [{name: v1}]}"
	ruleV2 = "rule a/web {host: web, subsets: [{name: v2}]}"
	rule12 = "rule a/web {host: web, subsets: [{name: v1}, {name: v2}]}"
	toV1   = "route a/web {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}]}]}"
	toV2   = "route a/web {hosts: [web], http: [{route: [{destination: {host: web, subset: v2}}]}]}"
	toAPI  = "route a/web {hosts: [web], http: [{route: [{destination: {host: api}}]}]}"
	gate   = "gateway in/gw {selector: {app: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*\"]}]}"
)

// served is where requests of the clients of namespace a to a host lead:
// the destinations of the route in force, or "direct" without one; "!" follows
// those that are not there.
func (h *holder) served(host string) string {
	v := h.world.View(Scope{Role: RoleSidecar, Namespace: "a"})
	vs, _ := v.Route(host)
	if vs == nil {
		if s, _ := v.Service(host); s == nil {
			return "nothing"
		}
		return "direct"
	}
	return h.leads([]*traffic.VirtualService{vs}, client{RoleSidecar, "a"})
}

// atGateway is where requests for a host at gateway in/gw lead.
func (h *holder) atGateway(host string) string {
	v := h.world.View(Scope{Role: RoleRouter, Namespace: "in", Labels: "app=gw,istio=gw"})
	var bound []*traffic.VirtualService
	for _, g := range v.SelectedGateways() {
		for _, s := range g.Servers {
			for _, b := range v.BoundTo(s) {
				if b.Host == host && !slices.Contains(bound, b.VirtualService) {
					bound = append(bound, b.VirtualService)
				}
			}
		}
	}
	if len(bound) == 0 {
		return "nothing"
	}
	return h.leads(bound, client{RoleRouter, "in"})
}

func (h *holder) leads(of []*traffic.VirtualService, c client) string {
	var out []string
	for _, vs := range of {
		for _, d := range destinationsOf(vs) {
			word, _, _ := strings.Cut(d.host, ".")
			if d.subset != "" {
				word += "/" + d.subset
			}
			if !newSights(h.world).served(d, []client{c}) {
				word += "!"
			}
			out = append(out, word)
		}
		if len(destinationsOf(vs)) == 0 {
			out = append(out, "500")
		}
	}
	return strings.Join(out, " ")
}

// step is what is applied, and where a host leads after it.
type step struct {
	apply string // several are separated by " & "; "+3s" lets time pass
	want  string
}

func (h *holder) run(host string, served func(*holder, string) string, steps []step) {
	h.t.Helper()
	for i, s := range steps {
		if d, err := time.ParseDuration(strings.TrimPrefix(s.apply, "+")); err == nil {
			h.pass(d)
		} else {
			h.apply(strings.Split(s.apply, " & ")...)
		}
		if got := served(h, host); got != s.want {
			h.t.Errorf("step %d, %s: %s leads to %q, want %q", i, s.apply, host, got, s.want)
		}
	}
}

// TestHeldRoutes goes through changes that belong together, half by half.
func TestHeldRoutes(t *testing.T) {
	const host = "web.a.svc." + object.Domain
	for _, c := range []struct {
		name  string
		start []string
		host  string
		steps []step
	}{
		{"a route comes before its rule", []string{web}, "", []step{{toV1, "direct"}, {"+500ms", "direct"}, {ruleV1, "web/v1"}, {"+10s", "web/v1"}}},
		{"the rule never comes", []string{web}, "", []step{{toV1, "direct"}, {"+2999ms", "direct"}, {"+1ms", "web/v1!"}, {ruleV1, "web/v1"}}},
		{"a rule goes before its route", []string{web, ruleV1, toV1}, "", []step{{"-rule a/web", "web/v1"}, {"+500ms", "web/v1"}, {"-route a/web", "direct"}, {"+10s", "direct"}}},
		{"only the rule goes", []string{web, ruleV1, toV1}, "", []step{{"-rule a/web", "web/v1"}, {"+2999ms", "web/v1"}, {"+1ms", "web/v1!"}, {"+10s", "web/v1!"}}},
		{"a subset is renamed, the rule first", []string{web, ruleV1, toV1}, "", []step{{ruleV2, "web/v1"}, {"+1s", "web/v1"}, {toV2, "web/v2"}, {"+10s", "web/v2"}}},
		{"a subset is renamed, the route first", []string{web, ruleV1, toV1}, "", []step{{toV2, "web/v1"}, {"+1s", "web/v1"}, {ruleV2, "web/v2"}, {"+10s", "web/v2"}}},
		{"both at once", []string{web, ruleV1, toV1}, "", []step{{ruleV2 + " & " + toV2, "web/v2"}}},
		{"a rule is replaced by another object", []string{web, ruleV1, toV1}, "", []step{
			{"-rule a/web", "web/v1"}, {"+1s", "web/v1"}, {"rule a/new {host: web, subsets: [{name: v1}]}", "web/v1"}, {"+10s", "web/v1"}}},
		{"a route flips", []string{web, rule12, toV1}, "", []step{{toV2, "web/v2"}, {toV1, "web/v1"}, {"-route a/web", "direct"}}},
		{"changes do not extend the time", []string{web, ruleV1, toV1}, "", []step{
			{toV2, "web/v1"}, {"+2s", "web/v1"}, {"route a/web {hosts: [web], http: [{route: [{destination: {host: web, subset: v3}}]}]}", "web/v1"}, {"+1s", "web/v3!"}}},
		{"what is gone is not kept again", []string{web, ruleV1, toV1}, "", []step{
			{"-rule a/web", "web/v1"}, {"+2s", "web/v1"}, {"rule a/web {host: web}", "web/v1"}, {"+1s", "web/v1!"}, {"-rule a/web", "web/v1!"}}},
		{"what leads nowhere anyway", []string{web, toV1}, "", []step{{"+10s", "web/v1!"}, {"route a/web {hosts: [web], http: [{timeout: 1s, route: [{destination: {host: web, subset: v1}}]}]}", "web/v1!"}}},
		{"a held route is deleted", []string{web, ruleV1, toV1}, "", []step{{toV2, "web/v1"}, {"-route a/web", "direct"}, {"+10s", "direct"}}},
		{"a new host of its own", []string{web}, "new.example", []step{{"route a/new {hosts: [new.example], http: [{route: [{destination: {host: web, subset: v1}}]}]}", "web/v1!"}}},
		{"a new host under a pattern", []string{web, "route a/all {hosts: [\"*.example\"], http: [{route: [{destination: {host: web}}]}]}"}, "new.example", []step{
			{"route a/new {hosts: [new.example], http: [{route: [{destination: {host: web, subset: v1}}]}]}", "web"}, {"+3s", "web/v1!"}}},
		{"a new host beside one that was there", []string{web}, "new.example", []step{{"route a/new {hosts: [new.example, web], http: [{route: [{destination: {host: web, subset: v1}}]}]}", "web/v1!"}}},
		{"and that one", []string{web}, "", []step{{"route a/new {hosts: [new.example, web], http: [{route: [{destination: {host: web, subset: v1}}]}]}", "direct"}, {ruleV1, "web/v1"}}},
		{"a host taken out of a route that is held", []string{web, api, ruleV1, "route a/web {hosts: [web, api], http: [{route: [{destination: {host: web, subset: v1}}]}]}"}, "api.a.svc." + object.Domain, []step{{toV2, "direct"}}},
		{"a host is not there yet", []string{web}, "", []step{{toAPI, "direct"}, {"+1s", "direct"}, {api, "api"}}},
		{"a service goes before the route", []string{web, api, toAPI}, "", []step{{"-service a/api", "api"}, {"+1s", "api"}, {"-route a/web", "direct"}, {"+10s", "direct"}}},
		{"a service goes for good", []string{web, api, toAPI}, "", []step{{"-service a/api", "api"}, {"+3s", "api!"}}},
		{"a port goes", []string{web, "service a/api {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}, {name: more, port: 81}]}", "route a/web {hosts: [web], http: [{route: [{destination: {host: api, port: {number: 81}}}]}]}"}, "",
			[]step{{api, "api"}, {"+3s", "api!"}}},
		{"a weighted route", []string{web, ruleV1, toV1}, "", []step{
			{"route a/web {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}, weight: 50}, {destination: {host: web, subset: v2}, weight: 50}]}]}", "web/v1"}, {rule12, "web/v1 web/v2"}}},
		{"a mirror", []string{web, ruleV1, toV1}, "", []step{
			{"route a/web {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}], mirror: {host: api}}]}", "web/v1"}, {api, "web/v1 api"}, {"-service a/api", "web/v1 api"}, {"+3s", "web/v1 api!"}}},
		{"a TCP route", []string{web, ruleV1, "route a/web {hosts: [web], tcp: [{route: [{destination: {host: web, subset: v1}}]}]}"}, "", []step{
			{"route a/web {hosts: [web], tcp: [{route: [{destination: {host: web, subset: v2}}]}]}", "web/v1"}, {rule12, "web/v2"}, {ruleV1, "web/v2"}, {"+3s", "web/v2!"}}},
		{"a TLS route", []string{web, ruleV1}, "", []step{
			{"route a/web {hosts: [web], tls: [{match: [{sniHosts: [web], port: 80}], route: [{destination: {host: web, subset: v2}}]}]}", "direct"}, {rule12, "web/v2"}}},
		{"a delegate", []string{web, ruleV1, "route a/part {http: [{route: [{destination: {host: web, subset: v1}}]}]}", "route a/web {hosts: [web], http: [{delegate: {name: part}}]}"}, "", []step{
			{"route a/part {http: [{route: [{destination: {host: web, subset: v2}}]}]}", "web/v1"}, {"+1s", "web/v1"}, {rule12, "web/v2"}, {ruleV1, "web/v2"}, {"+3s", "web/v2!"}}},
		{"a name that stands for a service", []string{web, api, "service a/alias {type: ExternalName, externalName: api.a.svc.cluster.local}", "route a/web {hosts: [web], http: [{route: [{destination: {host: alias}}]}]}"}, "", []step{
			{"-service a/api", "alias"}, {"+1s", "alias"}, {api, "alias"}, {"-service a/alias", "alias"}, {"+3s", "alias!"}}},
		{"a name that does not stand for a service yet", []string{web}, "", []step{
			{"route a/web {hosts: [web], http: [{route: [{destination: {host: alias}}]}]}", "direct"}, {"service a/alias {type: ExternalName, externalName: api.a.svc.cluster.local}", "direct"}, {api, "alias"}}},
		{"names that stand for each other", []string{web, "service a/x {type: ExternalName, externalName: y.a.svc.cluster.local}", "service a/y {type: ExternalName, externalName: x.a.svc.cluster.local}"}, "", []step{
			{"route a/web {hosts: [web], http: [{route: [{destination: {host: x}}]}]}", "direct"}, {"+3s", "x!"}, {"-service a/y", "x!"}}},
		{"a ServiceEntry", []string{web, "entry a/e {hosts: [out.example], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}", "route a/web {hosts: [web], http: [{route: [{destination: {host: out.example}}]}]}"}, "", []step{
			{"-entry a/e", "out"}, {"+1s", "out"}, {"-route a/web", "direct"}, {"+10s", "direct"}}},
		{"a rule for a pattern", []string{web, "rule a/all {host: \"*.a.svc.cluster.local\", subsets: [{name: v1}]}", toV1}, "", []step{{"-rule a/all", "web/v1"}, {"+3s", "web/v1!"}}},
		{"a rule for fewer namespaces", []string{other, "rule b/other {host: other, subsets: [{name: v1}]}", web, "route a/web {hosts: [web], http: [{route: [{destination: {host: other.b.svc.cluster.local, subset: v1}}]}]}"}, "", []step{
			{"rule b/other {host: other, exportTo: [.], subsets: [{name: v1}]}", "other/v1"}, {"+3s", "other/v1!"}}},
		{"a namespace leaves the mesh", []string{"config - {discoverySelectors: [{matchLabels: {mesh: in}}]}", "namespace a/a in", "namespace b/b in", other, web, "route a/web {hosts: [web], http: [{route: [{destination: {host: other.b.svc.cluster.local}}]}]}"}, "", []step{
			{"namespace b/b out", "other"}, {"+1s", "other"}, {"+2s", "other!"}}},
		{"a shorter time", []string{"config - {fairway: {routeHold: 200ms}}", web, ruleV1, toV1}, "", []step{{toV2, "web/v1"}, {"+200ms", "web/v2!"}}},
		{"no time at all", []string{"config - {fairway: {routeHold: 0s}}", web, ruleV1, toV1}, "", []step{{toV2, "web/v2!"}, {toV1, "web/v1"}, {"-rule a/web", "web/v1!"}}},
		{"the time is taken away", []string{web, ruleV1, toV1}, "", []step{{toV2, "web/v1"}, {"config - {fairway: {routeHold: 0s}}", "web/v2!"}}},
		{"a route of the Gateway API for a service", []string{web, api, "http a/r {parentRefs: [{kind: Service, group: \"\", name: web}], rules: [{backendRefs: [{name: api, port: 80}]}]}"}, "", []step{
			{"http a/r {parentRefs: [{kind: Service, group: \"\", name: web}], rules: [{backendRefs: [{name: new, port: 80}]}]}", "api"}, {"service a/new {ports: [{port: 80}]}", "new"}, {"-service a/new", "new"}, {"+3s", "new!"}}},
		{"the first route of the Gateway API for a service", []string{web}, "", []step{
			{"http a/r {parentRefs: [{kind: Service, group: \"\", name: web}], rules: [{backendRefs: [{name: new, port: 80}]}]}", "direct"}, {"+3s", "new!"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHolder(t, c.start...)
			if c.host == "" {
				c.host = host
			}
			h.run(c.host, (*holder).served, c.steps)
			h.pass(time.Hour)
			h.settled()
		})
	}
}

// TestHeldAtGateways does so at gateways.
func TestHeldAtGateways(t *testing.T) {
	const shop = "route a/shop {hosts: [shop.example], gateways: [in/gw], http: [{route: [{destination: {host: web, subset: v1}}]}]}"
	kube := []string{"class x/istio {controllerName: istio.io/gateway-controller}", "service in/gw {selector: {app: gw}, ports: [{port: 80}]}",
		"kube in/gw {gatewayClassName: istio, addresses: [{type: Hostname, value: gw.in.svc.cluster.local}], listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}"}
	httpRoute := func(hosts, backend string) string {
		return "http a/r {parentRefs: [{name: gw, namespace: in}], hostnames: [" + hosts + "], rules: [{backendRefs: [{name: " + backend + ", port: 80}]}]}"
	}
	ingress := func(service string) string {
		return "ingress a/i {rules: [{host: shop.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: " + service + ", port: {number: 80}}}}]}}]}"
	}
	for _, c := range []struct {
		name  string
		start []string
		steps []step
	}{
		{"a route comes before its rule", []string{gate, web, "route a/shop {hosts: [shop.example], gateways: [in/gw], http: [{route: [{destination: {host: web}}]}]}"}, []step{
			{shop, "web"}, {"+50ms", "web"}, {ruleV1, "web/v1"}}},
		{"a rule goes first", []string{gate, web, ruleV1, shop}, []step{{"-rule a/web", "web/v1"}, {"+1s", "web/v1"}, {"-route a/shop", "nothing"}}},
		{"a new host", []string{gate, web}, []step{{shop, "web/v1!"}, {ruleV1, "web/v1"}}},
		{"a host that another route serves", []string{gate, web, "route a/old {hosts: [shop.example], gateways: [in/gw], http: [{route: [{destination: {host: web}}]}]}"}, []step{
			{shop, "web"}, {ruleV1, "web web/v1"}}},
		{"a host that is new at the gateway only", []string{gate, web}, []step{
			{"route a/shop {hosts: [web], gateways: [mesh, in/gw], http: [{route: [{destination: {host: web, subset: v1}}]}]}", "nothing"}}},
		{"a rule in the gateway's namespace", []string{gate, web, "route a/shop {hosts: [shop.example], gateways: [in/gw], http: [{route: [{destination: {host: web}}]}]}"}, []step{
			{"rule in/web {host: web.a.svc.cluster.local, subsets: [{name: v1}]}", "web"}, {shop, "web/v1"}, {"-rule in/web", "web/v1"}, {"+3s", "web/v1!"}}},
		{"an HTTPRoute", append(kube, web, api, httpRoute("shop.example", "api")), []step{
			{httpRoute("shop.example", "new"), "api"}, {"+1s", "api"}, {"service a/new {ports: [{port: 80}]}", "new"}, {"-service a/new", "new"}, {"+3s", "new!"}}},
		{"a new HTTPRoute", append(kube, web), []step{{httpRoute("shop.example", "new"), "new!"}}},
		{"an HTTPRoute before its grant", append(kube, web, other, httpRoute("shop.example", "web")), []step{
			{strings.Replace(httpRoute("shop.example", "other"), "name: other", "namespace: b, name: other", 1), "web"}, {"+1s", "web"},
			{"grant b/g {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: \"\", kind: Service}]}", "other"}, {"-grant b/g", "500"}}},
		{"an Ingress", []string{web, api, ingress("web")}, []step{{ingress("new"), "web"}, {"+1s", "web"}, {"service a/new {ports: [{port: 80}]}", "new"}, {"-service a/new", "new"}, {"+3s", "new!"}}},
		{"a new Ingress", []string{web, ingress("new")}, []step{{"+1s", "new!"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHolder(t, append([]string{"config - {ingressSelector: gw, ingressControllerMode: DEFAULT}"}, c.start...)...)
			h.run("shop.example", (*holder).atGateway, c.steps)
			h.pass(time.Hour)
			h.settled()
		})
	}
}

// settled asserts that nothing is held or kept once its time is over.
func (h *holder) settled() {
	h.t.Helper()
	if n := len(h.b.holds.routes) + len(h.b.holds.kept) + len(h.b.holds.waiting) + len(h.b.holds.of) + len(h.b.holds.keptBy) + h.world.kept.Len() + h.world.keptAt.Len(); n > 0 {
		h.t.Errorf("%d things are still held: %v", n, h.b.holds)
	}
}
