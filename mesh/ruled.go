package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// What the rules of all VirtualServices of a namespace may become on sidecars: each match
// is a route at every port of every host that its rules are for, and one wildcard is for
// many hosts.
const (
	maxRuledRoutes = 200_000
	maxRuledBytes  = 8 * bounds.MaxExpanded
	// Of these, of rules for a wildcard or for more than plainPorts ports, which are few
	// and become many. The root namespace may have rootRuled times as many: its rules may
	// be for the whole mesh.
	maxManyRoutes = 20_000
	maxManyBytes  = bounds.MaxExpanded
	rootRuled     = 8
	plainPorts    = 20
)

// ruledSum is what rules become: all of them, and those that multiply.
type ruledSum struct{ all, many bounds.RuleCost }

func (s ruledSum) plus(c bounds.RuleCost, many bool, sign int) ruledSum {
	s.all = s.all.Plus(c, sign)
	if many {
		s.many = s.many.Plus(c, sign)
	}
	return s
}

// tooMuch tells whether rules of the namespace become more than they may.
func (w *World) tooMuch(ns string, s ruledSum) bool {
	n := 1
	if ns == w.Config.RootNamespace {
		n = rootRuled
	}
	return s.all.Matches > maxRuledRoutes || s.all.Bytes > maxRuledBytes || s.many.Matches > n*maxManyRoutes || s.many.Bytes > n*maxManyBytes
}

// counted is what rules become, by the namespace of the services that they are for.
type counted struct {
	of   map[string]bounds.RuleCost
	many bool // they multiply
}

// ruledKey names rules: a VirtualService, or what routes of the Gateway API make for a host.
type ruledKey struct {
	ref  object.Ref
	host string // "": all hosts of the VirtualService
}

func ruledKeyOf(v *traffic.VirtualService) ruledKey {
	if v.GatewayAPI {
		return ruledKey{v.Ref, v.Hosts[0]}
	}
	return ruledKey{ref: v.Ref}
}

// portCounts are ports of hosts: how many hosts have each.
type portCounts map[uint32]int

// ruled counts at how many ports of whose hosts rules are served, and knows for whose they
// are left out because they would become too many routes.
type ruled struct {
	ports map[string]map[string]portCounts                // by the host or wildcard of rules, and the namespace of the services there
	users map[string]map[ruledKey]struct{}                // rules by their hosts
	rules map[string]map[ruledKey]*traffic.VirtualService // by their namespace
	costs map[ruledKey]counted
	sums  map[string]ruledSum   // of all of a namespace
	stale map[ruledKey]struct{} // rules whose costs have to be counted again
}

func newRuled() ruled {
	return ruled{ports: map[string]map[string]portCounts{}, users: map[string]map[ruledKey]struct{}{}, rules: map[string]map[ruledKey]*traffic.VirtualService{},
		costs: map[ruledKey]counted{}, sums: map[string]ruledSum{}, stale: map[ruledKey]struct{}{}}
}

// countPorts adds the ports of a host to those by the namespaces of its services.
func countPorts(h *registry.Host, to map[string]portCounts, sign int) {
	if h == nil {
		return
	}
	for _, s := range h.Services {
		at := to[s.Namespace]
		if at == nil {
			at = portCounts{}
			to[s.Namespace] = at
		}
		for _, p := range s.Ports {
			if at[p.Number] += sign; at[p.Number] == 0 {
				delete(at, p.Number)
			}
		}
		if len(at) == 0 {
			delete(to, s.Namespace)
		}
	}
}

// samePorts tells whether rules for the two records are served at the same ports.
func samePorts(old, next *registry.Host) bool {
	if old == nil || next == nil {
		return old == next
	}
	return slices.EqualFunc(old.Services, next.Services, func(a, b *registry.Service) bool {
		return a.Namespace == b.Namespace && slices.EqualFunc(a.Ports, b.Ports, func(p, q registry.Port) bool { return p.Number == q.Number })
	})
}

// ruleHost counts a host's ports for the rules that are for it, in place of what the host
// had before.
func (b *builder) ruleHost(name string, old, next *registry.Host) {
	if samePorts(old, next) {
		return
	}
	object.EachPattern(name, func(pattern string) bool {
		users := b.ruled.users[pattern]
		if len(users) == 0 {
			return true
		}
		countPorts(old, b.ruled.ports[pattern], -1)
		countPorts(next, b.ruled.ports[pattern], 1)
		for k := range users {
			b.ruled.stale[k] = struct{}{}
		}
		return true
	})
}

