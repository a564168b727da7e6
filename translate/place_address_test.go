package translate

import (
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
)

// TestRulesForAddressesOfOthers: a rule whose host is the address of another namespace's
// Service or Pod, however it is written, takes it from nobody but clients of its own.
func TestRulesForAddressesOfOthers(t *testing.T) {
	const world = `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db-0, namespace: shop}, status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "fd00::1"}], conditions: [{type: Ready, status: "True"}]}}
---
`
	rule := func(namespace, host string) string {
		return `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: b, namespace: ` + namespace + `}, spec: {hosts: ["` + host + `"], http: [{route: [{destination: {host: mine.example}}]}]}}`
	}
	for _, c := range []struct {
		namespace, client, host string
		stands                  bool
		winner                  string
	}{
		{"evil", "client", "10.96.0.10", false, "web"},
		{"evil", "shop", "10.1.0.1", false, "db-0"},
		{"evil", "client", "fd00::1", false, "db-0"},
		{"evil", "client", "fd00:0::1", false, ""},
		{"evil", "client", "::ffff:10.96.0.10", false, ""},
		{"evil", "client", "*.0.10", false, ""},
		{"evil", "client", "203.0.113.9", true, ""},
		{"evil", "client", "*.evil.example", true, ""},
		{"evil", "evil", "10.96.0.10", true, ""},
		{"shop", "client", "10.96.0.10", true, ""},
		{"istio-system", "client", "10.96.0.10", true, ""},
	} {
		v := parsedWorld(t, world+rule(c.namespace, c.host)).View(mesh.Scope{Namespace: c.client})
		_, places := v.Places(c.host)
		if got := len(places) > 0; got != c.stands {
			t.Errorf("%s of %s for clients of %s: served %v, want %v", c.host, c.namespace, c.client, got, c.stands)
		}
		findings := ResolveHost(v, c.host).Findings
		if c.stands != (len(findings) == 0) || !c.stands && findings[0].Winner.Name != c.winner {
			t.Errorf("%s of %s for clients of %s: findings %v, want the winner %q", c.host, c.namespace, c.client, findings, c.winner)
		}
		s, _ := v.Service("web.shop.svc.cluster.local")
		if keeps := slices.Contains(domainsOf(v, s.Host, s, 80).Wide, "10.96.0.10"); keeps != (!c.stands || c.host != "10.96.0.10") {
			t.Errorf("%s of %s for clients of %s: the Service has its address: %v", c.host, c.namespace, c.client, keeps)
		}
	}
	// An older rule of a stranger does not keep the owner's from being in force.
	both := world + strings.Replace(rule("evil", "10.96.0.10"), "name: b,", `name: b, creationTimestamp: "2020-01-01T00:00:00Z",`, 1) + "\n---\n" + rule("shop", "10.96.0.10")
	if vs, _ := parsedWorld(t, both).View(mesh.Scope{Namespace: "client"}).Places("10.96.0.10"); vs == nil || vs.Namespace != "shop" {
		t.Errorf("in force is %v", vs)
	}
}
