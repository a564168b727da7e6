package traffic

import "testing"

// FuzzGatewayHosts: what is read of the hosts of servers was written.
func FuzzGatewayHosts(f *testing.F) {
	for _, seed := range [][2]string{{"./a", "c"}, {"b/*", "default"}, {"*.", "~"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, ns string) {
		if gh, ok := parseGatewayHost(a, ns); ok && (gh.Host == "" || gh.Namespace == "") {
			t.Errorf("%q is a host of a gateway: %v", a, gh)
		}
	})
}

// TestGatewayHosts: what Envoy would refuse as a name is no host.
func TestGatewayHosts(t *testing.T) {
	for host, want := range map[string]string{
		"a.example": "a.example", "A.Example.": "a.example", "*": "*", "*.a": "*.a", "ns/a.b": "a.b", "./a": "a",
		".a.example": "", "*a.example": "", "a..b": "", "*.": "", "*.*.a": "", "a/b/c": "", "/a": "", "": "", "a b": "", "a.*": "", "..": "", "a\x00b": "",
	} {
		if gh, ok := parseGatewayHost(host, "x"); ok != (want != "") || ok && gh.Host != want {
			t.Errorf("%q is read as %q, %v", host, gh.Host, ok)
		}
	}
}
