package mesh

import (
	"slices"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// heldVirtualService is a VirtualService that changed or waits. Host by host and
// gateway by gateway either its newest version is in force or what was before.
type heldVirtualService struct {
	*builder
	ref    object.Ref
	next   *traffic.VirtualService
	before []*traffic.VirtualService // in force until now: versions of the object, each for some of its hosts

	split [][2]part // of before, and of next
}

// part is some hosts on some gateways.
type part struct{ hosts, gateways []string }

func (r *heldVirtualService) newest() any { return r.next }

func (r *heldVirtualService) torn(j *judge) *waits {
	r.split = nil
	sidecars, routers := j.world.clientsOf(r.next)
	named := destinationsOf(r.next)
	var before []destination
	for _, v := range r.before {
		before = append(before, destinationsOf(v)...)
	}
	var w waits
	var mesh, gateways []string
	for _, g := range r.next.Gateways {
		if g == object.MeshGateway {
			mesh = []string{g}
		} else {
			gateways = append(gateways, g)
		}
	}
	held := false
	for _, side := range []struct {
		gateways []string
		clients  []client
	}{{mesh, sidecars}, {gateways, routers}} {
		if len(side.gateways) == 0 {
			continue
		}
		missing := j.missing(named, before, side.clients)
		if len(missing) == 0 {
			r.split = append(r.split, [2]part{{}, {r.next.Hosts, side.gateways}})
			continue
		}
		for _, g := range side.gateways {
			had, new := j.servedBefore(r.next, g)
			held = held || len(had) > 0
			r.split = append(r.split, [2]part{{had, []string{g}}, {new, []string{g}}})
		}
		if !w.waitFor(missing) {
			return nil
		}
	}
	if !held {
		return nil
	}
	return &w
}

func (r *heldVirtualService) hold() {
	var pieces []*traffic.VirtualService
	add := func(v *traffic.VirtualService, p part) {
		if v = v.Narrowed(p.hosts, p.gateways); v != nil {
			pieces = append(pieces, v)
		}
	}
	for _, s := range r.split {
		for _, v := range r.before {
			add(v, s[0])
		}
		add(r.next, s[1])
	}
	r.place(r.ref, joined(pieces))
}

func (r *heldVirtualService) release() { r.place(r.ref, []*traffic.VirtualService{r.next}) }

// joined are the parts with those of one version for the same hosts made one.
func joined(parts []*traffic.VirtualService) (out []*traffic.VirtualService) {
	for _, p := range parts {
		i := slices.IndexFunc(out, func(o *traffic.VirtualService) bool { return o.Spec == p.Spec && slices.Equal(o.Hosts, p.Hosts) })
		if i < 0 {
			out = append(out, p)
			continue
		}
		both := *out[i]
		both.Gateways = append(slices.Clone(both.Gateways), p.Gateways...)
		out[i] = &both
	}
	return out
}

// servedBefore divides the hosts of a VirtualService into those that proxies had
// from the gateway in the last World, whoever served them, and new ones.
func (j *judge) servedBefore(v *traffic.VirtualService, gateway string) (had, new []string) {
	is := j.meshHosts(v)
	if gateway != object.MeshGateway {
		is = j.hostsOf(gateway).Covers
	}
	for _, h := range v.Hosts {
		if is(h) {
			had = append(had, h)
		} else {
			new = append(new, h)
		}
	}
	return had, new
}

// meshHosts tells which hosts sidecars had: those of services, by whatever name,
// and those of VirtualServices, and what the patterns of either cover.
func (j *judge) meshHosts(v *traffic.VirtualService) func(host string) bool {
	w := j.last
	routed := func(name string) bool {
		l, _ := w.routes.Get(name)
		return slices.ContainsFunc(l, func(o *traffic.VirtualService) bool { return o.On(object.MeshGateway) })
	}
	var covered *object.HostSet
	return func(h string) bool {
		if !object.EachPattern(h, func(p string) bool { return w.Host(p) == nil && !routed(p) }) {
			return true
		}
		if slices.ContainsFunc(j.nameOwners(h), func(o string) bool { return w.Host(o) != nil }) {
			return true
		}
		if !object.IsWildcard(h) {
			return false
		}
		if covered == nil {
			covered = object.NewHostSet()
			for name := range w.Hosts() {
				covered.Add(name)
			}
			for name := range w.RouteHosts() {
				if routed(name) {
					covered.Add(name)
				}
			}
		}
		return covered.Covers(h)
	}
}

// hostsOf are the hosts of the VirtualServices that were bound to a gateway.
func (j *judge) hostsOf(gateway string) *object.HostSet {
	s := j.gatewayHosts[gateway]
	if s == nil {
		s = object.NewHostSet()
		for _, v := range j.last.VirtualServicesOf(gateway) {
			for _, h := range v.Hosts {
				s.Add(h)
			}
		}
		j.gatewayHosts[gateway] = s
	}
	return s
}
