package mesh

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// dirtyHost marks the host and all that reads more of it than its endpoints:
// names that stand for it, hosts whose routes lead to it, and patterns that a
// VirtualService names and that it could make one of.
func (b *builder) dirtyHost(name string) {
	if _, done := b.spread[name]; done {
		return
	}
	b.spread[name] = struct{}{}
	b.dirty.host(name, TouchHost)
	b.dirtySharers(name)
	for _, alias := range b.world.AliasesOf(name) {
		b.dirtyHost(alias)
	}
	for _, owner := range b.nameOwners(name) { // the name is short for them, unless it is a host
		b.dirty.host(owner, TouchHost)
	}
	for _, form := range formsOf(name) { // names that belong to it, or no longer do
		if l, _ := b.world.routes.Get(form); len(l) > 0 || b.world.Host(form) != nil {
			b.dirty.host(form, TouchHost)
		}
	}
	for _, vs := range b.world.Referrers(name) {
		b.dirtyRoute(vs, false)
	}
	b.dirtyPlaces(name)
	if object.IsWildcard(name) {
		for host := range b.world.RouteHosts() { // its ports are theirs
			if object.HostMatches(name, host) {
				b.dirtyPlace(host)
			}
		}
	}
}

// dirtyPlaces marks the hosts of the VirtualServices that a host may be found by: on which
// ports they are served by themselves depends on the services of the others.
func (b *builder) dirtyPlaces(name string) {
	object.EachPattern(name, func(pattern string) bool {
		l, _ := b.world.routes.Get(pattern)
		for _, vs := range l {
			if _, done := b.replaced[vs]; done {
				continue
			}
			b.replaced[vs] = struct{}{}
			for _, h := range vs.Hosts {
				b.dirtyPlace(h)
			}
		}
		return true
	})
}

// dirtyPlace marks a host that a VirtualService names, and those whose names are no longer
// all theirs where it is served by itself.
func (b *builder) dirtyPlace(host string) {
	b.dirty.host(host, TouchHost)
	for _, form := range formsOf(host) {
		if l, _ := b.world.routes.Get(form); len(l) > 0 {
			b.dirty.host(form, TouchHost)
		}
	}
	for _, o := range b.nameOwners(host) {
		b.dirty.host(o, TouchHost)
	}
}

// nameOwners are the hosts that the name could be short for, or an address of.
func (b *builder) nameOwners(name string) []string {
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		owners, _ := b.world.vips.Get(a.Unmap().String())
		return append(b.headlessAt(a.Unmap().String()), owners...)
	}
	base := strings.TrimSuffix(name, ".svc")
	if strings.Count(base, ".") == 1 {
		if full := base + ".svc." + object.Domain; full != name {
			return []string{full}
		}
		return nil
	}
	if strings.Contains(name, ".") || name == "" || object.IsWildcard(name) {
		return nil
	}
	var out []string
	for full := range persist.Prefix(b.world.hosts, name+".") {
		out = append(out, full)
	}
	return out
}

// indexAddresses keeps the index of hosts by their addresses, and marks the
// others that declare one of those that change.
func (b *builder) indexAddresses(old, next *registry.Host) {
	addresses := func(h *registry.Host) map[string]bool {
		m := map[string]bool{}
		if h != nil {
			for _, s := range h.Services {
				for _, p := range s.Addresses {
					if p.IsSingleIP() {
						m[p.Addr().String()] = true
					}
				}
			}
		}
		return m
	}
	was, is := addresses(old), addresses(next)
	for _, change := range []struct {
		from, to map[string]bool
		host     *registry.Host
	}{{was, is, old}, {is, was, next}} {
		for a := range change.from {
			if change.to[a] {
				continue
			}
			b.world.vips = member(b.world.vips, a, change.host.Name, change.host == next)
			b.dirtyAt(a)
			others, _ := b.world.vips.Get(a)
			for _, o := range others {
				if o != change.host.Name {
					b.dirty.host(o, TouchHost)
				}
			}
		}
	}
}

// dirtyTargets marks the hosts that dirty names stand for: a virtual host
// answers to the aliases of its host as well.
func (b *builder) dirtyTargets() {
	for _, name := range slices.Collect(maps.Keys(b.dirty.Hosts)) {
		seen := map[string]bool{}
		for h := b.world.Host(name); h != nil && h.Services[0].Alias != "" && !seen[h.Name]; h = b.world.Host(h.Services[0].Alias) {
			seen[h.Name] = true
			b.dirty.host(h.Services[0].Alias, TouchHost)
		}
	}
	b.dirtyBackends()
}

// dirtySharers marks the other hosts that declare an address of the host: what
// the one serves there, the others do not.
func (b *builder) dirtySharers(name string) {
	h := b.world.Host(name)
	if h == nil {
		return
	}
	for _, s := range h.Services {
		for _, p := range s.Addresses {
			if !p.IsSingleIP() {
				continue
			}
			sharers, _ := b.world.vips.Get(p.Addr().String())
			for _, o := range sharers {
				b.dirty.host(o, TouchHost)
			}
			b.dirtyHeadless(p.Addr().String())
		}
	}
}

// dirtyAt marks the hosts that could be found at an address: whose it is has
// changed.
func (b *builder) dirtyAt(address string) {
	hosts, _ := b.world.vips.Get(address)
	for _, h := range hosts {
		b.dirty.host(h, TouchHost)
	}
	for h := range b.usedBy[address] {
		b.dirty.host(h, TouchHost)
	}
	b.dirtyHeadless(address)
}
