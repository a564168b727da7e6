package translate

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// TestPlacesNeverMeet draws worlds of few names, so that rules, services, aliases and imports
// meet on few ports. In a route configuration one virtual host answers to a name, and in a
// listener one chain to what connections show: Envoy refuses anything else. A request on port
// 80 goes by the rule with the most specific host that its name has.
func TestPlacesNeverMeet(t *testing.T) {
	seeds := 60
	if n, err := strconv.Atoi(os.Getenv("FAIRWAY_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 18))
		text := randomPlaces(r)
		for _, namespace := range []string{"a", "b"} {
			if what := wrongPlaces(routeWorld(t, text, namespace, "")); what != "" {
				t.Fatalf("seed %d, clients of %s: %s\n%s", seed, namespace, what, text)
			}
		}
	}
}

func pickOne(r *rand.Rand, l ...string) string { return l[r.IntN(len(l))] }

// randomPlaces is a world in YAML.
func randomPlaces(r *rand.Rand) string {
	var docs []string
	add := func(kind, name, spec string) {
		version := "networking.istio.io/v1"
		if kind == "Service" {
			version = "v1"
		}
		docs = append(docs, fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: %s, creationTimestamp: \"2026-01-01T00:00:%02dZ\"}, spec: {%s}}", version, kind, name, pickOne(r, "a", "b"), r.IntN(60), spec))
	}
	name := func() string {
		return pickOne(r, "web", "web.a", "web.a.svc.cluster.local", "x.ex.org", "y.x.ex.org", "'*.ex.org'", "'*.x.ex.org'", "'*.org'", "z.org", "'*.a.svc.cluster.local'", "'*.cluster.local'")
	}
	names := func() string {
		out := []string{name()}
		for r.IntN(3) == 0 {
			out = append(out, name())
		}
		slices.Sort(out)
		return strings.Join(slices.Compact(out), ", ")
	}
	exports := func() string { return pickOne(r, "", "", "exportTo: ['.'], ") }
	for i := range 1 + r.IntN(3) {
		if r.IntN(4) == 0 {
			add("Service", pickOne(r, "alias", "web"), fmt.Sprintf("type: ExternalName, externalName: %s", pickOne(r, "web.a.svc.cluster.local", "web.b.svc.cluster.local", "x.ex.org")))
			continue
		}
		add("Service", pickOne(r, "web", "api"), fmt.Sprintf("clusterIP: %s, ports: [{name: %s, port: %s}, {name: %s, port: 443}]", pickOne(r, "None", fmt.Sprint("10.0.0.", i)), pickOne(r, "http", "tcp", "data"), pickOne(r, "80", "81"), pickOne(r, "tls", "http", "data")))
	}
	for i := range r.IntN(4) {
		add("ServiceEntry", fmt.Sprint("e", i), fmt.Sprintf("%shosts: [%s], resolution: %s, addresses: [%s], ports: [{number: %s, name: p, protocol: %s}, {number: 443, name: q, protocol: %s}]",
			exports(), names(), pickOne(r, "NONE", "DNS"), pickOne(r, "", "", "10.0.0.1", "10.9.0.0/16"), pickOne(r, "80", "81"), pickOne(r, "HTTP", "TCP", "TLS", "''"), pickOne(r, "TLS", "HTTP", "HTTPS")))
	}
	for i := range 1 + r.IntN(5) {
		to := fmt.Sprintf("route: [{destination: {host: %s, port: {number: 80}}}]", pickOne(r, "web", "x.ex.org"))
		rules := []string{}
		if r.IntN(4) > 0 {
			rules = append(rules, fmt.Sprintf("http: [{%s%s}]", pickOne(r, "", "match: [{port: 80}], ", "match: [{uri: {prefix: /x}}], "), to))
		}
		if len(rules) == 0 || r.IntN(3) == 0 {
			rules = append(rules, fmt.Sprintf("tls: [{match: [{sniHosts: [%s]}, {sniHosts: [%s]}], %s}]", pickOne(r, "x.ex.org", "'*.ex.org'", "z.org"), pickOne(r, "y.x.ex.org", "'*.x.ex.org'", "'*'"), to))
		}
		add("VirtualService", fmt.Sprint("v", i), fmt.Sprintf("%shosts: [%s], %s", exports(), names(), strings.Join(rules, ", ")))
	}
	if r.IntN(2) == 0 {
		var hosts []string
		for range 1 + r.IntN(3) {
			hosts = append(hosts, fmt.Sprintf("\"%s/%s\"", pickOne(r, "*", ".", "a", "b", "~a"), strings.Trim(name(), "'")))
		}
		add("Sidecar", "s", fmt.Sprintf("egress: [{hosts: [%s]}]", strings.Join(hosts, ", ")))
	}
	return strings.Join(docs, "\n---\n")
}

