package mesh

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/internal/persist"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// keptDestination is a host, port or subset that is gone while a route in force
// still names it: proxies keep it for a moment, as it was. It never changes.
type keptDestination struct {
	destination
	at      string   // the host whose clusters serve it: destination.host, or what that stood for
	since   *World   // the last in which it was there
	clients []client // for whom it went
	payer   string   // the namespace of what is gone
	until   time.Time
}

// Kept is a destination that is gone, as a view had it: the service of today
// where that still has the port, else the one of then, with the rule of then.
type Kept struct {
	Port      uint32 // as routes name it; 0: none
	Subset    string
	Service   *registry.Service
	Endpoints *registry.EndpointSet
	Rule      *traffic.DestinationRule
}

// KeptList are the destinations on one host that are kept; nil has none.
type KeptList struct{ list []Kept }

// Find is the destination with the port and the subset; nil when it is not kept.
func (l *KeptList) Find(port uint32, subset string) *Kept {
	if l == nil {
		return nil
	}
	for i := range l.list {
		if l.list[i].Port == port && l.list[i].Subset == subset {
			return &l.list[i]
		}
	}
	return nil
}

// Hosts are those whose clusters serve the destinations.
func (l *KeptList) Hosts() (out []string) {
	if l == nil {
		return nil
	}
	for _, k := range l.list {
		if !slices.Contains(out, k.Service.Host) {
			out = append(out, k.Service.Host)
		}
	}
	return out
}

// Services are those that the destinations were of.
func (l *KeptList) Services() (out []*registry.Service) {
	if l == nil {
		return nil
	}
	for _, k := range l.list {
		out = append(out, k.Service)
	}
	return out
}

// Kept are the destinations that are gone from the view and that routes still
// reach by naming the host; nil when there are none.
func (v *View) Kept(host string) *KeptList {
	entries, _ := v.kept.Get(host)
	if len(entries) == 0 {
		return nil
	}
	return v.keptOf(entries, "")
}

// KeptAt are the destinations whose clusters are those of the host; nil when
// there are none.
func (v *View) KeptAt(host string) []Kept {
	entries, _ := v.keptAt.Get(host)
	if len(entries) == 0 {
		return nil
	}
	if l := v.keptOf(entries, host); l != nil {
		return l.list
	}
	return nil
}

// KeptHosts are the hosts with clusters of destinations that are gone.
func (w *World) KeptHosts() []string {
	var out []string
	for host := range w.keptAt.All() {
		out = append(out, host)
	}
	return out
}

// keptOf resolves entries in the view; at "" is any place.
func (v *View) keptOf(entries []*keptDestination, at string) *KeptList {
	var out []Kept
	for _, e := range entries {
		now := v.reach(e.host)
		if now.leads(e.port, e.subset) {
			continue
		}
		old := e.since.View(v.Scope).reach(e.host)
		if !old.leads(e.port, e.subset) || at != "" && old.service.Host != at {
			continue
		}
		k := Kept{Port: e.port, Subset: e.subset, Service: old.service, Endpoints: old.endpoints, Rule: old.rule}
		if now.service != nil && now.service.Host == old.service.Host && now.leads(e.port, "") {
			k.Service, k.Endpoints = now.service, now.endpoints
		}
		out = append(out, k)
	}
	if len(out) == 0 {
		return nil
	}
	return &KeptList{out}
}

// keepsNothing tells whether nothing of the hosts is kept.
func (w *World) keepsNothing(host string) bool {
	_, route := w.kept.Get(host)
	_, cluster := w.keptAt.Get(host)
	return !route && !cluster
}

// remembered is the World as what is kept remembers it: it holds no older one.
func (w *World) remembered() *World {
	old := *w
	old.kept, old.keptAt, old.findings = persist.Map[string, []*keptDestination]{}, persist.Map[string, []*keptDestination]{}, persist.Map[string, []object.Finding]{}
	return &old
}

func compareKept(a, b *keptDestination) int {
	return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.port, b.port), cmp.Compare(a.subset, b.subset))
}

// keep replaces the entry of a destination in the indexes; nil takes it out.
func (b *builder) keep(old, next *keptDestination) {
	is := func(k *keptDestination) bool { return k == old }
	for _, k := range []*keptDestination{old, next} {
		if k == nil {
			continue
		}
		var value **keptDestination
		if k == next {
			value = &next
		}
		b.world.kept = persist.Listed(b.world.kept, k.host, is, value, compareKept)
		b.world.keptAt = persist.Listed(b.world.keptAt, k.at, is, value, compareKept)
		for _, host := range []string{k.host, k.at} {
			b.dirtyHost(host)
		}
	}
	if old != nil {
		delete(b.holds.kept, old.destination)
		bump(b.holds.keptBy, old.payer, -1)
	}
	if next != nil {
		b.holds.kept[next.destination] = next
		bump(b.holds.keptBy, next.payer, 1)
	}
}

