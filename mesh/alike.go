package mesh

import (
	"iter"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// AlikeEverywhere tells, without resolving it, that a host looks from the
// view as from the base, a sidecar of no particular namespace. False means only that it
// may look otherwise.
func (v *View) AlikeEverywhere(host string, base Scope) bool {
	if strings.HasSuffix(host, "."+v.Scope.Namespace+".svc."+object.Domain) || v.Scope.Namespace != "" && v.nameOwner(host+"."+v.Scope.Namespace, "") != nil {
		return false // it has a name by itself there, or is one
	}
	base.Namespace = v.Scope.Namespace
	if v.Sidecar != nil || v.Scope != base || object.IsWildcard(host) {
		return false
	}
	h := v.Host(host)
	if h == nil || !v.keepsNothing(host) || !v.serviceAlike(h) || !v.rulesAlike(host) || !v.routesAlike(host) {
		return false
	}
	if aliases, _ := v.aliases.Get(host); len(aliases) > 0 {
		return false
	}
	return v.namesAlike(h.Services[0])
}

// serviceAlike tells whether one service has the name, and that it is not of
// the view's own namespace, nor shown to it alone or kept from it.
func (v *View) serviceAlike(h *registry.Host) bool {
	if len(h.Services) != 1 {
		return false
	}
	s := h.Services[0]
	return s.Namespace != v.Scope.Namespace && s.Resolution != registry.ResolutionAlias &&
		v.visibleAlike(s.ExportTo, s.Namespace, v.Config.DefaultServiceExportTo)
}

func (v *View) visibleAlike(list object.Visibility, owner string, fallback []string) bool {
	return list.VisibleFrom(owner, v.Scope.Namespace, fallback) == list.VisibleFrom(owner, "", fallback)
}

// rulesAlike tells whether no DestinationRule for the host is of the view's
// own namespace, nor meant for some namespaces only.
func (v *View) rulesAlike(host string) bool {
	return eachPatternIn(v.rules, host, func(l []*traffic.DestinationRule) bool {
		for _, r := range l {
			if r.Namespace == v.Scope.Namespace || !v.visibleAlike(r.ExportTo, r.Namespace, v.Config.DefaultDestinationRuleExportTo) {
				return false
			}
		}
		return true
	})
}

// routesAlike does so for VirtualServices and the hosts that they lead to.
func (v *View) routesAlike(host string) bool {
	return eachPatternIn(v.routes, host, func(l []*traffic.VirtualService) bool {
		return !slices.ContainsFunc(l, func(vs *traffic.VirtualService) bool { return !v.routeAlike(vs, host) })
	})
}

func (v *View) routeAlike(vs *traffic.VirtualService, host string) bool {
	if vs.Namespace == v.Scope.Namespace || vs.OfSource() || !v.visibleAlike(vs.ExportTo, vs.Namespace, v.Config.DefaultVirtualServiceExportTo) {
		return false
	}
	for _, d := range vs.Destinations {
		if d == host {
			continue
		}
		if h := v.Host(d); h != nil && !v.serviceAlike(h) || !v.keepsNothing(d) || !v.rulesAlike(d) {
			return false
		}
	}
	return true
}

// namesAlike tells whether nobody else claims the short names and the
// addresses of the service.
func (v *View) namesAlike(s *registry.Service) bool {
	for name := range shortNames(s.Host) {
		if v.Host(name) != nil {
			return false
		}
		if l, _ := v.routes.Get(name); len(l) > 0 {
			return false
		}
	}
	for _, p := range s.Addresses {
		if !p.IsSingleIP() {
			return false
		}
		if owners, _ := v.vips.Get(p.Addr().String()); len(owners) > 1 {
			return false
		}
	}
	return true
}

// eachPatternIn asks f about what an index has for a name and for all wildcards that cover
// it, until f says no. An index without wildcards, as most are, is asked once.
func eachPatternIn[V any](m persist.Map[string, []V], host string, f func([]V) bool) bool {
	l, _ := m.Get(host)
	if !f(l) {
		return false
	}
	for range persist.Prefix(m, "*") {
		ok := true
		object.WildcardsOf(host, func(pattern string) bool {
			l, _ := m.Get(pattern)
			ok = f(l)
			return ok
		})
		return ok
	}
	return true
}

// shortNames yields the names below the cluster's domain by which clients of
// every namespace reach a host of Kubernetes.
func shortNames(host string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if base, ok := strings.CutSuffix(host, ".svc."+object.Domain); ok && yield(base+".svc") {
			yield(base)
		}
	}
}
