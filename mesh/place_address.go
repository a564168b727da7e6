package mesh

import (
	"net/netip"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// addressHost is the address that a host is written as, in brackets or not, and whether it
// is spelled as netip spells it; the zero Addr is none.
func addressHost(host string) (a netip.Addr, usual bool) {
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	a, err := netip.ParseAddr(bare)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap(), a.Unmap().String() == bare
}

// addressPattern tells whether a wildcard covers addresses: it ends in digits, or as one of
// IPv6 does.
func addressPattern(host string) bool {
	if !object.IsWildcard(host) || host == "*" {
		return false
	}
	last := host[strings.LastIndexAny(host, ".*")+1:]
	return strings.ContainsAny(host, ":]") || last != "" && strings.Trim(last, "0123456789") == ""
}

// standsAt tells whether a rule may stand by itself for a host as far as that is an
// address, and who of another namespace has it. In clients' own namespace and from the root
// namespace it may for all. Addresses in unusual spellings, and patterns of addresses, are
// for no rule of others.
func (v *View) standsAt(vs *traffic.VirtualService, host string) (holder object.Ref, ok bool) {
	if vs.Namespace == v.Scope.Namespace || vs.Namespace == v.Config.RootNamespace {
		return object.Ref{}, true
	}
	a, usual := addressHost(host)
	if !a.IsValid() {
		return object.Ref{}, !addressPattern(host)
	}
	if !usual {
		return object.Ref{}, false
	}
	if holder = v.AddressHolder(a); holder.Namespace == vs.Namespace {
		return object.Ref{}, true
	}
	return holder, holder == (object.Ref{})
}

// AddressRefused are the VirtualServices that are not in force for a host since it is an
// address, or a pattern of addresses, that is not theirs to have, and who has it; the zero Ref
// is nobody in particular.
func (v *View) AddressRefused(host string) (refused []*traffic.VirtualService, holder object.Ref) {
	l, _ := v.routes.Get(host)
	for _, vs := range l {
		if of, ok := v.standsAt(vs, host); !ok && vs.On(object.MeshGateway) && v.importsRule(vs) {
			refused, holder = append(refused, vs), of
		}
	}
	return refused, holder
}

// dirtyAddressRoutes marks the rules for an address whose holder is another.
func (b *builder) dirtyAddressRoutes(a netip.Addr) {
	for _, host := range []string{a.String(), "[" + a.String() + "]"} {
		if l, _ := b.world.routes.Get(host); len(l) > 0 {
			b.dirtyPlace(host)
		}
	}
}
