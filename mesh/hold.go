package mesh

import (
	"maps"
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// Bounds of what is held back and kept. What is beyond them goes out at once.
const (
	mostHeld            = 10000 // routes in all
	mostHeldOfNamespace = 1000
	mostKept            = 10000 // destinations in all
	mostKeptOfNamespace = 1000
	// mostWaits is for how many hosts a route may wait: one that names more that
	// are not there is not held back.
	mostWaits = 200
)

// hold is a route whose newest version waits for a destination that it names.
type hold struct {
	next  any // *traffic.VirtualService, *gatewayapi.Route or *gatewayapi.Ingress
	until time.Time
	waits []string // hosts that it waits for
	// grants: it may also be a ReferenceGrant that it waits for.
	grants bool
}

// holds are what building keeps of routes that wait, and of destinations that
// are kept. Before the first World is published there is nothing to hold on to.
type holds struct {
	routes  map[object.Ref]*hold
	of      map[string]int                     // how many, by namespace
	waiting map[string]map[object.Ref]struct{} // by host that they wait for
	granted bool                               // ReferenceGrants changed in this pass

	placed map[object.Ref][]*traffic.VirtualService // VirtualServices in the indexes: while one is held, its last version for the hosts concerned
	// before is what was in force of the routes that changed in this pass.
	before map[object.Ref]any

	kept   map[destination]*keptDestination
	keptBy map[string]int                 // how many, by the namespace of what is gone
	ruled  map[string]map[string]struct{} // namespaces whose DestinationRules changed in this pass, by their host
	memory *World                         // the last World, as what this pass takes away remembers it
}

func newHolds() holds {
	return holds{
		routes: map[object.Ref]*hold{}, of: map[string]int{}, waiting: map[string]map[object.Ref]struct{}{}, placed: map[object.Ref][]*traffic.VirtualService{}, before: map[object.Ref]any{},
		kept: map[destination]*keptDestination{}, keptBy: map[string]int{}, ruled: map[string]map[string]struct{}{},
	}
}

// heldRoute is a route whose newest version may have to wait.
type heldRoute interface {
	// torn is what the newest version waits for before it can be served where
	// something was served; nil: nothing.
	torn(j *judge) *waits
	// hold puts the last version in force where the newest has to wait, release
	// the newest everywhere.
	hold()
	release()
	// newest is the version that waits.
	newest() any
}

// waits is what a route waits for.
type waits struct {
	hosts  []string
	grants bool
}

// judge decides in one pass.
type judge struct {
	*builder
	is, was *sights
	// hosts that gateways served before, by "namespace/name"; made when asked for.
	gatewayHosts map[string]*object.HostSet
}

// due is when there is something to do without another change: the first hold is over, or
// roots wait for their turn. Zero: nothing waits.
func (b *builder) due() (first time.Time) {
	at := func(t time.Time) {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	for _, h := range b.holds.routes {
		at(h.until)
	}
	for _, k := range b.holds.kept {
		at(k.until)
	}
	if len(b.delegated.again)+len(b.turns.left) > 0 {
		at(b.clock())
	}
	return first
}

// settleHolds decides which of the routes that changed, or waited for what
// changed, are in force as they are now.
func (b *builder) settleHolds(now time.Time, patience time.Duration) {
	if b.last == nil {
		return
	}
	j := &judge{builder: b, is: newSights(&b.world), was: newSights(b.last), gatewayHosts: map[string]*object.HostSet{}}
	for _, ref := range slices.SortedFunc(maps.Keys(b.concernedHolds(now)), object.CompareRefs) {
		route := b.heldRoute(ref)
		h := b.holds.routes[ref]
		if route == nil { // it is gone
			b.unhold(ref)
			continue
		}
		w := route.torn(j)
		if w == nil || patience == 0 || h != nil && !now.Before(h.until) || h == nil && !b.holds.room(ref.Namespace) {
			route.release()
			b.unhold(ref)
			continue
		}
		until := now.Add(patience)
		if h != nil {
			until = h.until // however often it changes
		}
		route.hold()
		b.setHold(ref, &hold{next: route.newest(), until: until, waits: w.hosts, grants: w.grants})
	}
}

// concernedHolds are the routes that changed in this pass, and those held ones
// whose time is over or that wait for something that changed.
func (b *builder) concernedHolds(now time.Time) map[object.Ref]struct{} {
	out := map[object.Ref]struct{}{}
	for ref := range b.holds.before {
		out[ref] = struct{}{}
	}
	for ref, h := range b.holds.routes {
		if b.dirty.All || !now.Before(h.until) || h.grants && b.holds.granted {
			out[ref] = struct{}{}
		}
	}
	if len(b.holds.waiting) == 0 {
		return out
	}
	for host := range b.dirty.Hosts {
		for ref := range b.holds.waiting[host] {
			out[ref] = struct{}{}
		}
	}
	return out
}

func (h *holds) room(namespace string) bool {
	return len(h.routes) < mostHeld && h.of[namespace] < mostHeldOfNamespace
}

func (b *builder) setHold(ref object.Ref, h *hold) {
	b.unhold(ref)
	b.holds.routes[ref] = h
	bump(b.holds.of, ref.Namespace, 1)
	for _, host := range h.waits {
		if b.holds.waiting[host] == nil {
			b.holds.waiting[host] = map[object.Ref]struct{}{}
		}
		b.holds.waiting[host][ref] = struct{}{}
	}
}

// unhold forgets that a route was held.
func (b *builder) unhold(ref object.Ref) {
	h := b.holds.routes[ref]
	if h == nil {
		return
	}
	delete(b.holds.routes, ref)
	bump(b.holds.of, ref.Namespace, -1)
	for _, host := range h.waits {
		if delete(b.holds.waiting[host], ref); len(b.holds.waiting[host]) == 0 {
			delete(b.holds.waiting, host)
		}
	}
}

// remember ends a pass: the next one compares itself with this World.
func (b *builder) remember(w *World) {
	clear(b.holds.before)
	clear(b.holds.ruled)
	clear(b.leads.freed)
	b.holds.granted, b.holds.memory = false, nil
	if b.holding {
		b.last = w
	}
}

// heldRoute is the route of an object that changed or waits; nil when there is
// none any more.
func (b *builder) heldRoute(ref object.Ref) heldRoute {
	h, waiting := b.holds.routes[ref]
	before, changed := b.holds.before[ref]
	switch ref.Kind {
	case object.KindVirtualService:
		next, _ := b.world.virtualServices.Get(ref.Namespace + "/" + ref.Name)
		if next == nil {
			return nil
		}
		r := &heldVirtualService{builder: b, ref: ref, next: next, before: b.holds.placed[ref]}
		if changed {
			r.before, _ = before.([]*traffic.VirtualService)
		}
		return r
	case object.KindIngress:
		r := &heldIngress{builder: b, ref: ref, next: b.ingresses.all[ref], before: b.ingresses.all[ref]}
		if changed {
			r.before, _ = before.(*gatewayapi.Ingress)
		} else if waiting {
			r.next, _ = h.next.(*gatewayapi.Ingress)
		}
		if r.next == nil {
			return nil
		}
		return r
	}
	now := b.world.api.Route(ref)
	r := &heldAPIRoute{builder: b, ref: ref, next: now, before: now}
	if changed {
		r.before, _ = before.(*gatewayapi.Route)
	} else if waiting {
		r.next, _ = h.next.(*gatewayapi.Route)
	}
	if r.next == nil {
		return nil
	}
	return r
}

// rule notes that a DestinationRule changed in this pass.
func (h *holds) rule(r *traffic.DestinationRule) {
	if h.ruled[r.Host] == nil {
		h.ruled[r.Host] = map[string]struct{}{}
	}
	h.ruled[r.Host][r.Namespace] = struct{}{}
}

// changing notes what was in force of a route before it changes in this pass.
func (b *builder) changing(ref object.Ref, inForce any) {
	if _, noted := b.holds.before[ref]; !noted {
		b.holds.before[ref] = inForce
	}
}

// missing are the destinations that lead nowhere for all of the clients and did
// not do so before: what went in this pass is kept, and what the last version
// named already is known to lead nowhere.
func (j *judge) missing(to, before []destination, clients []client) (out []destination) {
	known := make(map[destination]struct{}, len(before))
	for _, d := range before {
		known[d] = struct{}{}
	}
	for _, d := range to {
		if _, done := known[d]; !done && !j.is.there(d, clients) && !j.was.served(d, clients) {
			out = append(out, d)
		}
		known[d] = struct{}{}
	}
	return out
}

// waitFor adds the hosts of destinations; false when they are too many.
func (w *waits) waitFor(missing []destination) bool {
	for _, d := range missing {
		if !slices.Contains(w.hosts, d.host) { // they are few
			w.hosts = append(w.hosts, d.host)
		}
		if len(w.hosts) > mostWaits {
			return false
		}
	}
	return true
}
