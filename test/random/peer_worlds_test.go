package random_test

import (
	"fmt"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/random"
)

// drawn is a world of Istio objects that is valid throughout, and the calls that are
// followed through it.
type drawn struct {
	*random.Choices
	objects []string
	covered map[string]int // kinds and fields that were drawn
}

// What worlds are made of. Wildcards, ports, Sidecars, exportTo and subsets are drawn in
// every world.
var (
	peerHosts = []string{"one.example", "two.example", "x.one.example", "web.shop.svc.cluster.local", "api.other.svc.cluster.local"}
	peerWilds = []string{"*.example", "*.one.example", "*.shop.svc.cluster.local"}
)

func of[T any](d *drawn, list ...T) T { return list[d.N(len(list))] }

func (d *drawn) add(kind, name, namespace, spec string) {
	group := map[string]string{"ServiceEntry": "networking.istio.io/v1", "VirtualService": "networking.istio.io/v1", "DestinationRule": "networking.istio.io/v1", "Sidecar": "networking.istio.io/v1", "Gateway": "networking.istio.io/v1", "AuthorizationPolicy": "security.istio.io/v1"}[kind]
	d.objects = append(d.objects, fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s, creationTimestamp: \"20%02d-01-01T00:00:00Z\"}\nspec: %s\n", group, kind, name, namespace, 10+len(d.objects), spec))
	d.covered[kind]++
	for _, word := range strings.FieldsFunc(spec, func(r rune) bool { return strings.ContainsRune("{}[], \"'", r) }) {
		if field, ok := strings.CutSuffix(word, ":"); ok {
			d.covered[kind+"."+field]++
		}
	}
}

func (d *drawn) exportTo() string {
	return of(d, "", "", "", ", exportTo: ['.']", ", exportTo: ['*']", ", exportTo: [other]")
}

// drawWorld draws one.
func drawWorld(seed uint64) *drawn {
	d := &drawn{Choices: random.NewChoices(seed, nil), covered: map[string]int{}}
	for i, host := range peerHosts {
		if i > 2 || !d.One(4) {
			d.entry(host, fmt.Sprintf("e%d", i))
		}
	}
	d.entry(of(d, "*.example", "*.one.example"), "wild")
	for i := range 2 + d.N(3) {
		d.rule(i)
	}
	for i := range 1 + d.N(3) {
		d.destinationRule(i)
	}
	if d.One(2) {
		d.sidecar()
	}
	d.gateways()
	return d
}

var peerPorts = []string{"{number: 80, name: http, protocol: HTTP}", "{number: 8080, name: http-too, protocol: HTTP}", "{number: 443, name: tls, protocol: TLS}", "{number: 9000, name: tcp, protocol: TCP}"}

func (d *drawn) entry(host, name string) {
	namespace := "other"
	if strings.Contains(host, ".shop.") || !strings.Contains(host, ".svc.") && d.One(2) {
		namespace = "shop"
	}
	var ports []string
	for _, p := range peerPorts {
		if strings.Contains(p, "tcp") && (strings.HasPrefix(host, "*") || !strings.Contains(host, ".svc.")) {
			continue
		}
		if len(ports) == 0 || !d.One(2) {
			ports = append(ports, p)
		}
	}
	if d.One(4) {
		ports = ports[len(ports)-1:]
	}
	rest := "resolution: NONE"
	if !strings.HasPrefix(host, "*") {
		var endpoints []string
		for v := range 2 {
			endpoints = append(endpoints, fmt.Sprintf("{address: 192.0.2.%d, labels: {version: v%d}}", 1+d.N(200), v+1))
		}
		rest = "resolution: STATIC, location: MESH_INTERNAL, endpoints: [" + strings.Join(endpoints, ", ") + "]"
		if a := peerAddress(host); a != "" {
			rest += ", addresses: [" + a + "]"
		}
	}
	d.add("ServiceEntry", name, namespace, fmt.Sprintf("{hosts: ['%s'], ports: [%s], %s%s}", host, strings.Join(ports, ", "), rest, d.exportTo()))
}