// settleKept finds what the pass took away while routes in force name it, and
// lets go of what none names any more, or whose time is over.
func (b *builder) settleKept(now time.Time, hold time.Duration) {
	if b.last == nil {
		return
	}
	hosts := map[string]struct{}{}
	for host, touch := range b.dirty.Hosts {
		if touch == TouchHost {
			hosts[host] = struct{}{}
		}
	}
	if b.dirty.All {
		for host := range b.leads.clients {
			hosts[host] = struct{}{}
		}
	}
	is, was := newSights(&b.world), newSights(b.last)
	for _, k := range slices.SortedFunc(maps.Values(b.holds.kept), compareKept) {
		_, changed := hosts[k.host]
		_, freed := b.leads.freed[k.host]
		switch {
		case hold == 0 || !now.Before(k.until):
			b.keep(k, nil)
		case (changed || freed) && !b.stillNeeded(k, is):
			b.keep(k, nil)
		}
	}
	if hold == 0 {
		return
	}
	for host := range hosts {
		b.keepLost(host, is, was, now.Add(hold))
	}
	for host := range hosts { // whether it is needed may have changed for some clients
		entries, _ := b.world.kept.Get(host)
		for _, k := range entries {
			b.dirty.host(k.at, TouchHost)
		}
	}
}

// stillNeeded tells whether a route in force names what is kept, and that it
// is not there for all for whom it went.
func (b *builder) stillNeeded(k *keptDestination, is *sights) bool {
	for _, c := range k.clients {
		named := b.leads.has(k.destination, c)
		if c.role == RoleSidecar {
			named = b.leads.has(k.destination, anyone)
		}
		if named && !is.there(k.destination, []client{c}) {
			return true
		}
	}
	return false
}

// keepLost keeps what of a host the pass took from the clients whose routes
// name it.
func (b *builder) keepLost(host string, is, was *sights, until time.Time) {
	lookers := b.leads.clients[host]
	if len(lookers) == 0 {
		return
	}
	of := make(map[client]bool, len(lookers))
	for c := range lookers {
		of[c] = true
	}
	if len(b.holds.ruled) > 0 { // clients with a rule of their own see other subsets than the route's owner
		object.EachPattern(host, func(pattern string) bool {
			for ns := range b.holds.ruled[pattern] {
				of[client{RoleSidecar, ns}] = true
			}
			return true
		})
	}
	for c := range of {
		before, after := was.reach(c, host), is.reach(c, host)
		if before.service == nil || before.service == after.service && before.rule == after.rule {
			continue
		}
		for _, d := range gone(host, before, after) {
			asked := c
			if lookers[c] == 0 {
				asked = anyone
			}
			if !b.leads.has(d, asked) {
				continue
			}
			b.keepOne(d, c, before.service, until)
		}
	}
}

func (b *builder) keepOne(d destination, c client, s *registry.Service, until time.Time) {
	k := b.holds.kept[d]
	if k != nil {
		if slices.Contains(k.clients, c) {
			return
		}
		next := *k
		next.clients = append(slices.Clone(k.clients), c)
		b.keep(k, &next)
		return
	}
	if len(b.holds.kept) >= mostKept || b.holds.keptBy[s.Namespace] >= mostKeptOfNamespace {
		return
	}
	if b.holds.memory == nil {
		b.holds.memory = b.last.remembered()
	}
	b.keep(nil, &keptDestination{destination: d, at: s.Host, since: b.holds.memory, clients: []client{c}, payer: s.Namespace, until: until})
}

// gone are the destinations on a host that led somewhere before and lead
// nowhere after.
func gone(host string, before, after reach) (out []destination) {
	ports, subsets := map[uint32]bool{}, map[string]bool{"": true}
	if after.service != nil {
		ports[0] = true
		for _, p := range after.service.Ports {
			ports[p.Number] = true
		}
	}
	had := []string{""}
	if before.rule != nil {
		for _, s := range before.rule.Subsets {
			had = append(had, s.Name)
		}
	}
	if after.rule != nil {
		for _, s := range after.rule.Subsets {
			subsets[s.Name] = true
		}
	}
	var less []string
	for _, s := range had {
		if !subsets[s] {
			less = append(less, s)
		}
	}
	add := func(port uint32) {
		names := less
		if !ports[port] {
			names = had
		}
		for _, s := range names {
			out = append(out, destination{host, port, s})
		}
	}
	add(0)
	for _, p := range before.service.Ports {
		add(p.Number)
	}
	return out
}
