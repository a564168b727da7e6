package translate

import (
	"fmt"
	"strings"
	"testing"
)

// TestReusedConnections: a client that reuses a connection whose certificate is good for
// another server's hosts, too, is told to open one for these (RFC 9110, section 15.5.20).
func TestReusedConnections(t *testing.T) {
	server := func(host, secret string) string {
		return `{port: {number: 443, name: https-` + host[:1] + `, protocol: HTTPS}, hosts: ["` + host + `"], tls: {mode: SIMPLE, credentialName: ` + secret + `}}`
	}
	of := func(namespace, name string, servers ...string) string {
		return `{kind: Gateway, metadata: {name: ` + name + `, namespace: ` + namespace + `}, spec: {selector: {app: front}, servers: [` + strings.Join(servers, ", ") + `]}}`
	}
	gateway := func(name string, servers ...string) string { return of("edge", name, servers...) }
	rules := ""
	for _, h := range []string{"a", "b"} {
		rules += "\n---\n" + `{kind: VirtualService, metadata: {name: ` + h + `, namespace: edge}, spec: {hosts: [` + h + `.example], gateways: [one, two], http: [{directResponse: {status: 20` + fmt.Sprint(strings.Index("ab", h)) + `}}]}}`
	}
	// A name of the server without rules is its own: it answers, and says that there is nothing.
	bare := sharedGateway(t, gateway("one", server("*.example", "cert"), server("b.test", "cert"))+rules)
	if got := bare.answer(t, AnyAddress, 443, "c.example", "c.example", "/"); got != "404" {
		t.Errorf("a request for a host without rules on its own connection is answered %s, want 404", got)
	}
	for _, c := range []struct{ what, gateways, own, others, nobodys string }{
		{"one certificate in two Gateways", gateway("one", server("a.example", "cert")) + "\n---\n" + gateway("two", server("b.example", "cert")), "200", "421", "421"},
		{"one certificate in two servers", gateway("one", server("a.example", "cert"), server("b.example", "cert")), "200", "421", "421"},
		{"one certificate, of which one server takes the rest", gateway("one", server("a.example", "cert")) + "\n---\n" + gateway("two", server("*", "cert")), "200", "421", "421"},
		{"one certificate in Gateways of two namespaces", gateway("one", server("a.example", "cert")) + "\n---\n" + of("team", "two", server("b.example", "cert")), "200", "421", "421"},
		{"one certificate, which the other names with its namespace", gateway("one", server("a.example", "cert")) + "\n---\n" + of("team", "two", server("b.example", "edge/cert")), "200", "421", "421"},
		{"two certificates", gateway("one", server("a.example", "cert")) + "\n---\n" + gateway("two", server("b.example", "other")), "200", "404", "404"},
		{"one server", gateway("one", server("a.example", "cert")), "200", "404", "404"},
	} {
		plan := sharedGateway(t, c.gateways+rules)
		for host, want := range map[string]string{"a.example": c.own, "b.example": c.others, "c.example": c.nobodys} {
			if got := plan.answer(t, AnyAddress, 443, "a.example", host, "/"); got != want {
				t.Errorf("%s: a request for %s on a connection for a.example is answered %s, want %s", c.what, host, got, want)
			}
		}
		if n := len(plan.virtualHosts()); n > 6 {
			t.Errorf("%s: %d virtual hosts", c.what, n)
		}
	}
}
