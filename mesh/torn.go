package mesh

import (
	"context"
	"time"

	networking "istio.io/api/networking/v1alpha3"
)

const (
	// DefaultPatience is how long a change that leads routes nowhere is held back
	// for the change that it is half of. `kubectl` applies and deletes the objects
	// of one file one after the other, some 10 ms apart.
	DefaultPatience = 100 * time.Millisecond
	// mostPatience is how many times as long the wait is at most while other
	// changes keep coming.
	mostPatience = 5
)

// whole is the world and what changed once no route leads nowhere that led
// somewhere in the published world, or once patience is at its end: then that is
// what was meant. A DestinationRule that is deleted just before the
// VirtualService that names its subsets, or applied just after it, costs no
// request.
func (s *Store) whole(ctx context.Context, b *builder, w *World, dirty *Dirty) (*World, *Dirty) {
	before := s.current.Load()
	limit := time.Now().Add(mostPatience * s.Patience)
	for torn(before, w, dirty) {
		timer := time.NewTimer(min(s.Patience, time.Until(limit)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return w, dirty
		case <-timer.C:
			return w, dirty
		case <-s.wake:
			timer.Stop()
		}
		changes, _ := s.take()
		b.apply(changes)
		next, more := b.finish()
		dirty.Merge(more)
		w = next
	}
	return w, dirty
}

// torn tells whether a route that the changes concern leads to a host, port or
// subset that does not exist, and did not do so before.
func torn(before, now *World, dirty *Dirty) bool {
	for v := range concerned(now, dirty) {
		lost := now.nowhere(v)
		if len(lost) == 0 {
			continue
		}
		known := before.nowhere(before.earlier(v))
		for d := range lost {
			if _, ok := known[d]; !ok {
				return true
			}
		}
	}
	return false
}

// earlier is what the world has for the object behind a VirtualService of
// another world; nil when it has none for any of the same hosts.
func (w *World) earlier(v *VirtualService) *VirtualService {
	for _, h := range v.Hosts {
		list, _ := w.routes.Get(h)
		for _, o := range list {
			if o.Ref == v.Ref {
				return o
			}
		}
	}
	return nil
}

// concerned are the VirtualServices that the changes are about, or lead to what
// they are about.
func concerned(w *World, dirty *Dirty) func(yield func(*VirtualService) bool) {
	return func(yield func(*VirtualService) bool) {
		if dirty.All {
			for _, v := range w.virtualServices.All() {
				if !yield(v) {
					return
				}
			}
			return
		}
		for host, touch := range dirty.Hosts {
			if touch != TouchHost {
				continue
			}
			routes, _ := w.routes.Get(host)
			for _, list := range [][]*VirtualService{routes, w.Referrers(host)} {
				for _, v := range list {
					if !yield(v) {
						return
					}
				}
			}
		}
	}
}

// destination is what a route names, with its host in full.
type destination struct {
	host, subset string
	port         uint32
}

// nowhere are the destinations of a VirtualService, which may be nil, that do
// not exist for the clients of its namespace.
func (w *World) nowhere(v *VirtualService) map[destination]struct{} {
	if v == nil {
		return nil
	}
	var out map[destination]struct{}
	scope := Scope{Role: RoleRouter, Namespace: v.Namespace}
	if v.On(MeshGateway) {
		scope.Role = RoleSidecar
	}
	view := w.View(scope)
	eachDestination(v.Spec, func(d *networking.Destination) {
		to := destination{ResolveHost(d.GetHost(), v.Namespace, Domain), d.GetSubset(), d.GetPort().GetNumber()}
		s, _ := view.Service(to.host)
		if s != nil && s.Alias != "" { // what it stands for may be anywhere
			return
		}
		if s != nil && (to.port == 0 || s.Port(to.port) != nil) && (to.subset == "" || view.Rule(s).Subset(to.subset) != nil) {
			return
		}
		if out == nil {
			out = map[destination]struct{}{}
		}
		out[to] = struct{}{}
	})
	return out
}
