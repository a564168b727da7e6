package mesh

import (
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func olderRoute(a, b *traffic.VirtualService) int {
	return object.Older(a.Created, a.Ref, b.Created, b.Ref)
}
func olderSidecar(a, b *traffic.Sidecar) int { return object.Older(a.Created, a.Ref, b.Created, b.Ref) }

func (b *builder) virtualService(ref object.Ref, o *networkingv1.VirtualService) {
	if o == nil {
		delete(b.vsRaw, ref)
	} else {
		b.vsRaw[ref] = o
	}
	b.setVirtualService(ref, o)
	b.delegateChanged(ref) // its routes are part of theirs
}

// setVirtualService puts what the object says in place; what delegates, when the pass ends.
func (b *builder) setVirtualService(ref object.Ref, o *networkingv1.VirtualService) {
	if o == nil {
		b.notRoot(ref)
		b.putVirtualService(ref, nil, nil)
		return
	}
	next, findings := traffic.ParseVirtualService(o, object.Domain)
	if len(next.Delegates) == 0 {
		b.notRoot(ref)
	} else if b.setRoot(next, findings); len(o.Spec.Hosts) > 0 { // no delegate of others, who ask before
		return
	}
	b.putVirtualService(ref, next, findings)
}

// putVirtualService puts a VirtualService, with what it delegates, in place.
func (b *builder) putVirtualService(ref object.Ref, next *traffic.VirtualService, findings []object.Finding) {
	key := ref.Namespace + "/" + ref.Name
	if next != nil {
		findings = append(append(findings, next.Uncovered(b.world.Config.RootNamespace, b.world.Config.DefaultVirtualServiceExportTo)...), next.Claimless()...)
	}
	b.found(ref, findings)
	b.boundStale[ref] = struct{}{}
	b.rule(ruledKey{ref: ref}, next)
	b.changing(ref, b.holds.placed[ref])
	if next == nil {
		b.world.virtualServices = b.world.virtualServices.Delete(key)
		b.place(ref, nil)
		return
	}
	b.world.virtualServices = b.world.virtualServices.Set(key, next)
	b.place(ref, []*traffic.VirtualService{next})
}

// place puts versions of a VirtualService in the indexes, each for some of its
// hosts, in place of those that are there.
func (b *builder) place(ref object.Ref, versions []*traffic.VirtualService) {
	old := b.holds.placed[ref]
	var asks []traffic.Ask
	for _, v := range old {
		if !slices.Contains(versions, v) {
			b.placeRoute(v, nil)
		}
	}
	for _, v := range versions {
		if !slices.Contains(old, v) {
			b.placeRoute(nil, v)
		}
		asks = append(asks, traffic.AsksOfRoutes(v)...)
	}
	if len(versions) == 0 {
		delete(b.holds.placed, ref)
	} else {
		b.holds.placed[ref] = versions
	}
	b.setAsks(ref, asks)
}

// placeRoute replaces a VirtualService in the indexes, and marks what either
// of the two speaks of; nil stands for none.
func (b *builder) placeRoute(old, next *traffic.VirtualService) {
	is := func(v *traffic.VirtualService) bool { return v == old }
	b.ranges.indexRule(old, next)
	if old != nil {
		b.leads.set(old, nil)
		b.dirtyRoute(old, true)
		for _, h := range old.Routed() {
			b.world.routes = persist.Listed(b.world.routes, h, is, nil, olderRoute)
		}
		for _, h := range old.Destinations {
			b.world.referrers = persist.Listed(b.world.referrers, h, is, nil, olderRoute)
		}
		for _, g := range old.Gateways {
			b.world.byGateway = persist.Listed(b.world.byGateway, g, is, nil, olderRoute)
		}
	}
	if next == nil {
		return
	}
	sidecars, routers := b.world.clientsOf(next)
	b.leads.set(next, leadsOf(next, append(sidecars, routers...)))
	for _, h := range next.Routed() {
		b.world.routes = persist.Listed(b.world.routes, h, is, &next, olderRoute)
	}
	for _, h := range next.Destinations {
		b.world.referrers = persist.Listed(b.world.referrers, h, is, &next, olderRoute)
	}
	for _, g := range next.Gateways {
		if g != object.MeshGateway {
			b.world.byGateway = persist.Listed(b.world.byGateway, g, is, &next, olderRoute)
		}
	}
	b.dirtyRoute(next, true)
}

// dirtyRoute marks the hosts that a VirtualService speaks of. own is whether
// the VirtualService itself changed; else a host that it leads to did.
func (b *builder) dirtyRoute(vs *traffic.VirtualService, own bool) {
	if slices.ContainsFunc(vs.Gateways, func(g string) bool { return g != object.MeshGateway }) && own {
		b.dirty.Gateways = true
	}
	if !vs.On(object.MeshGateway) {
		return
	}
	if before, done := b.marked[vs]; done && (before || !own) {
		return
	}
	b.marked[vs] = own
	b.dirtyBelow(vs.Hosts)
	for _, h := range vs.Hosts {
		b.dirty.host(h, TouchHost)
		for _, form := range formsOf(h) { // the rule of the one may be in force for the other
			if l, _ := b.world.routes.Get(form); len(l) > 0 {
				b.dirty.host(form, TouchHost)
			}
		}
		for _, o := range b.nameOwners(h) { // the name may have been short for them
			b.dirty.host(o, TouchHost)
		}
		if own { // other rules may be in force for this host, or no longer
			b.dirtyPlaces(h)
		}
	}
	if own {
		for _, h := range vs.Destinations { // a Sidecar imports them with the VirtualService
			if len(b.world.sidecars) > 0 {
				b.dirtyHost(h)
			}
		}
	}
}

// dirtyBelow marks the hosts that wildcards of the list cover. It looks at each host once,
// however many wildcards there are.
func (b *builder) dirtyBelow(list []string) {
	var wildcards object.Set
	for _, h := range list {
		if object.IsWildcard(h) {
			wildcards.Add(h)
		}
	}
	if len(wildcards) == 0 {
		return
	}
	for name := range b.world.Hosts() {
		if wildcards.CoverBelow(name) {
			b.dirty.host(name, TouchHost)
		}
	}
}

func (b *builder) destinationRule(ref object.Ref, o *networkingv1.DestinationRule) {
	old := b.ruleByRef[ref]
	var next *traffic.DestinationRule
	var findings []object.Finding
	if o != nil {
		next, findings = traffic.ParseDestinationRule(o, object.Domain)
	}
	if old != nil {
		if delete(b.rulesOf[old.Host], ref); len(b.rulesOf[old.Host]) == 0 {
			delete(b.rulesOf, old.Host)
		}
	}
	if next == nil {
		delete(b.ruleByRef, ref)
	} else {
		b.ruleByRef[ref] = next
		if b.rulesOf[next.Host] == nil {
			b.rulesOf[next.Host] = map[object.Ref]*traffic.DestinationRule{}
		}
		b.rulesOf[next.Host][ref] = next
	}
	b.coverRule(old, next)
	b.found(ref, findings)
	b.foundAs(ref, "merge", nil)
	var asks []traffic.Ask
	if next != nil {
		policies := []*networking.TrafficPolicy{next.Policy}
		for _, s := range next.Subsets {
			policies = append(policies, s.Policy)
		}
		asks = traffic.AsksOfPolicy(policies...)
		if len(next.Selector) > 0 {
			asks = append(asks, traffic.Ask{Selector: next.Selector})
		}
	}
	b.setAsks(ref, asks)
	for i, r := range []*traffic.DestinationRule{old, next} {
		if r != nil {
			b.holds.rule(r)
		}
		if r == nil || i == 1 && old != nil && old.Host == r.Host {
			continue
		}
		b.unmerged.Add(r.Host)
		b.dirtyPattern(r.Host)
	}
	for _, r := range []*traffic.DestinationRule{old, next} {
		if r != nil {
			b.dirtyServers(r)
		}
	}
}

// settleMerged merges the rules anew for all hosts whose rules changed: once in a pass for
// each, however many of its rules did.
func (b *builder) settleMerged() {
	for host := range b.unmerged {
		b.setRules(host)
	}
	clear(b.unmerged)
}

// setRules merges the rules for a host anew.
func (b *builder) setRules(host string) {
	byNamespace := map[string][]*traffic.DestinationRule{}
	for _, r := range b.rulesOf[host] {
		byNamespace[r.Namespace] = append(byNamespace[r.Namespace], b.withSubsets(r))
	}
	var all []*traffic.DestinationRule
	for _, ns := range slices.Sorted(maps.Keys(byNamespace)) {
		merged, findings := traffic.MergeDestinationRules(byNamespace[ns])
		all = append(all, merged...)
		byObject := map[object.Ref][]object.Finding{}
		for _, f := range findings {
			byObject[f.Object] = append(byObject[f.Object], f)
		}
		for _, r := range byNamespace[ns] {
			b.foundAs(r.Ref(), "merge", byObject[r.Ref()])
		}
	}
	if len(all) == 0 {
		b.world.rules, b.world.bareRules = b.world.rules.Delete(host), b.world.bareRules.Delete(host)
		return
	}
	b.world.rules = b.world.rules.Set(host, all)
	if !object.IsWildcard(host) && !slices.ContainsFunc(all, func(r *traffic.DestinationRule) bool { return r.Multiplies() }) {
		b.world.bareRules = b.world.bareRules.Delete(host)
		return
	}
	bare := make([]*traffic.DestinationRule, len(all))
	for i, r := range all {
		bare[i] = r.Bare()
	}
	b.world.bareRules = b.world.bareRules.Set(host, bare)
}

// dirtyPattern marks every host that the host or pattern covers.
func (b *builder) dirtyPattern(pattern string) {
	if !object.IsWildcard(pattern) {
		b.dirtyHost(pattern)
		return
	}
	for name := range b.world.Hosts() {
		if object.HostMatches(pattern, name) {
			b.dirtyHost(name)
		}
	}
}

func (b *builder) gateway(ref object.Ref, o *networkingv1.Gateway) {
	key := ref.Namespace + "/" + ref.Name
	b.dirty.Gateways = true
	b.boundAgain(key)
	if o == nil {
		b.world.gateways = b.world.gateways.Delete(key)
		b.found(ref, nil)
		return
	}
	g, findings := traffic.ParseGateway(o)
	b.world.gateways = b.world.gateways.Set(key, g)
	b.found(ref, findings)
}

func (b *builder) sidecar(ref object.Ref, o *networkingv1.Sidecar) {
	l := slices.DeleteFunc(slices.Clone(b.world.sidecars[ref.Namespace]), func(s *traffic.Sidecar) bool { return s.Ref == ref })
	var asks []traffic.Ask
	var findings []object.Finding
	if o != nil {
		s := traffic.ParseSidecar(o)
		l, findings = append(l, s), traffic.CheckEgress(o)
		if len(s.Selector) > 0 {
			asks = append(asks, traffic.Ask{Selector: s.Selector})
		}
	}
	b.found(ref, findings)
	slices.SortFunc(l, olderSidecar)
	b.world.sidecars = maps.Clone(b.world.sidecars)
	if len(l) == 0 {
		delete(b.world.sidecars, ref.Namespace)
	} else {
		b.world.sidecars[ref.Namespace] = l
	}
	b.setAsks(ref, asks)
	b.overlaps.stale[ref.Namespace] = struct{}{}
	b.dirty.Inbound[ref.Namespace] = struct{}{}
	if ref.Namespace == b.world.Config.RootNamespace {
		b.dirty.All = true
	} else {
		b.dirty.Namespaces[ref.Namespace] = struct{}{}
	}
}

func (b *builder) secret(ref object.Ref, obj any) {
	key := ref.Namespace + "/" + ref.Name
	switch o := obj.(type) {
	case *corev1.Secret:
		b.world.secrets = b.world.secrets.Set(key, registry.ParseSecret(o))
	case Unread:
		b.world.secrets = b.world.secrets.Delete(key)
	default:
		b.world.secrets = b.world.secrets.Set(key, nil)
	}
	b.dirty.Secrets[ref] = struct{}{}
}
