package object

import (
	"strings"
	"testing"
)

// FuzzHosts holds the rules of names and patterns to each other.
func FuzzHosts(f *testing.F) {
	for _, seed := range [][3]string{
		{"web", "web.default.svc.cluster.local", "default"}, {"*", "*.com", ""}, {"*.example.com", "a.example.com", "a"}, {"10.0.0.1", "[::1]", "."}, {"*.", ".", "~"}, {"./a", "b/*", "c"}, {"**", "a*", "*"}, {"WEB.", "web", "x"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, a, b, ns string) {
		full := ResolveHost(a, strings.ToLower(ns), Domain) // as namespaces are
		if strings.ContainsAny(full, ".:*") && !strings.HasSuffix(full, ".") && ResolveHost(full, "other", Domain) != full {
			t.Errorf("%q resolves to %q and that to another", a, full)
		}
		if narrower, meet := IntersectHosts(a, b); meet && (!HostMatches(a, narrower) || !HostMatches(b, narrower)) {
			t.Errorf("%q and %q meet in %q, which not both cover", a, b, narrower)
		}
		x, meet := IntersectHosts(a, b)
		if y, same := IntersectHosts(b, a); meet != same || x != y && !(HostMatches(x, y) && HostMatches(y, x)) {
			t.Errorf("%q and %q meet in %q or in %q", a, b, x, y)
		}
		WildcardsOf(a, func(p string) bool {
			if labels := !strings.HasPrefix(a, ".") && !strings.HasPrefix(a, "*"); labels && a != "" && !HostMatches(p, a) {
				t.Errorf("%q does not cover %q", p, a)
			}
			return true
		})
		if p, ok := ParseSubnet(a); ok && p != p.Masked() {
			t.Errorf("%q is the subnet %v", a, p)
		}
	})
}

// FuzzProtocol: whatever a port is called, it has a protocol that there is,
// and UDP is only what says so.
func FuzzProtocol(f *testing.F) {
	for _, seed := range [][3]string{{"TCP", "http", "http"}, {"UDP", "", "http"}, {"", "kubernetes.io/h2c", "x"}, {"TCP", "", "grpc-web-a"}, {"TCP", "UDP", "udp"}, {"SCTP", "-", "-"}} {
		f.Add(seed[0], seed[1], seed[2], uint32(80))
	}
	f.Fuzz(func(t *testing.T, transport, application, name string, number uint32) {
		for _, a := range []*string{nil, &application} {
			p := KubernetesProtocol(transport, a, name, number)
			if p.String() == "" || p == ProtocolUDP && transport != "UDP" && transport != "SCTP" {
				t.Errorf("%q %q %q is %v", transport, application, name, p)
			}
		}
		if p, ok := ParseProtocol(name); !ok && p != ProtocolAuto {
			t.Errorf("%q is no protocol, and %v", name, p)
		}
	})
}
