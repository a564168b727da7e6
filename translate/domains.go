package translate

import (
	"net/netip"
	"strings"

	"github.com/fairway-mesh/fairway/mesh"
)

// domainsOf are the names by which clients of the view reach the host, the
// host itself first. A name that is a host of its own is not among them: a
// name, or an address taken for one, belongs to its owner before it stands for
// another. Route configurations ignore the port of a Host header, so none is
// listed.
func domainsOf(v *mesh.View, host string, s *mesh.Service, port uint32) []string {
	domains := []string{host}
	add := func(name string) {
		if !ownName(v, name) {
			domains = append(domains, name)
		}
	}
	if !mesh.IsWildcard(host) {
		domains = append(domains, host+".")
	}
	if base, ok := strings.CutSuffix(host, ".svc."+mesh.Domain); ok && !mesh.IsWildcard(host) {
		name, namespace, ok := strings.Cut(base, ".")
		if ok && !strings.Contains(namespace, ".") {
			add(base + ".svc")
			add(base)
			if namespace == v.Scope.Namespace {
				add(name)
			}
		}
	}
	if s != nil {
		for _, p := range s.Addresses {
			if p.IsSingleIP() && v.AddressOwner(p.Addr(), port) == host && !ownName(v, p.Addr().String()) {
				add(addressDomain(p.Addr()))
			}
		}
	}
	return domains
}

// podDomainsOf are the patterns of the names of the pods behind a headless
// service.
func podDomainsOf(v *mesh.View, host string) []string {
	var out []string
	for i, d := range domainsOf(v, host, nil, 0) {
		if i == 0 || !strings.HasSuffix(d, ".") {
			out = append(out, "*."+d)
		}
	}
	return out
}

// ownName tells whether the name is a host by itself in the view.
func ownName(v *mesh.View, name string) bool {
	if s, _ := v.Service(name); s != nil {
		return true
	}
	return v.RouteOnly(name)
}

// addressDomain writes an address as it stands in a Host header.
func addressDomain(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
