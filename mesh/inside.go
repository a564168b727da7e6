package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// The ports of a proxy's pod that are the proxy's own: admin, capture, health
// and statistics.
const (
	firstProxyPort = 15000
	lastProxyPort  = 15090
)

func proxyPort(p uint32) bool { return p >= firstProxyPort && p <= lastProxyPort }

// metadataServers answer pods with the credentials of their node or project,
// beyond those at link-local addresses.
var metadataServers = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // Amazon
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("fd00:42::42"),     // Scaleway
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("192.0.0.192"),     // Oracle
}

// metadataNames are names of such servers.
var metadataNames = []string{"metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal"}

// loopbackNames mean the host itself by convention or by the hosts file of
// every image, beside localhost and all below it (RFC 6761, section 6.3).
var loopbackNames = []string{"localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback", "broadcasthost"}

// InsideNames are names, other than those below "localhost", that mean the proxy's own pod
// or a metadata server by themselves.
func InsideNames() []string { return slices.Concat(loopbackNames, metadataNames) }

// insideAddress says why an address means the proxy's own pod or node, or is
// no address of one host; "" when it may be dialled by any proxy. The forms
// of IPv6 that carry an IPv4 address mean what that one means.
func insideAddress(a netip.Addr) string {
	a = a.WithZone("").Unmap()
	switch {
	case a.IsLoopback():
		return "a loopback address"
	case a.IsUnspecified(), a.Is4() && a.As4()[0] == 0:
		return "an unspecified address, which is the host itself"
	case a.IsLinkLocalUnicast():
		return "a link-local address, where nodes and metadata servers answer"
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "not the address of one host"
	case slices.Contains(metadataServers, a):
		return "the address of a metadata server"
	}
	for _, v4 := range embedded(a) {
		if why := insideAddress(v4); why != "" {
			return fmt.Sprintf("a form of %s, %s", v4, why)
		}
	}
	return ""
}

// embedded are the IPv4 addresses that an IPv6 address may be translated to.
func embedded(a netip.Addr) (out []netip.Addr) {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	at := func(i, j, k, l int) { out = append(out, netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]})) }
	in := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(a) }
	switch {
	case in("::/96"), in("::ffff:0:0:0/96"), in("64:ff9b::/96"): // compatible, translated, NAT64
		at(12, 13, 14, 15)
	case in("64:ff9b:1::/48"): // NAT64 of a site: with prefixes of 48, 56, 64 or 96 bits (RFC 6052, section 2.2)
		at(6, 7, 9, 10)
		at(7, 9, 10, 11)
		at(9, 10, 11, 12)
		at(12, 13, 14, 15)
	case in("2002::/16"): // 6to4
		at(2, 3, 4, 5)
	case in("2001::/32"): // Teredo: the client's, inverted
		out = append(out, netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // ISATAP
		at(12, 13, 14, 15)
	}
	return out
}

const notAName = "no DNS name"

// insideName says why a DNS name means the proxy's own pod or node by itself,
// or could be taken for an address that does; "" when it does not.
func insideName(name string) string {
	switch {
	case name == "localhost", strings.HasSuffix(name, ".localhost"), slices.Contains(loopbackNames, name):
		return "a name of the host itself"
	case slices.Contains(metadataNames, name):
		return "a name of a metadata server"
	case !object.ValidHost(name) || object.IsWildcard(name):
		return notAName
	case numeric(name[strings.LastIndex(name, ".")+1:]):
		return "a number, which some resolvers take for an address"
	}
	return ""
}

// numeric tells whether the last label of a name is a number: then the name is
// an address in an old form, such as 127.1 or 0x7f000001, or none at all.
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// place is what the address of an endpoint says: an IP address, a DNS name in
// lower case, or why no other proxy than its owner's may be led there.
type place struct {
	addr netip.Addr
	name string
	why  string
}

// placeOf reads the address of an endpoint.
func placeOf(text string) place {
	if strings.ContainsAny(text, "/@") {
		return place{why: "a Unix socket, which is the proxy's own"}
	}
	bare, _, _ := strings.Cut(strings.Trim(text, "[]"), "%")
	if a, err := netip.ParseAddr(bare); err == nil {
		return place{addr: a.Unmap(), why: insideAddress(a)}
	}
	name := strings.ToLower(strings.TrimRight(text, "."))
	if a, ok := podName(name); ok {
		return place{addr: a.Unmap(), why: insideAddress(a)}
	}
	return place{name: name, why: insideName(name)}
}

// podName is the address that a cluster's DNS answers for a name below
// NAMESPACE.pod, whether or not there is such a pod.
func podName(name string) (netip.Addr, bool) {
	base, ok := strings.CutSuffix(strings.TrimSuffix(name, "."+object.Domain), ".pod")
	label, namespace, two := strings.Cut(base, ".")
	if !ok || !two || strings.Contains(namespace, ".") {
		return netip.Addr{}, false
	}
	for _, separator := range []string{".", ":"} {
		if a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", separator)); err == nil {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// resolvesInside tells whether proxies that resolve what clients ask the
// service for would find themselves.
func resolvesInside(s *registry.Service) bool {
	if s.Resolution != registry.ResolutionDynamicDNS {
		return false
	}
	if suffix, ok := strings.CutPrefix(s.Host, "*"); ok {
		return strings.HasSuffix("x.localhost", suffix)
	}
	return placeOf(s.Host).why != ""
}
