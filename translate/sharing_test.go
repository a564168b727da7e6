package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// wherePlanned says where the hosts of a view are served: "LISTENER KIND HOST NAMES" and
// "ROUTES HOST DOMAINS" for the part of domains that a port's listener needs.
func wherePlanned(v *mesh.View) (out, findings []string) {
	for h := range v.Hosts() {
		plan := ResolveHost(v, h)
		for _, c := range plan.Claims {
			line := fmt.Sprintf("%s %s %s", c.Key.Name(), []string{"http", "sniffed", "tcp"}[c.Kind], c.Host)
			for _, chain := range c.Chains {
				line += fmt.Sprint(" ", chain.Prefixes, chain.SNI)
			}
			out = append(out, line)
		}
		for _, vh := range plan.VirtualHosts {
			out = append(out, fmt.Sprintf("routes %s: %s", vh.Config, strings.Join(vh.Domains.all(), " ")))
		}
		for _, f := range plan.Findings {
			findings = append(findings, f.Object.Name+" "+f.Field+": "+f.Message+" ("+f.Winner.Name+")")
		}
	}
	slices.Sort(out)
	slices.Sort(findings)
	return out, findings
}

func entryDoc(name, namespace, protocol, more string) string {
	year := map[string]string{"a": "2021", "b": "2022"}[name]
	return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: %s, namespace: %s, creationTimestamp: "%s-01-01T00:00:00Z"}, spec: {hosts: [%s.example], resolution: STATIC, endpoints: [{address: 192.0.2.1}], ports: [{number: 81, name: p, protocol: %s}]%s}}`, name, namespace, year, name, protocol, more)
}

// TestHostsThatShareAnAddress: what can be told apart is, and who loses hears of the winner.
func TestHostsThatShareAnAddress(t *testing.T) {
	const at = ", addresses: [203.0.113.9]"
	kubernetes := `{apiVersion: v1, kind: Service, metadata: {name: a, namespace: x, creationTimestamp: "2021-01-01T00:00:00Z"}, spec: {clusterIP: 203.0.113.9, ports: [{name: tls, port: 81}]}}`
	for _, c := range []struct {
		what           string
		first, second  string
		want, findings []string
	}{
		{"no protocol and no address", entryDoc("a", "x", `""`, ""), entryDoc("b", "y", `""`, ""),
			[]string{"0.0.0.0_81 http a.example", "0.0.0.0_81 http b.example", "0.0.0.0_81 tcp a.example [] []", "0.0.0.0_81 tcp b.example [] []", "routes 81: a.example a.example.", "routes 81: b.example b.example."}, nil},
		{"no protocol beside HTTP", entryDoc("a", "x", `""`, ""), entryDoc("b", "y", `HTTP`, ""),
			[]string{"0.0.0.0_81 http a.example", "0.0.0.0_81 http b.example", "0.0.0.0_81 tcp a.example [] []", "routes 81: a.example a.example.", "routes 81: b.example b.example."}, nil},
		{"TLS at one address", entryDoc("a", "x", `TLS`, at), entryDoc("b", "y", `HTTPS`, at),
			[]string{"203.0.113.9_81 tcp a.example [] []", "203.0.113.9_81 tcp b.example [] [b.example]"}, nil},
		{"TLS at the address of TCP", entryDoc("a", "x", `TCP`, at), entryDoc("b", "y", `TLS`, at),
			[]string{"203.0.113.9_81 tcp a.example [] []", "203.0.113.9_81 tcp b.example [] [b.example]"}, nil},
		{"no protocol at one address", entryDoc("a", "x", `""`, at), entryDoc("b", "y", `""`, at),
			[]string{"203.0.113.9_81 sniffed a.example [] []", "routes a.example:81: *", "routes a.example:81: b.example b.example."},
			[]string{"b spec.addresses: 203.0.113.9 is an address of host a.example too, which has its port 81; connections that are no HTTP/1.1 or HTTP/2 requests meant for b.example go there: use another address or another port (a)"}},
		{"HTTP at the address of no protocol", entryDoc("a", "x", `""`, at), entryDoc("b", "y", `HTTP`, at),
			[]string{"0.0.0.0_81 http b.example", "203.0.113.9_81 sniffed a.example [] []", "routes 81: b.example b.example.", "routes a.example:81: *", "routes a.example:81: b.example b.example."}, nil},
		{"HTTP at the address of TLS", entryDoc("a", "x", `TLS`, at), entryDoc("b", "y", `HTTP`, at),
			[]string{"0.0.0.0_81 http b.example", "203.0.113.9_81 http b.example", "203.0.113.9_81 tcp a.example [] []", "routes 203.0.113.9_81: b.example b.example.", "routes 81: b.example b.example."}, nil},
		{"HTTP at one address", entryDoc("a", "x", `HTTP`, at), entryDoc("b", "y", `HTTP`, at),
			[]string{"0.0.0.0_81 http a.example", "0.0.0.0_81 http b.example", "routes 81: a.example a.example. 203.0.113.9", "routes 81: b.example b.example."}, nil},
		{"TCP at one address", entryDoc("a", "x", `TCP`, at), entryDoc("b", "y", `TCP`, at),
			[]string{"203.0.113.9_81 tcp a.example [] []"},
			[]string{"b spec.addresses: 203.0.113.9 is an address of host a.example too, which has its port 81; connections meant for b.example go there: use another address or another port (a)"}},
		{"HTTP at the address of TCP", entryDoc("a", "x", `TCP`, at), entryDoc("b", "y", `HTTP`, at),
			[]string{"0.0.0.0_81 http b.example", "203.0.113.9_81 tcp a.example [] []", "routes 81: b.example b.example."},
			[]string{"b spec.addresses: 203.0.113.9 is an address of host a.example too, which has its port 81; connections meant for b.example go there: use another address or another port (a)"}},
		{"TLS at the cluster IP of another namespace", kubernetes, entryDoc("b", "y", `TLS`, at),
			[]string{"203.0.113.9_81 tcp a.x.svc.cluster.local [] []"},
			[]string{"b spec.addresses: 203.0.113.9 is an address of host a.x.svc.cluster.local too, which has its port 81; connections meant for b.example go there: use another address or another port (a)"}},
		{"no protocol in one range", entryDoc("a", "x", `""`, ", addresses: [10.1.0.0/16]"), entryDoc("b", "y", `""`, ", addresses: [10.2.0.0/16]"),
			[]string{"0.0.0.0_81 sniffed a.example [10.1.0.0/16] []", "0.0.0.0_81 sniffed b.example [10.2.0.0/16] []", "routes a.example:81: *", "routes b.example:81: *"}, nil},
	} {
		for _, text := range []string{c.first + "\n---\n" + c.second, c.second + "\n---\n" + c.first} {
			got, findings := wherePlanned(routeWorld(t, text, "client", ""))
			if !slices.Equal(got, c.want) {
				t.Errorf("%s:\n%s\nwant\n%s", c.what, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if !slices.Equal(findings, c.findings) {
				t.Errorf("%s: findings\n%s\nwant\n%s", c.what, strings.Join(findings, "\n"), strings.Join(c.findings, "\n"))
			}
		}
	}
}

// TestRequestsToRanges: each range leads the requests meant for it, and nobody else's.
func TestRequestsToRanges(t *testing.T) {
	v := routeWorld(t, entryDoc("a", "x", `""`, ", addresses: [10.1.0.0/16]")+"\n---\n"+entryDoc("b", "y", `""`, ", addresses: [10.2.0.0/16]"), "client", "")
	var claims []Claim
	for h := range v.Hosts() {
		claims = append(claims, ResolveHost(v, h).Claims...)
	}
	l, findings := OutboundListener(ListenerInput{Key: anyAddress(81), Claims: claims, Unclaimed: resource.PassthroughCluster, Config: v.Config})
	var got []string
	for _, c := range l.FilterChains {
		got = append(got, c.Name+" "+strings.Join(c.GetFilterChainMatch().GetApplicationProtocols(), ","))
	}
	want := []string{"http/10.1.0.0/16 http/1.0,http/1.1,h2c", "a.example/10.1.0.0/16 ", "http/10.2.0.0/16 http/1.0,http/1.1,h2c", "b.example/10.2.0.0/16 "}
	if !slices.Equal(got, want) || l.DefaultFilterChain.GetName() != resource.PassthroughCluster || len(findings) > 0 {
		t.Errorf("%q, then %q, findings %v", got, l.DefaultFilterChain.GetName(), findings)
	}
	if err := l.ValidateAll(); err != nil {
		t.Error(err)
	}
}

// TestAddressesOfHeadlessPods: requests to a pod's address go the way of those to its
// name, and one service has the address when several do.
func TestAddressesOfHeadlessPods(t *testing.T) {
	headless := func(name, year, ports, more string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: x, creationTimestamp: "%s-01-01T00:00:00Z"}, spec: {clusterIP: None, ports: [%s]%s}}`, name, year, ports, more)
	}
	pod := `{apiVersion: v1, kind: Pod, metadata: {name: ring-0, namespace: x, labels: {app: ring}}, status: {phase: Running, podIP: 10.0.0.7, podIPs: [{ip: 10.0.0.7}, {ip: "fd00::7"}], conditions: [{type: Ready, status: "True"}]}}`
	slice := `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: m-1, namespace: x, labels: {kubernetes.io/service-name: m}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.0.0.7]}]}`
	const http, ring = "{name: http, port: 8080}", ", selector: {app: ring}"
	for _, c := range []struct {
		what  string
		world []string
		owner string // of the address; "": nobody
		said  string // the finding of the loser
	}{
		{"one", []string{headless("one", "2021", http, ring), pod}, "*.one.x.svc.cluster.local", ""},
		{"the older", []string{headless("b", "2021", http, ring), headless("a", "2022", http, ring), pod}, "*.b.x.svc.cluster.local", ""},
		{"the older has no such port", []string{headless("b", "2021", "{name: http, port: 81}", ring), headless("a", "2022", http, ring), pod}, "*.a.x.svc.cluster.local", ""},
		{"the older speaks TCP", []string{headless("b", "2021", "{name: tcp, port: 81}", ring), headless("a", "2022", http, ring), pod}, "*.a.x.svc.cluster.local", ""},
		{"the older lists it", []string{headless("m", "2021", http, ""), slice, headless("a", "2022", http, ring), pod}, "*.m.x.svc.cluster.local", ""},
		{"the younger lists it", []string{headless("m", "2022", http, ""), slice, headless("a", "2021", http, ring), pod}, "*.a.x.svc.cluster.local", ""},
		{"an entry has the address", []string{headless("one", "2021", http, ring), pod, `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: x}, spec: {hosts: [e.example], addresses: [10.0.0.7], resolution: STATIC, endpoints: [{address: 192.0.2.1}], ports: [{number: 8080, name: http}]}}`}, "e.example", ""},
		{"an entry of another namespace has not", []string{headless("one", "2021", http, ring), pod, `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: other}, spec: {hosts: [e.example], addresses: [10.0.0.7], resolution: STATIC, endpoints: [{address: 192.0.2.1}], ports: [{number: 8080, name: http}]}}`}, "*.one.x.svc.cluster.local",
			"e spec.addresses: 10.0.0.7 is an address of Pod x/ring-0 in another namespace, and stays its own; connections meant for e.example are not led elsewhere there: use another address (ring-0)"},
		{"a machine", []string{headless("m", "2021", http, ""), slice}, "", ""},
	} {
		w := parsedWorld(t, strings.Join(c.world, "\n---\n"))
		if c.said != "" {
			if _, said := wherePlanned(w.View(mesh.Scope{Namespace: "client"})); len(said) != 1 || said[0] != c.said {
				t.Errorf("%s: findings %q", c.what, said)
			}
		}
		for _, scope := range everyClient {
			got := served(t, w.View(scope))["8080 10.0.0.7"]
			if scope.Role == mesh.RoleSidecar && got != c.owner {
				t.Errorf("%s: %v: the address is that of %q, want %q", c.what, scope, got, c.owner)
			}
		}
	}
}