// rule counts rules in place of their older version; nil stands for none.
func (b *builder) rule(key ruledKey, next *traffic.VirtualService) {
	r, ns := &b.ruled, key.ref.Namespace
	old := r.rules[ns][key]
	if next != nil && !next.On(object.MeshGateway) {
		next = nil
	}
	if old == nil && next == nil {
		return
	}
	if old != nil {
		for _, h := range old.Routed() {
			if delete(r.users[h], key); len(r.users[h]) == 0 {
				delete(r.users, h)
				delete(r.ports, h)
			}
		}
		remove(r.rules, ns, key)
	}
	r.stale[key] = struct{}{}
	if next == nil {
		return
	}
	put(r.rules, ns, key, next)
	var wildcards object.Set
	for _, h := range next.Routed() {
		if r.users[h] == nil {
			r.users[h], r.ports[h] = map[ruledKey]struct{}{}, map[string]portCounts{}
			if object.IsWildcard(h) {
				wildcards.Add(h)
			} else {
				countPorts(b.world.Host(h), r.ports[h], 1)
			}
		}
		r.users[h][key] = struct{}{}
	}
	b.world.countBelow(wildcards, r.ports)
}

// countBelow counts the ports of hosts for the wildcards that cover them, looking at each
// host once.
func (w *World) countBelow(wildcards object.Set, ports map[string]map[string]portCounts) {
	if len(wildcards) == 0 {
		return
	}
	for name, h := range w.Hosts() {
		object.EachPattern(name, func(pattern string) bool {
			if _, ok := wildcards[pattern]; ok {
				countPorts(h, ports[pattern], 1)
			}
			return true
		})
	}
}

// noService stands for the namespace of the services of hosts that have none.
const noService = ""

// costsOf is what the rules become, by the namespace of the services that they are for: at
// the ports of each host, once for a host that no service has, and for each host that is served by itself at those of others.
func costsOf(v *traffic.VirtualService, ports map[string]map[string]portCounts) counted {
	one := v.Cost
	if one == (bounds.RuleCost{}) {
		one = bounds.CostOfRules(v.Spec)
	}
	out := map[string]bounds.RuleCost{}
	own := map[string]int{} // ports of hosts by themselves
	all := map[string]map[uint32]struct{}{}
	wide, places := false, 0
	for _, h := range v.Routed() {
		if len(ports[h]) == 0 { // it stands for itself
			out[noService] = out[noService].Plus(one, 1)
			places++
			continue
		}
		wide = wide || object.IsWildcard(h)
		for ns, at := range ports[h] {
			n := 0
			for port, hosts := range at {
				n += hosts
				put(all, ns, port, struct{}{})
			}
			if !object.IsWildcard(h) {
				n = min(n, v.FitsPorts())
				own[ns] += n
			}
			out[ns] = out[ns].Plus(one.Times(n), 1)
			places += n
		}
	}
	if len(v.Hosts) > 1 {
		for ns, at := range all {
			n := max(0, len(v.Hosts)*min(len(at), v.FitsPlaces())-own[ns])
			out[ns] = out[ns].Plus(one.Times(n), 1)
			places += n
		}
	}
	return counted{out, wide || places > plainPorts}
}

// ruleAgain has all rules counted again.
func (b *builder) ruleAgain() {
	for key := range b.ruled.costs {
		b.ruled.stale[key] = struct{}{}
	}
}

// settleRules decides, where that may have changed, for whose hosts rules are in force.
func (b *builder) settleRules() {
	r := &b.ruled
	namespaces := map[string]struct{}{}
	for key := range r.stale {
		ns := key.ref.Namespace
		sum := r.sums[ns]
		for _, c := range r.costs[key].of {
			sum = sum.plus(c, r.costs[key].many, -1)
		}
		delete(r.costs, key)
		if v := r.rules[ns][key]; v != nil {
			next := costsOf(v, r.ports)
			r.costs[key] = next
			for _, c := range next.of {
				sum = sum.plus(c, next.many, 1)
			}
		}
		if r.sums[ns] = sum; sum == (ruledSum{}) {
			delete(r.sums, ns)
		}
		namespaces[ns] = struct{}{}
	}
	clear(r.stale)
	for _, ns := range slices.Sorted(maps.Keys(namespaces)) {
		if b.world.tooMuch(ns, r.sums[ns]) || slices.ContainsFunc(slices.Collect(maps.Keys(b.world.unruled)), func(k ruledKey) bool { return k.ref.Namespace == ns }) {
			b.allotRules(ns)
		}
	}
}

// ruledPart is rules as far as they are for services of one namespace.
type ruledPart struct {
	key   ruledKey
	rules *traffic.VirtualService
	of    string
	cost  bounds.RuleCost
}

