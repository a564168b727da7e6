package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
)

// TestRangesWithAddressesOfOthers: an entry takes no connections to the Services and Pods
// of others by a range around them, but for clients of its own namespace; ranges of others
// and those of the root namespace serve.
func TestRangesWithAddressesOfOthers(t *testing.T) {
	const (
		service = `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}}`
		pod     = `{apiVersion: v1, kind: Pod, metadata: {name: db-0, namespace: shop}, status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "fd00::1"}], conditions: [{type: Ready, status: "True"}]}}`
	)
	left := func(r, address, holder string) string {
		return fmt.Sprintf("a spec.addresses: %s has %s in it, an address of %s in another namespace; for sidecars of other namespaces than evil the range is left out: use ranges in which nobody in the mesh has an address, or have the operator put the entry into the root namespace (%s)", r, address, holder, holder[strings.Index(holder, "/")+1:])
	}
	for _, c := range []struct {
		what, protocol, namespace, client, ranges string
		want, findings                            []string
	}{
		{"the range of Services", "TCP", "evil", "client", "10.96.0.0/12", nil, []string{left("10.96.0.0/12", "10.96.0.10", "Service shop/web")}},
		{"halves of everything", "TCP", "evil", "shop", "0.0.0.0/1, 128.0.0.0/1", []string{"0.0.0.0_81 tcp a.example [128.0.0.0/1] []"}, []string{left("0.0.0.0/1", "10.1.0.1", "Pod shop/db-0")}},
		{"a narrow one around a Pod", "TCP", "evil", "client", "10.1.0.0/31", nil, []string{left("10.1.0.0/31", "10.1.0.1", "Pod shop/db-0")}},
		{"IPv6", "TCP", "evil", "client", `"fd00::/8"`, nil, []string{left("fd00::/8", "fd00::1", "Pod shop/db-0")}},
		{"IPv4 written as IPv6", "TCP", "evil", "client", `"::ffff:10.96.0.0/108"`, nil, []string{left("10.96.0.0/12", "10.96.0.10", "Service shop/web")}},
		{"no protocol, by its name", `""`, "evil", "client", "10.96.0.0/12", []string{"0.0.0.0_81 http a.example"}, []string{left("10.96.0.0/12", "10.96.0.10", "Service shop/web")}},
		{"TLS, by its name", "TLS", "evil", "client", "10.96.0.0/12", []string{"0.0.0.0_81 tcp a.example [] [a.example]"}, []string{left("10.96.0.0/12", "10.96.0.10", "Service shop/web")}},
		{"TLS, a network outside and its name", "TLS", "evil", "client", "203.0.113.0/24, 10.96.0.0/12", []string{"0.0.0.0_81 tcp a.example [203.0.113.0/24] [] [] [a.example]"}, []string{left("10.96.0.0/12", "10.96.0.10", "Service shop/web")}},
		{"a network outside beside it", "TCP", "evil", "client", "203.0.113.0/24, 10.0.0.0/8", []string{"0.0.0.0_81 tcp a.example [203.0.113.0/24] []"}, []string{left("10.0.0.0/8", "10.1.0.1", "Pod shop/db-0")}},
		{"clients of its own namespace", "TCP", "evil", "evil", "10.0.0.0/8", []string{"0.0.0.0_81 tcp a.example [10.0.0.0/8] []"}, nil},
		{"the root namespace", "TCP", "istio-system", "client", "10.0.0.0/8", []string{"0.0.0.0_81 tcp a.example [10.0.0.0/8] []"}, nil},
		{"addresses of its own namespace", "TCP", "shop", "client", "10.0.0.0/8", []string{"0.0.0.0_81 tcp a.example [10.0.0.0/8] []"}, nil},
	} {
		v := parsedWorld(t, strings.Join([]string{entryDoc("a", c.namespace, c.protocol, ", addresses: ["+c.ranges+"]"), service, pod}, "\n---\n")).View(mesh.Scope{Namespace: c.client})
		all, findings := wherePlanned(v)
		var got []string
		for _, line := range all {
			if strings.Contains(line, " a.example") && !strings.HasPrefix(line, "routes") {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, c.want) || !slices.Equal(findings, c.findings) {
			t.Errorf("%s: served at %q, want %q\nfindings %q\nwant     %q", c.what, got, c.want, findings, c.findings)
		}
	}
}

// TestSubnetsOfOthers: a rule takes on sidecars of other namespaces no address beyond those of
// its service, whatever destinationSubnets it names; those of its own namespace follow it.
func TestSubnetsOfOthers(t *testing.T) {
	const service = `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}}`
	const ruled = `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: r, namespace: %s}, spec: {hosts: [a.example], tcp: [{match: [{destinationSubnets: [10.96.0.0/12, 203.0.113.64/26]}], route: [{destination: {host: a.example, port: {number: 81}}}]}]}}`
	for _, c := range []struct {
		what, namespace, client, addresses string
		want                               []string
		cut                                bool
	}{
		{"without addresses", "evil", "client", "", []string{"0.0.0.0_81 tcp a.example [203.0.113.64/26] [] [] []"}, true},
		{"with a range of its own", "evil", "client", ", addresses: [203.0.113.0/24]", []string{"0.0.0.0_81 tcp a.example [203.0.113.64/26] [] [203.0.113.0/24] []"}, true},
		{"a narrower one", "evil", "client", ", addresses: [203.0.113.64/27]", []string{"0.0.0.0_81 tcp a.example [203.0.113.64/27] []"}, true},
		{"clients of its own namespace", "evil", "evil", "", []string{"0.0.0.0_81 tcp a.example [10.96.0.0/12 203.0.113.64/26] [] [] []"}, false},
		{"the root namespace", "istio-system", "client", "", []string{"0.0.0.0_81 tcp a.example [10.96.0.0/12 203.0.113.64/26] [] [] []"}, false},
	} {
		v := parsedWorld(t, entryDoc("a", c.namespace, "TCP", c.addresses)+"\n---\n"+fmt.Sprintf(ruled, c.namespace)+"\n---\n"+service).View(mesh.Scope{Namespace: c.client})
		all, findings := wherePlanned(v)
		got := slices.DeleteFunc(all, func(line string) bool { return !strings.Contains(line, "a.example") })
		if !slices.Equal(got, c.want) || slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, "destinationSubnets") }) != c.cut {
			t.Errorf("%s: served at %q, want %q\nfindings %q", c.what, got, c.want, findings)
		}
	}
}
