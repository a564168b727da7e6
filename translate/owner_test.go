package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// ownedWorld is a shop with Services and Pods that others try to take.
const ownedWorld = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, creationTimestamp: "2024-01-01T00:00:00Z"}, spec: {clusterIP: 10.96.0.9, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 3306, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: bare, namespace: shop, creationTimestamp: "2024-01-01T00:00:00Z"}, spec: {clusterIP: None, selector: {app: web}, ports: [{name: tcp, port: 8080}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: shop, labels: {app: web}}, spec: {containers: [{name: c, image: c}]}, status: {phase: Running, podIP: 10.244.0.5, podIPs: [{ip: 10.244.0.5}], conditions: [{type: Ready, status: "True"}]}}
---
`

var everyClient = []mesh.Scope{{}, {Namespace: "shop"}, {Namespace: "evil"}, {Namespace: "other"}, {Namespace: "other", Labels: "a=b"}, {Role: mesh.RoleRouter, Namespace: "edge"}}

// served are the claims and domains of a view, each with the host that has it,
// as Envoy would get them.
func served(t *testing.T, v *mesh.View) map[string]string {
	t.Helper()
	out := map[string]string{}
	take := func(key, host string) {
		if other, taken := out[key]; taken && other != host {
			t.Errorf("%v: %s is that of %s and of %s", v.Scope, key, other, host)
		}
		out[key] = host
	}
	names := map[string]bool{}
	for h := range v.Hosts() {
		names[h] = true
	}
	for h := range v.RouteHosts() {
		names[h] = true
	}
	for h := range names {
		plan := ResolveHost(v, h)
		for _, c := range plan.Claims {
			if c.Kind != ClaimHTTP && c.Key.Address != AnyAddress {
				take("listener "+c.Key.Name(), c.Host)
			}
		}
		for _, vh := range plan.VirtualHosts {
			for _, d := range vh.Domains.all() {
				take(vh.Config+" "+d, vh.Name)
			}
		}
	}
	return out
}

// takers are objects of namespace evil that try to have what is the shop's;
// each is older than the shop's own objects.
var takers = map[string]string{
	"the host in full":           `{hosts: [web.shop.svc.cluster.local], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}, {number: 3306, name: tcp, protocol: TCP}], endpoints: [{address: 198.51.100.1}]}`,
	"the host with svc":          `{hosts: [web.shop.svc], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 198.51.100.1}]}`,
	"the host without svc":       `{hosts: [web.shop], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 198.51.100.1}]}`,
	"the host in capitals":       `{hosts: [WEB.Shop.SVC.Cluster.Local.], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 198.51.100.1}]}`,
	"the name by itself":         `{hosts: [web], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 198.51.100.1}]}`,
	"the cluster IP, TCP":        `{hosts: [x.example], addresses: [10.96.0.9], resolution: STATIC, ports: [{number: 3306, name: tcp, protocol: TCP}, {number: 80, name: tcp2, protocol: TCP}], endpoints: [{address: 198.51.100.1}]}`,
	"the cluster IP, other port": `{hosts: [x.example], addresses: [10.96.0.9], resolution: STATIC, ports: [{number: 9999, name: tcp, protocol: TCP}], endpoints: [{address: 198.51.100.1}]}`,
	"the cluster IP, mapped":     `{hosts: [x.example], addresses: ["::ffff:10.96.0.9"], resolution: STATIC, ports: [{number: 80, name: tcp, protocol: TCP}], endpoints: [{address: 198.51.100.1}]}`,
	"the cluster IP as a CIDR":   `{hosts: [x.example], addresses: [10.96.0.9/32, "::ffff:10.96.0.9/128"], resolution: STATIC, ports: [{number: 80, name: tcp, protocol: TCP}], endpoints: [{address: 198.51.100.1}]}`,
	"the cluster IP, HTTP":       `{hosts: [x.example], addresses: [10.96.0.9], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 198.51.100.1}]}`,
	"the cluster IP as a host":   `{hosts: [10.96.0.9], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 198.51.100.1}]}`,
	"the pod's address":          `{hosts: [x.example], addresses: [10.244.0.5], resolution: STATIC, ports: [{number: 8080, name: tcp, protocol: TCP}, {number: 81, name: http, protocol: HTTP}], endpoints: [{address: 198.51.100.1}]}`,
}

// TestNobodyTakesWhatIsAnothers: with every taker, the shop's names and
// addresses lead where they led without it, and the loser is told who won.
func TestNobodyTakesWhatIsAnothers(t *testing.T) {
	texts := map[string]string{
		"slices over the pod":     headlessOver("10.244.0.5", 8080),
		"slices over the cluster": headlessOver("10.96.0.9", 3306),
		"a workload entry":        `{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: taker, namespace: evil, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {address: 10.244.0.5, serviceAccount: evil, labels: {app: web}}}`,
	}
	for what, spec := range takers {
		texts[what] = `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: taker, namespace: evil, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: ` + spec + `}`
	}
	alone := parsedWorld(t, strings.TrimSuffix(ownedWorld, "---\n"))
	for what, text := range texts {
		w := parsedWorld(t, ownedWorld+text)
		for _, scope := range everyClient {
			if scope.Role == mesh.RoleRouter {
				want, got := dialled(alone.View(scope), "web.shop.svc.cluster.local"), dialled(w.View(scope), "web.shop.svc.cluster.local")
				if !slices.Equal(want, got) {
					t.Errorf("%s: a gateway's route to the Service leads to %v, not %v", what, got, want)
				}
				continue
			}
			want, got := served(t, alone.View(scope)), served(t, w.View(scope))
			if scope.Namespace == "evil" && strings.HasPrefix(text, "{apiVersion: networking.istio.io/v1, kind: ServiceEntry") && !strings.Contains(text, "x.example") {
				continue // its own clients it may lead elsewhere
			}
			for key, host := range want {
				if got[key] != host {
					t.Errorf("%s: for clients of %q %s is that of %q, not of %s", what, scope.Namespace, key, got[key], host)
				}
			}
			for key, host := range got {
				if _, was := want[key]; !was && (strings.HasPrefix(key, "listener 10.96.0.9") || strings.HasPrefix(key, "listener 10.244.0.5") || strings.Contains(key, " 10.96.0.9") || strings.Contains(key, " 10.244.0.5")) {
					t.Errorf("%s: for clients of %q %s is that of %s", what, scope.Namespace, key, host)
				}
			}
		}
		if x := w.WorkloadAt(alone.Workload("shop", "web-0").Addresses[0]); x == nil || x.Namespace != "shop" {
			t.Errorf("%s: the pod's address is that of %v", what, x)
		}
		told := slices.ContainsFunc(slices.Collect(w.Findings()), func(f object.Finding) bool { return f.Object.Namespace == "evil" && f.Winner.Namespace == "shop" })
		if !told && strings.HasPrefix(what, "the ") && what != "the name by itself" {
			t.Errorf("%s: the loser is not told who won", what)
		}
	}
}

func headlessOver(address string, port int) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: taker, namespace: evil, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {clusterIP: None, ports: [{name: tcp, port: %d}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: taker-1, namespace: evil, labels: {kubernetes.io/service-name: taker}}, addressType: IPv4, ports: [{name: tcp, port: %d}], endpoints: [{addresses: [%q]}]}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: taker, namespace: evil}, spec: {host: taker.evil.svc.cluster.local, trafficPolicy: {tls: {mode: SIMPLE}}}}`, port, port, address)
}

