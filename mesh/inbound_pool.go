package mesh

import (
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// inboundPool is the connection pool of one port of the workload: that of the
// Sidecar's ingress listener, else the Sidecar's for all, else the one that the
// DestinationRule of the port's service asks of clients, which the server then
// holds as well.
func (v *View) inboundPool(s *traffic.Sidecar, p InboundPort) *networking.ConnectionPoolSettings {
	if s != nil {
		for _, l := range s.Spec.Ingress {
			if l.GetPort().GetNumber() == p.Number && l.ConnectionPool != nil {
				return l.ConnectionPool
			}
		}
		if s.Spec.InboundConnectionPool != nil {
			return s.Spec.InboundConnectionPool
		}
	}
	if p.Service == nil {
		return nil
	}
	rule := v.Rule(p.Service)
	if rule == nil {
		return nil
	}
	for _, l := range rule.Policy.GetPortLevelSettings() {
		if l.GetPort().GetNumber() == p.ServicePort {
			return l.ConnectionPool
		}
	}
	return rule.Policy.GetConnectionPool()
}

// pools tells whether the rule (which may be nil) sets a connection pool for
// all of a service or one of its ports.
func pools(r *traffic.DestinationRule) bool {
	return r != nil && (r.Policy.GetConnectionPool() != nil ||
		slices.ContainsFunc(r.Policy.GetPortLevelSettings(), func(l *networking.TrafficPolicy_PortTrafficPolicy) bool { return l.ConnectionPool != nil }))
}

// dirtyServers marks what the workloads accept that are behind the hosts of a
// rule, if it sets a connection pool or could hide another rule's.
func (b *builder) dirtyServers(r *traffic.DestinationRule) {
	none := func(pattern string) bool {
		l, _ := b.world.rules.Get(pattern)
		return !slices.ContainsFunc(l, pools)
	}
	if !pools(r) && object.EachPattern(r.Host, none) {
		return
	}
	each := func(h *registry.Host) {
		for _, s := range h.Services {
			b.dirty.Inbound[s.Namespace] = struct{}{}
		}
	}
	if h := b.world.Host(r.Host); h != nil {
		each(h)
	}
	if object.IsWildcard(r.Host) {
		for name, h := range b.world.Hosts() {
			if object.HostMatches(r.Host, name) {
				each(h)
			}
		}
	}
}
