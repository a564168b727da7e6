package object

import (
	"net/netip"
	"strings"
)

// MeshGateway stands for the sidecars of the mesh among the gateways of a VirtualService.
const MeshGateway = "mesh"

// ResolveHost turns a host as written in an Istio object of namespace ns into
// a fully qualified, lower-case name: a name without a dot is that of a
// Service in ns; "*", addresses and names with a dot stay as they are
// (`reviews.prod` is not expanded).
func ResolveHost(host, ns, domain string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || host == "*" || strings.ContainsAny(host, ".:") || strings.HasPrefix(host, "*") {
		return host
	}
	return host + "." + ns + ".svc." + domain
}

// IsWildcard tells whether the host is a pattern, "*" or "*.suffix".
func IsWildcard(host string) bool { return strings.HasPrefix(host, "*") }

// EndsWithinLabel tells whether the host is a pattern that covers parts of labels, such as
// "*shop.example".
func EndsWithinLabel(host string) bool {
	return IsWildcard(host) && host != "*" && !strings.HasPrefix(host, "*.")
}

// HostMatches tells whether the pattern (a host, "*" or "*.suffix") covers the
// host, which may be a pattern itself: "*.com" covers "*.example.com".
func HostMatches(pattern, host string) bool {
	if pattern == host {
		return true
	}
	if !IsWildcard(pattern) {
		return false
	}
	return strings.HasSuffix(strings.TrimPrefix(host, "*"), pattern[1:]) && len(host) > len(pattern)-1
}

// IntersectHosts is the narrower of two hosts that may both be patterns, and
// whether they have anything in common: "*" and "a.com" meet in "a.com".
func IntersectHosts(a, b string) (string, bool) {
	switch {
	case HostMatches(a, b):
		return b, true
	case HostMatches(b, a):
		return a, true
	}
	return "", false
}

// WildcardsOf calls f with the patterns that cover the host, most specific
// first and without the host itself, until f returns false: for "a.b.c" they
// are "*.b.c", "*.c", "*".
func WildcardsOf(host string, f func(pattern string) bool) {
	rest := strings.TrimPrefix(host, "*.")
	if rest != host { // a pattern: "*.b.c" is covered by "*.c"
		host = rest
	}
	for {
		_, after, ok := strings.Cut(host, ".")
		if !ok {
			break
		}
		if !f("*." + after) {
			return
		}
		host = after
	}
	f("*")
}

// Wider is the narrowest pattern that covers the host, which may be a pattern, and
// is not the host itself; false for "*".
func Wider(host string) (pattern string, ok bool) {
	if host == "*" {
		return "", false
	}
	WildcardsOf(host, func(p string) bool { pattern = p; return false })
	return pattern, true
}

// ParseSubnet reads an address or a CIDR; a plain address is a subnet of its own.
func ParseSubnet(s string) (netip.Prefix, bool) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, false
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 { // Envoy takes the address for one of IPv4 as well
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
}

// EachPattern asks f about a name and all wildcards that cover it, until f
// says no.
func EachPattern(host string, f func(pattern string) bool) bool {
	ok := f(host)
	if !ok {
		return false
	}
	WildcardsOf(host, func(pattern string) bool {
		ok = f(pattern)
		return ok
	})
	return ok
}

// ValidHost tells whether a host of an Istio object is one: "*", a wildcard
// "*suffix", an address, or a DNS name, short or not.
func ValidHost(host string) bool {
	if host == "*" {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	if suffix, ok := strings.CutPrefix(host, "*"); ok {
		host = strings.TrimLeft(suffix[:min(1, len(suffix))], ".-") + suffix[min(1, len(suffix)):]
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}

// Domain is the DNS suffix of the cluster's services.
const Domain = "cluster.local"

// SearchedNames are the names that a client of the namespace looks for, one after the other,
// when it is given one.
func SearchedNames(name, namespace string) []string {
	name = strings.TrimSuffix(name, ".")
	return []string{name + "." + namespace + ".svc." + Domain, name + ".svc." + Domain, name + "." + Domain, name}
}