// peerAddress is the address of a host, "" for those that are told apart by name alone.
func peerAddress(host string) string {
	for i, h := range peerHosts {
		if h == host && strings.Contains(h, ".svc.") {
			return fmt.Sprintf("240.0.0.%d", i+1)
		}
	}
	return ""
}

func (d *drawn) destination() string {
	out := "{host: " + of(d, peerHosts...)
	out += of(d, "", "", ", subset: v1", ", subset: v2")
	return "{destination: " + out + of(d, "", ", port: {number: 80}", ", port: {number: 8080}") + "}}"
}

func (d *drawn) route() string {
	if d.One(3) {
		a, b := strings.TrimSuffix(d.destination(), "}"), strings.TrimSuffix(d.destination(), "}")
		return fmt.Sprintf("route: [%s, weight: %d}, %s, weight: %d}]", a, 10+d.N(40), b, 10+d.N(40))
	}
	return "route: [" + d.destination() + "]"
}

func (d *drawn) rule(i int) {
	hosts := "'" + of(d, append(peerWilds, peerHosts...)...) + "'"
	if second := of(d, peerHosts...); d.One(3) && !object.HostMatches(strings.Trim(hosts, "'"), second) { // the peer refuses hosts that cover each other
		hosts += ", '" + second + "'"
	}
	var spec string
	switch d.N(5) {
	case 0:
		spec = fmt.Sprintf("tls: [{match: [{port: 443, sniHosts: ['%s']}], route: [{destination: {host: %s, port: {number: 443}}}]}]", of(d, append(peerWilds, peerHosts...)...), of(d, peerHosts...))
		_, hosts, _ = strings.Cut(spec, "sniHosts: [")
		hosts, _, _ = strings.Cut(hosts, "]")
	case 1:
		hosts = "'" + of(d, peerHosts[3:]...) + "'"
		spec = fmt.Sprintf("tcp: [{match: [{port: 9000}], route: [{destination: {host: %s, port: {number: 9000}%s}}]}]", of(d, peerHosts[3:]...), of(d, "", ", subset: v1"))
	default:
		var rules []string
		for range 1 + d.N(2) {
			match := of(d, "{uri: {prefix: /a}}", "{uri: {exact: /}}", "{port: 80}", "{port: 8080, uri: {prefix: /}}", "{headers: {x-a: {exact: b}}}", "{sourceNamespace: shop}", "{sourceLabels: {app: client}}", "{authority: {prefix: x}}")
			rules = append(rules, "{match: ["+match+"], "+d.action()+"}")
		}
		if !d.One(3) {
			rules = append(rules, "{"+d.action()+"}")
		}
		spec = "http: [" + strings.Join(rules, ", ") + "]"
	}
	d.add("VirtualService", fmt.Sprintf("v%d", i), of(d, "shop", "other"), fmt.Sprintf("{hosts: [%s], %s%s}", hosts, spec, d.exportTo()))
}

func (d *drawn) destinationRule(i int) {
	subsets := of(d, "subsets: [{name: v1, labels: {version: v1}}]", "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]", "subsets: [{name: v2, labels: {version: v2}}], trafficPolicy: {loadBalancer: {simple: RANDOM}}")
	d.add("DestinationRule", fmt.Sprintf("d%d", i), of(d, "shop", "other", "istio-system"), fmt.Sprintf("{host: '%s', %s%s}", of(d, append(peerWilds, peerHosts...)...), subsets, d.exportTo()))
}

func (d *drawn) sidecar() {
	hosts := of(d, "./*", "*/*", "other/*", "*/one.example", "shop/*.shop.svc.cluster.local", "*/*.example", "./one.example")
	more := of(d, "", "", ", '~/*'", ", 'other/api.other.svc.cluster.local'")
	policy := of(d, "", "", ", outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
	selector := of(d, "", "workloadSelector: {labels: {app: client}}, ")
	port := of(d, "", "", "{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*/two.example']}, ")
	d.add("Sidecar", "s", of(d, "shop", "shop", "istio-system"), fmt.Sprintf("{%segress: [%s{hosts: ['%s'%s]}]%s}", selector, port, hosts, more, policy))
}
