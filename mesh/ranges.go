package mesh

import (
	"iter"
	"net/netip"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
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

// RangeHolder is whose address keeps an object of a namespace from deciding where clients of
// the view get at all addresses of a range: the Service or Pod of another namespace with the
// lowest one. The zero Ref is nobody, as it is for clients of the object's own namespace, who
// harm nobody but themselves, and for the root namespace, whose objects are the operator's.
func (v *View) RangeHolder(namespace string, p netip.Prefix) (netip.Addr, object.Ref) {
	if namespace == v.Scope.Namespace || namespace == v.Config.RootNamespace {
		return netip.Addr{}, object.Ref{}
	}
	return heldIn(v.held, p, namespace)
}

// ranges are what depends on who has addresses in a range, by the range and the namespace of
// the objects that name it.
type ranges map[netip.Prefix]map[string]*rangeUse

// rangeUse is that for one of both, with the lowest address in the range that somebody of
// another namespace has, so that one more pod costs nothing; the zero Addr is none.
type rangeUse struct {
	hosts object.Set                           // whose services declare it
	rules map[*traffic.VirtualService]struct{} // that name it in destinationSubnets
	first netip.Addr
	known bool // first has been looked for
}

// index keeps the hosts when the record of one is another.
func (r ranges) index(old, next *registry.Host) {
	for _, h := range []*registry.Host{old, next} {
		if h == nil {
			continue
		}
		for _, s := range h.Services {
			for _, p := range s.Addresses {
				switch {
				case p.IsSingleIP():
				case h == next:
					r.use(p, s.Namespace).hosts.Add(h.Name)
				default:
					r.drop(p, s.Namespace, func(x *rangeUse) { delete(x.hosts, h.Name) })
				}
			}
		}
	}
}

// indexRule keeps the rules; nil stands for none.
func (r ranges) indexRule(old, next *traffic.VirtualService) {
	for p := range subnetsOf(old) {
		r.drop(p, old.Namespace, func(x *rangeUse) { delete(x.rules, old) })
	}
	for p := range subnetsOf(next) {
		x := r.use(p, next.Namespace)
		if x.rules == nil {
			x.rules = map[*traffic.VirtualService]struct{}{}
		}
		x.rules[next] = struct{}{}
	}
}

// subnetsOf are the destinationSubnets of a rule.
func subnetsOf(vs *traffic.VirtualService) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		if vs == nil {
			return
		}
		each := func(list []string) bool {
			for _, text := range list {
				if p, ok := object.ParseSubnet(text); ok && !yield(p) {
					return false
				}
			}
			return true
		}
		for _, rule := range vs.Spec.Tcp {
			for _, m := range rule.Match {
				if !each(m.DestinationSubnets) {
					return
				}
			}
		}
		for _, rule := range vs.Spec.Tls {
			for _, m := range rule.Match {
				if !each(m.DestinationSubnets) {
					return
				}
			}
		}
	}
}

func (r ranges) use(p netip.Prefix, namespace string) *rangeUse {
	if p = p.Masked(); r[p] == nil {
		r[p] = map[string]*rangeUse{}
	}
	if r[p][namespace] == nil {
		r[p][namespace] = &rangeUse{hosts: object.Set{}}
	}
	return r[p][namespace]
}

func (r ranges) drop(p netip.Prefix, namespace string, from func(*rangeUse)) {
	p = p.Masked()
	x := r[p][namespace]
	if x == nil {
		return
	}
	if from(x); len(x.hosts)+len(x.rules) > 0 {
		return
	}
	if delete(r[p], namespace); len(r[p]) == 0 {
		delete(r, p)
	}
}

// noteHolder notes whose an address is now, and marks what uses ranges with it of which
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
	for bits := range a.BitLen() + 1 { // destinationSubnets may be single addresses
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		for namespace, x := range b.ranges[p] {
			if x.moved(before, b.world.held, p, namespace, a, was, is) {
				for h := range x.hosts {
					b.dirty.host(h, TouchHost)
				}
				for vs := range x.rules {
					b.dirtyRoute(vs, false)
				}
			}
		}
	}
}

// moved follows that somebody else has an address of the range, and tells whether somebody else
// is the first of another namespace now.
func (x *rangeUse) moved(before, after persist.Map[string, object.Ref], p netip.Prefix, namespace string, a netip.Addr, was, is object.Ref) bool {
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
