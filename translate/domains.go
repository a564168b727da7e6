package translate

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// Domains are the names that a virtual host answers to
// (VirtualHost.domains). Their order means nothing.
type Domains struct {
	Wide []string // those that all clients know who see the host
	Near []string // those that only clients in its own namespace know: a service's name by itself
}

// all are the names in one list.
func (d Domains) all() []string { return slices.Concat(d.Wide, d.Near) }

// and are the names of both.
func (d Domains) and(o Domains) Domains {
	return Domains{append(d.Wide, o.Wide...), append(d.Near, o.Near...)}
}

// full are the names of a host itself, and the others.
func (d Domains) full() (full, others Domains) {
	n := 1
	if len(d.Wide) > 1 && d.Wide[1] == d.Wide[0]+"." {
		n = 2
	}
	return Domains{Wide: d.Wide[:n:n]}, Domains{d.Wide[n:], d.Near}
}

// domainsOf are the names by which clients of the view reach the host, the
// host itself first. A name that is a host of its own is not among them: a
// name, or an address taken for one, belongs to its owner before it stands for
// another. Route configurations ignore the port of a Host header, so none is
// listed.
func domainsOf(v *mesh.View, host string, s *registry.Service, port uint32) Domains {
	d := Domains{Wide: []string{host}}
	add := func(to *[]string, name string) {
		if !ownName(v, name, port) {
			*to = append(*to, name)
		}
	}
	if !object.IsWildcard(host) {
		d.Wide = append(d.Wide, host+".")
	}
	if base, ok := strings.CutSuffix(host, ".svc."+object.Domain); ok && !object.IsWildcard(host) {
		name, namespace, ok := strings.Cut(base, ".")
		if ok && !strings.Contains(namespace, ".") {
			add(&d.Wide, base+".svc")
			add(&d.Wide, base)
			if namespace == v.Scope.Namespace {
				add(&d.Near, name)
			}
		}
	}
	if s != nil {
		for _, p := range s.Addresses {
			if p.IsSingleIP() && v.AddressOwner(p.Addr(), port) == host && !ownName(v, p.Addr().String(), port) {
				d.Wide = append(d.Wide, addressDomain(p.Addr()))
			}
		}
	}
	return d
}

// podDomainsOf are the patterns of the names of the pods behind a headless
// service.
func podDomainsOf(v *mesh.View, host string) Domains {
	var out Domains
	of := domainsOf(v, host, nil, 0)
	for i, d := range of.Wide {
		if i == 0 || !strings.HasSuffix(d, ".") {
			out.Wide = append(out.Wide, "*."+d)
		}
	}
	for _, d := range of.Near {
		out.Near = append(out.Near, "*."+d)
	}
	return out
}

// ownName tells whether the name is a host by itself in the view, on the port
// (0: on any).
func ownName(v *mesh.View, name string, port uint32) bool {
	if s, _ := v.Service(name); s != nil && (port == 0 || s.Resolution == registry.ResolutionAlias || s.Port(port) != nil) {
		return true
	}
	rule, places := v.Places(name)
	return slices.ContainsFunc(places, func(at mesh.Place) bool {
		return (port == 0 || at.Port == port) && slices.Contains(at.Names, name) && routeInput(v, rule, at.Port).servesRequests()
	})
}

// addressDomain writes an address as it stands in a Host header.
func addressDomain(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