// allotRules gives the oldest rules of a namespace their share: for its own services
// first, then for those of others, which come by how much they ask for, so that nobody
// gets more of it by making more hosts.
func (b *builder) allotRules(ns string) {
	var parts []ruledPart
	size := map[string]int{}
	for key, v := range b.ruled.rules[ns] {
		for of, c := range b.ruled.costs[key].of {
			parts = append(parts, ruledPart{key, v, of, c})
			size[of] += c.Matches
		}
	}
	size[ns], size[noService] = -2, -1
	slices.SortFunc(parts, func(x, y ruledPart) int {
		return cmp.Or(cmp.Compare(size[x.of], size[y.of]), strings.Compare(x.of, y.of),
			object.Older(x.rules.Created, x.key.ref, y.rules.Created, y.key.ref), strings.Compare(x.key.host, y.key.host))
	})
	next := map[ruledKey]map[string]struct{}{}
	winners := map[ruledKey]object.Ref{}
	var sum ruledSum
	var last object.Ref
	for _, p := range parts {
		if with := sum.plus(p.cost, b.ruled.costs[p.key].many, 1); !b.world.tooMuch(ns, with) {
			sum, last = with, p.key.ref
			continue
		}
		if next[p.key] == nil {
			next[p.key], winners[p.key] = map[string]struct{}{}, last
		}
		next[p.key][p.of] = struct{}{}
	}
	before := b.world.unruled
	b.world.unruled = maps.Clone(before)
	if b.world.unruled == nil {
		b.world.unruled = map[ruledKey]map[string]struct{}{}
	}
	maps.DeleteFunc(b.world.unruled, func(k ruledKey, _ map[string]struct{}) bool { return k.ref.Namespace == ns })
	maps.Copy(b.world.unruled, next)
	for key := range before {
		if key.ref.Namespace == ns && next[key] == nil {
			b.foundAs(key.ref, "rules"+key.host, nil)
			b.dirtyRules(key)
		}
	}
	for key, of := range next {
		b.foundAs(key.ref, "rules"+key.host, []object.Finding{tooManyRuled(key.ref, slices.Sorted(maps.Keys(of)), winners[key])})
		if !maps.Equal(before[key], of) {
			b.dirtyRules(key)
		}
	}
}

// dirtyRules marks the hosts of rules that come into force for others than before.
func (b *builder) dirtyRules(key ruledKey) {
	versions := b.holds.placed[key.ref]
	if v := b.ruled.rules[key.ref.Namespace][key]; v != nil {
		versions = append(versions[:len(versions):len(versions)], v)
	}
	for _, v := range versions {
		b.dirtyRoute(v, true)
	}
}

const ruledField = "rules × the ports of the hosts that they are for"

func tooManyRuled(ref object.Ref, of []string, winner object.Ref) object.Finding {
	var where []string
	for _, ns := range of {
		if ns == noService {
			where = append(where, "hosts without a service")
		} else {
			where = append(where, "hosts of namespace "+ns)
		}
	}
	than := "with the older rules of namespace " + ref.Namespace
	if winner == (object.Ref{}) || winner == ref {
		than, winner = "by themselves", object.Ref{}
	}
	return object.Finding{Object: ref, Field: ruledField, Code: object.CodeInvalid, Winner: winner, Message: fmt.Sprintf(
		"%s its rules become more than %d routes or %d bytes on sidecars, at each port of each host that they are for, or more than %d or %d where they are for a wildcard or for more than %d ports; "+
			"they are left out there for %s: make the rules fewer, or name fewer hosts",
		than, maxRuledRoutes, maxRuledBytes, maxManyRoutes, maxManyBytes, plainPorts, object.Shortened(strings.Join(where, ", ")))}
}

// leavesOut tells whether rules are left out for the service that the view has for a host,
// or for the host where it has none.
func (v *View) leavesOut(vs *traffic.VirtualService, host string) bool {
	if len(v.unruled) == 0 {
		return false
	}
	of := v.unruled[ruledKeyOf(vs)]
	if len(of) == 0 {
		return false
	}
	namespace := noService
	if s, _ := v.Service(host); s != nil {
		namespace = s.Namespace
	}
	_, out := of[namespace]
	return out
}

// ruled reports that the rules alone become too many for the hosts of their namespace.
func (r *references) ruled(v *traffic.VirtualService) {
	if !v.On(object.MeshGateway) {
		return
	}
	ports := map[string]map[string]portCounts{}
	var wildcards object.Set
	for _, h := range v.Routed() {
		ports[h] = map[string]portCounts{}
		if object.IsWildcard(h) {
			wildcards.Add(h)
		} else {
			countPorts(r.world.Host(h), ports[h], 1)
		}
	}
	r.world.countBelow(wildcards, ports)
	c := costsOf(v, ports)
	if r.world.tooMuch(v.Namespace, ruledSum{}.plus(c.of[v.Namespace], c.many, 1)) {
		r.findings = append(r.findings, tooManyRuled(r.ref, []string{v.Namespace}, object.Ref{}))
	}
}