// TestOwnersRuleBeforeForms: a rule for a form of a Service's name is not in
// force beside the owner's rule for the Service, nor beside an older one.
func TestOwnersRuleBeforeForms(t *testing.T) {
	rule := func(namespace, host, year string) string {
		return fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: r, namespace: %s, creationTimestamp: %q}, spec: {hosts: [%s], http: [{directResponse: {status: 418}}]}}\n---\n", namespace, year+"-01-01T00:00:00Z", host)
	}
	for _, form := range []string{"web.shop", "web.shop.svc", "WEB.shop."} {
		name := strings.ToLower(strings.TrimSuffix(form, "."))
		for _, c := range []struct {
			what, rules string
			own         bool // the form has a virtual host of its own
		}{
			{"newer than the owner's", rule("shop", "web", "2024") + rule("evil", form, "2025"), false},
			{"older than the owner's", rule("shop", "web", "2024") + rule("evil", form, "2020"), false},
			{"newer than another's", rule("other", "web.shop.svc.cluster.local", "2024") + rule("evil", form, "2025"), false},
			{"older than another's", rule("other", "web.shop.svc.cluster.local", "2024") + rule("evil", form, "2020"), true},
			{"the only one", rule("evil", form, "2025"), true},
			{"the owner's, newer than another's", rule("other", "web.shop.svc.cluster.local", "2024") + rule("shop", form, "2025"), true},
		} {
			w := parsedWorld(t, ownedWorld+strings.TrimSuffix(c.rules, "---\n"))
			for _, namespace := range []string{"", "shop", "third"} {
				v := w.View(mesh.Scope{Namespace: namespace})
				got := served(t, v)
				if own := got["80 "+name] == name; own != c.own || got["80 "+name] == "" {
					t.Errorf("%s, %s: for clients of %q %s is that of %q", form, c.what, namespace, name, got["80 "+name])
				}
				told := slices.ContainsFunc(ResolveHost(v, name).Findings, func(f object.Finding) bool { return f.Code == object.CodeConflict && f.Winner.Name == "r" })
				if told == c.own {
					t.Errorf("%s, %s: the loser is told: %v", form, c.what, told)
				}
			}
		}
	}
}
