package mesh

import (
	"net/netip"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// heldKey is an address as a key whose order is that of the addresses of its family.
func heldKey(a netip.Addr) string {
	if a.Is4() {
		b := a.As4()
		return "4" + string(b[:])
	}
	b := a.As16()
	return "6" + string(b[:])
}

// heldIn finds the lowest address of a range that a Service or Pod of another namespace
// has, and whose it is; the zero Ref is nobody. Nothing is passed by but what the namespace
// itself has in the range.
func heldIn(held persist.Map[string, object.Ref], p netip.Prefix, namespace string) (netip.Addr, object.Ref) {
	p = p.Masked()
	for key, holder := range held.From(heldKey(p.Addr())) {
		a, ok := netip.AddrFromSlice([]byte(key[1:]))
		if !ok || !p.Contains(a) {
			break
		}
		if holder.Namespace != namespace {
			return a, holder
		}
	}
	return netip.Addr{}, object.Ref{}
}

// RangeHolder is whose address keeps a service from being what clients of the view find at
// all addresses of a range: the Service or Pod of another namespace with the lowest one. The
// zero Ref is nobody, as it is for clients of the service's own namespace, who harm nobody
// but themselves, and for services of the root namespace, whose objects are the operator's.
func (v *View) RangeHolder(s *registry.Service, p netip.Prefix) (netip.Addr, object.Ref) {
	if s.Namespace == v.Scope.Namespace || s.Namespace == v.Config.RootNamespace {
		return netip.Addr{}, object.Ref{}
	}
	return heldIn(v.held, p, s.Namespace)
}

// ranges are the hosts of services by the ranges of addresses that they declare and by the
// namespaces of the services.
type ranges map[netip.Prefix]map[string]*rangeHosts

// rangeHosts are those of one namespace and range, with the lowest address in it that somebody
// of another namespace has, so that one more pod costs nothing; the zero Addr is none.
type rangeHosts struct {
	hosts object.Set
	first netip.Addr
	known bool // first has been looked for
}

// index keeps them when the record of a host is another.
func (r ranges) index(old, next *registry.Host) {
	for _, h := range []*registry.Host{old, next} {
		if h == nil {
			continue
		}
		for _, s := range h.Services {
			for _, p := range s.Addresses {
				if p.IsSingleIP() {
					continue
				}
				if p = p.Masked(); h == next {
					r.add(p, s.Namespace, h.Name)
				} else {
					r.remove(p, s.Namespace, h.Name)
				}
			}
		}
	}
}

func (r ranges) add(p netip.Prefix, namespace, host string) {
	if r[p] == nil {
		r[p] = map[string]*rangeHosts{}
	}
	if r[p][namespace] == nil {
		r[p][namespace] = &rangeHosts{}
	}
	r[p][namespace].hosts.Add(host)
}

func (r ranges) remove(p netip.Prefix, namespace, host string) {
	x := r[p][namespace]
	if x == nil {
		return
	}
	if delete(x.hosts, host); len(x.hosts) == 0 {
		if delete(r[p], namespace); len(r[p]) == 0 {
			delete(r, p)
		}
	}
}

// noteHolder notes whose an address is now, and marks the hosts of ranges with it for which
// somebody else is the first who has an address there.
func (b *builder) noteHolder(a netip.Addr) {
	a = a.Unmap()
	key, is := heldKey(a), b.world.AddressHolder(a)
	was, _ := b.world.held.Get(key)
	if was == is {
		return
	}
	before := b.world.held
	if is == (object.Ref{}) {
		b.world.held = before.Delete(key)
	} else {
		b.world.held = before.Set(key, is)
	}
	b.dirtyAddressRoutes(a)
	if len(b.ranges) == 0 {
		return
	}
	for bits := range a.BitLen() {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		for namespace, x := range b.ranges[p] {
			if x.moved(before, b.world.held, p, namespace, a, was, is) {
				for h := range x.hosts {
					b.dirty.host(h, TouchHost)
				}
			}
		}
	}
}

// moved follows that somebody else has an address of the range, and tells whether somebody else
// is the first of another namespace now.
func (x *rangeHosts) moved(before, after persist.Map[string, object.Ref], p netip.Prefix, namespace string, a netip.Addr, was, is object.Ref) bool {
	foreign := func(r object.Ref) bool { return r != (object.Ref{}) && r.Namespace != namespace }
	if !foreign(was) && !foreign(is) {
		return false
	}
	if !x.known {
		x.first, _ = heldIn(before, p, namespace)
		x.known = true
	}
	switch {
	case foreign(is) && (!x.first.IsValid() || a.Less(x.first)):
		x.first = a
	case a != x.first:
		return false
	case !foreign(is):
		x.first, _ = heldIn(after, p, namespace)
	}
	return true
}

// noteHolders does so for the cluster IPs of a Service that came, went or changed.
func (b *builder) noteHolders(old, next *registry.Host) {
	for _, h := range []*registry.Host{old, next} {
		if s, _ := kubernetesOf(h); s != nil {
			for _, p := range s.Addresses {
				b.noteHolder(p.Addr())
			}
		}
	}
}