// wrongPlaces says what Envoy would refuse of the view, or what goes by another rule than it
// should.
func wrongPlaces(v *mesh.View) string {
	var names []string
	for h := range v.Hosts() {
		names = append(names, h)
	}
	for h := range v.RouteHosts() {
		names = append(names, h)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	answers, resources, rules := map[string]string{}, map[string]bool{}, map[string]string{}
	claims := map[ListenerKey]ListenerInput{}
	for _, h := range names {
		plan := ResolveHost(v, h)
		for _, in := range plan.VirtualHosts {
			if resources[in.Resource()] {
				return "two virtual hosts " + in.Resource()
			}
			resources[in.Resource()] = true
			for _, d := range in.Domains.all() {
				at := in.Config + " " + d
				if answers[at] != "" {
					return fmt.Sprintf("both %s and %s answer to %s", answers[at], in.Name, at)
				}
				answers[at] = in.Name
				if rules[at] = "no rule"; in.Route.VirtualService != nil && in.Route.servesRequests() {
					rules[at] = in.Route.VirtualService.Ref.String()
				}
			}
		}
		for _, c := range plan.Claims {
			l := claims[c.Key]
			l.Key, l.Config = c.Key, v.Config
			if c.Kind == ClaimHTTP {
				l.HTTP = true
			} else {
				l.Claims = append(l.Claims, c)
			}
			claims[c.Key] = l
		}
	}
	if what := wrongRules(v, rules); what != "" {
		return what
	}
	for key, in := range claims {
		l, _ := OutboundListener(in)
		seen := map[string]bool{}
		for _, c := range l.GetFilterChains() {
			m := c.GetFilterChainMatch()
			for _, name := range append([]string{""}, m.GetServerNames()...) {
				if strings.HasPrefix(name, "*") && !strings.HasPrefix(name, "*.") {
					return fmt.Sprintf("%s matches the name %s", key.Name(), name)
				}
				if name == "" && len(m.GetServerNames()) > 0 {
					continue
				}
				for _, p := range append([]string{""}, prefixesOf(m.GetPrefixRanges())...) {
					if p == "" && len(m.GetPrefixRanges()) > 0 {
						continue
					}
					match := fmt.Sprint(p, " ", name, " ", m.GetTransportProtocol(), m.GetApplicationProtocols())
					if seen[match] {
						return fmt.Sprintf("two chains of %s match %s", key.Name(), match)
					}
					seen[match] = true
				}
			}
		}
	}
	return ""
}

// wrongRules compares the rules of port 80 with the most specific one of each name, where no
// Sidecar leaves any out.
func wrongRules(v *mesh.View, rules map[string]string) string {
	if v.Sidecar != nil {
		return ""
	}
	for _, name := range []string{"x.ex.org", "y.x.ex.org", "q.x.ex.org", "q.ex.org", "z.org", "q.org"} {
		var best *traffic.VirtualService
		by := ""
		for host, list := range v.RouteHosts() {
			for _, vs := range list {
				seen := vs.ExportTo.VisibleFrom(vs.Namespace, v.Scope.Namespace, nil)
				if !seen || !object.HostMatches(host, name) || best != nil && (host != by && (by == name || host != name && len(host) <= len(by)) || host == by && !before(v, vs, best)) {
					continue
				}
				best, by = vs, host
			}
		}
		if best == nil {
			continue
		}
		in := RouteInput{VirtualService: best, Gateway: object.MeshGateway, Port: 80, Config: v.Config}
		if s := v.Owner(name, 80); s != nil && !s.Port(80).Protocol.IsHTTP() || !in.servesRequests() {
			continue
		}
		got, most := "nothing", -1
		for at, rule := range rules {
			if domain, ok := strings.CutPrefix(at, "80 "); ok && object.HostMatches(domain, name) && most < len(name) && (domain == name || len(domain)-1 > most) {
				if got, most = rule, len(domain)-1; domain == name {
					most = len(name)
				}
			}
		}
		if got != best.Ref.String() {
			return fmt.Sprintf("%s goes by %s, not by %s, whose host is %s", name, got, best.Ref, by)
		}
	}
	return ""
}

// before tells whether of two rules with one host the first is in force: one that is private to
// the view's namespace, or the older one.
func before(v *mesh.View, a, b *traffic.VirtualService) bool {
	private := func(vs *traffic.VirtualService) bool {
		return vs.Namespace == v.Scope.Namespace && vs.ExportTo.Private(vs.Namespace, nil)
	}
	if x, y := private(a), private(b); x != y {
		return x
	}
	if !a.Created.Equal(b.Created) {
		return a.Created.Before(b.Created)
	}
	return a.Ref.Name < b.Ref.Name || a.Ref.Name == b.Ref.Name && a.Ref.Namespace < b.Ref.Namespace
}

func prefixesOf(ranges []*corev3.CidrRange) (out []string) {
	for _, r := range ranges {
		out = append(out, fmt.Sprint(r.AddressPrefix, "/", r.PrefixLen.GetValue()))
	}
	return out
}
