package mesh

import (
	"maps"
	"slices"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// builder is the writer's side of the world: the indexes that only building
// needs, and the next World while it is made. One goroutine uses it.
type builder struct {
	world World
	dirty *Dirty
	kinds map[object.Kind]kind

	nodes      map[string]*corev1.Node
	renumbered bool                                                        // addresses of nodes are others than the world's
	zones      map[nodeIn]map[object.Ref]string                            // zones of nodes by what EndpointSlices say of them
	zonesBy    map[object.Ref]map[string]string                            // the same by EndpointSlice and node
	pods       map[string]map[string]*registry.Workload                    // by namespace and name
	entries    map[string]map[string]*registry.Workload                    // WorkloadEntries by namespace and name
	services   map[string]map[string]*registry.Service                     // Kubernetes Services by namespace and name
	raw        map[object.Ref]*corev1.Service                              // for a change of a namespace's annotation
	slices     map[string]map[string]map[string]*discoveryv1.EndpointSlice // by namespace, service and name
	sliceOf    map[object.Ref]string                                       // the service of each of them
	declared   map[string]map[object.Ref]*registry.ServiceEntry            // ServiceEntries by host
	seByRef    map[object.Ref]*registry.ServiceEntry
	ruleByRef  map[object.Ref]*traffic.DestinationRule
	rulesOf    map[string]map[object.Ref]*traffic.DestinationRule // by host
	vsRaw      map[object.Ref]*networkingv1.VirtualService        // as delivered; delegates are merged over it
	asks       map[object.Ref][]traffic.Ask
	configs    map[object.Kind]*Config
	discovery  discovery
	api        *gatewayapi.Builder
	apiRules   map[object.Ref][]*traffic.VirtualService // made of routes of the Gateway API, by Service
	ingresses  ingresses

	targeted     map[object.Ref]targeted // policies with references
	targetsStale bool                    // what is found about them may have changed, all of them
	targetsIn    object.Set              // or those of these namespaces
	modesIn      object.Set              // namespaces with other PeerAuthentications than before
	addressed    bool                    // some Service changed
	overlaps     overlaps
	boundStale   map[object.Ref]struct{} // VirtualServices whose hosts or Gateways have changed

	admitted    map[object.Ref]struct{} // objects of kinds with bounds that are in force as they were within them
	allowances  map[allowanceKey]*allowance
	crowdedKeys []allowanceKey // of those of which objects wait for the end of the pass
	covered     covered
	askedOwn    bool       // world.asked is of this pass, and no World has it yet
	unmerged    object.Set // hosts whose rules changed in the pass
	ruled       ruled
	delegated   delegated
	exported    exported

	clock   func() time.Time
	holding bool   // routes may be held back
	last    *World // with holding, the one that was finished before; nil: none
	holds   holds
	leads   leads

	holders map[string][]*registry.Workload // who says to have an address, the likeliest last
	uses    map[string]map[string]struct{}  // names and addresses beyond its own objects by the host whose record was made with them
	usedBy  map[string]map[string]struct{}  // the hosts by each of these
	ranges  ranges

	headlessIn map[string]struct{} // namespaces in which headless services came, went or changed
	passedOn   map[string]struct{} // addresses that others may serve directly than before

	lookedUp map[string]struct{}           // names and addresses that the record which is being made was made with
	heldBy   map[string]*registry.Workload // what was found of it: holderIn by namespace and address
	turns    hostTurns
	shares   endpointShares
	touched  map[string]touched  // hosts whose record has to be made again
	spread   map[string]struct{} // hosts whose change has been carried on to what reads them

	marked   map[*traffic.VirtualService]bool     // whose hosts have been marked in this pass; true: as those of one that changed itself
	replaced map[*traffic.VirtualService]struct{} // whose hosts' places have been marked in this pass
}

func newBuilder() *builder {
	b := &builder{
		kinds: kinds(), dirty: newDirty(), nodes: map[string]*corev1.Node{}, zones: map[nodeIn]map[object.Ref]string{}, zonesBy: map[object.Ref]map[string]string{}, pods: map[string]map[string]*registry.Workload{}, entries: map[string]map[string]*registry.Workload{},
		services: map[string]map[string]*registry.Service{}, raw: map[object.Ref]*corev1.Service{}, slices: map[string]map[string]map[string]*discoveryv1.EndpointSlice{}, sliceOf: map[object.Ref]string{},
		declared: map[string]map[object.Ref]*registry.ServiceEntry{}, seByRef: map[object.Ref]*registry.ServiceEntry{}, ruleByRef: map[object.Ref]*traffic.DestinationRule{}, unmerged: object.Set{}, rulesOf: map[string]map[object.Ref]*traffic.DestinationRule{},
		vsRaw: map[object.Ref]*networkingv1.VirtualService{}, asks: map[object.Ref][]traffic.Ask{}, configs: map[object.Kind]*Config{}, discovery: newDiscovery(), apiRules: map[object.Ref][]*traffic.VirtualService{}, ingresses: newIngresses(),
		targeted: map[object.Ref]targeted{}, targetsIn: object.Set{}, modesIn: object.Set{}, overlaps: newOverlaps(), admitted: map[object.Ref]struct{}{}, allowances: map[allowanceKey]*allowance{}, covered: newCovered(), touched: map[string]touched{}, spread: map[string]struct{}{}, marked: map[*traffic.VirtualService]bool{}, replaced: map[*traffic.VirtualService]struct{}{}, clock: time.Now, holds: newHolds(), leads: newLeads(),
		holders: map[string][]*registry.Workload{}, uses: map[string]map[string]struct{}{}, usedBy: map[string]map[string]struct{}{}, ranges: ranges{}, headlessIn: map[string]struct{}{}, passedOn: map[string]struct{}{},
	}
	b.turns, b.shares = newHostTurns(), newEndpointShares()
	b.boundStale, b.ruled, b.delegated = map[object.Ref]struct{}{}, newRuled(), newDelegated()
	b.exported, b.api = newExported(), gatewayapi.NewBuilder(&b.world.api)
	b.world = World{Config: DefaultConfig(), sidecars: map[string][]*traffic.Sidecar{}, spaces: map[string]map[string]string{}, asked: &asked{}}
	return b
}

// apply takes changes in, one after the other.
func (b *builder) apply(changes []Change) {
	for _, c := range changes {
		b.change(c)
	}
}

// change takes in one change of what the mesh discovers.
func (b *builder) change(c Change) {
	if o, ok := c.Object.(*corev1.Pod); ok {
		c.Object = b.servedBy(o)
	}
	if b.discovered(c) {
		b.admit(c)
	}
}

// within tells whether there is something to take in of a change whose object may be over
// a bound: then what was in force before stays, and where there was nothing, what keeps
// closed what the object would close.
func (b *builder) within(c *Change) bool {
	if c.Object == nil {
		delete(b.admitted, c.Ref)
		b.foundAs(c.Ref, "bounds", nil)
		return true
	}
	over := bounds.Check(c.Ref, c.Object)
	if len(over) == 0 {
		if bounds.Bounded(c.Ref.Kind) {
			b.admitted[c.Ref] = struct{}{}
			b.foundAs(c.Ref, "bounds", nil)
		}
		return true
	}
	if _, before := b.admitted[c.Ref]; before {
		b.foundAs(c.Ref, "bounds", over)
		return false
	}
	c.Object = bounds.Restricted(c.Object)
	b.foundAs(c.Ref, "bounds", over)
	return true
}

// admit takes in one change, as far as its object is within the bounds of its own and of
// its namespace.
func (b *builder) admit(c Change) {
	if b.within(&c) {
		b.shared(c)
	}
}

// take hands one change that is within all bounds to what its kind does. What of it others
// are to see may change until the pass ends.
func (b *builder) take(c Change) {
	if c.Ref.Kind == object.KindService || c.Ref.Kind == object.KindServiceEntry {
		c = b.exporting(c)
	}
	b.dispatch(c)
}

// dispatch hands a change to what its kind does.
func (b *builder) dispatch(c Change) {
	if k := b.kinds[c.Ref.Kind]; k.apply != nil {
		k.apply(b, c.Ref, c.Object)
	}
}

// finish makes the World of what was applied since the last call, and says
// what it changed.
func (b *builder) finish() (*World, *Dirty) {
	now := b.clock()
	b.settleNodes()
	b.settleMerged() // before others read the rules
	b.settleAllowances()
	b.settleDelegates()
	b.settleExports()
	b.touchLeft()
	b.settleRecords()
	if b.settlePods() { // which the records of hosts tell
		b.settleExports()
		b.settleRecords()
	}
	b.settleSubsets()
	b.settleMerged() // those of which it took subsets away, or gave them back
	b.settleRules()
	b.settleHeadless()
	b.settleModes()
	b.settleHolds(now, b.world.Config.RouteHold)
	b.settleGatewayAPI()
	b.settleIngresses()
	b.settleTargets()
	b.settleOverlaps()
	b.settleBound()
	b.settleKept(now, b.world.Config.RouteHold)
	b.dirtyTargets()
	b.settlePassedOn() // of what the steps above marked
	dirty := b.dirty
	b.dirty = newDirty()
	clear(b.spread)
	clear(b.marked)
	clear(b.replaced)
	b.turns.endTurns()
	b.askedOwn = false
	b.world.Generation++
	w := b.world
	b.remember(&w)
	return &w, dirty
}

// found replaces what parsing knows to be wrong with an object.
func (b *builder) found(ref object.Ref, findings []object.Finding) { b.foundAs(ref, "", findings) }

// foundAs replaces what one step of building knows to be wrong with an object.
func (b *builder) foundAs(ref object.Ref, step string, findings []object.Finding) {
	key := ref.String() + "\x00" + step
	before, _ := b.world.findings.Get(key)
	if len(findings) > 0 {
		findings = object.BoundFindings(findings)
	}
	switch {
	case slices.Equal(before, findings):
		return
	case len(findings) == 0:
		b.world.findings = b.world.findings.Delete(key)
	default:
		b.world.findings = b.world.findings.Set(key, findings)
	}
	b.dirty.Status = true
}

func put[A, B comparable, V any](m map[A]map[B]V, a A, b B, v V) {
	if m[a] == nil {
		m[a] = map[B]V{}
	}
	m[a][b] = v
}

func remove[A, B comparable, V any](m map[A]map[B]V, a A, b B) {
	delete(m[a], b)
	if len(m[a]) == 0 {
		delete(m, a)
	}
}

// setAsks replaces what an object asks for.
func (b *builder) setAsks(ref object.Ref, asks []traffic.Ask) {
	if len(asks) == 0 && len(b.asks[ref]) == 0 {
		return
	}
	old := b.asks[ref]
	if slices.EqualFunc(old, asks, func(x, y traffic.Ask) bool {
		return x.Key == y.Key && x.Locality == y.Locality && x.Node == y.Node && x.Network == y.Network && maps.Equal(x.Selector, y.Selector)
	}) {
		return
	}
	next := b.world.asked
	if !b.askedOwn { // the World of the pass before has it
		next = next.clone()
		b.world.asked, b.askedOwn = next, true
	}
	next.count(old, -1)
	next.count(asks, 1)
	if len(asks) == 0 {
		delete(b.asks, ref)
	} else {
		b.asks[ref] = asks
	}
	b.dirty.Scopes = true
}

func (a *asked) clone() *asked {
	next := &asked{selectors: maps.Clone(a.selectors), keys: maps.Clone(a.keys), locality: a.locality, node: a.node, network: a.network}
	if next.selectors == nil {
		next.selectors, next.keys = map[string]askedSelector{}, map[string]int{}
	}
	return next
}

func (a *asked) count(asks []traffic.Ask, n int) {
	for _, x := range asks {
		if x.Selector != nil {
			text := object.CanonicalLabels(x.Selector)
			s := askedSelector{x.Selector, a.selectors[text].count + n}
			if a.selectors[text] = s; s.count == 0 {
				delete(a.selectors, text)
			}
		}
		if x.Key != "" {
			if a.keys[x.Key] += n; a.keys[x.Key] == 0 {
				delete(a.keys, x.Key)
			}
		}
		if x.Locality {
			a.locality += n
		}
		if x.Node {
			a.node += n
		}
		if x.Network {
			a.network += n
		}
	}
}
