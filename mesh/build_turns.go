package mesh

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// The work of a pass for the endpoints of hosts, in endpoints of clusters. One workload may
// be behind all services of its namespace, so that a small change is much work: what is too
// much for one pass is left to the next ones, which follow at once.
const (
	hostShare = 10_000         // of the hosts of one namespace, and of all hosts that are heavy
	heavyHost = hostShare / 10 // a host that no pass takes in beside much else
	glance    = 8              // workloads that are looked at cost as much as one endpoint
	glanceSum = 64             // hosts of which the wants are added up as well
)

// hostTurns says which hosts' records wait for a later pass.
type hostTurns struct {
	on     bool // since there is a World; the first one holds all there is
	pass   uint64
	left   map[string]leftHost
	costs  map[string]cost   // of heavy hosts, when they were made last
	served map[string]uint64 // the pass in which a heavy host of the namespace was made last, of namespaces with hosts that are left
	spent  map[string]int    // in this pass, by namespace
	heavy  int               // in this pass, by heavy hosts

	// Of the record that is being made.
	owner string
	work  cost
}

// cost is the work that a record is: of all that its objects give it, and of what those of
// its owner do.
type cost struct{ all, owners int }

// leftHost is a host that waits.
type leftHost struct {
	touched
	since uint64 // the pass in which it was marked
}

// touched is a host whose record has to be made again, how deep it may differ, and by whose
// objects: their namespaces pay for the work, whatever the host is called.
type touched struct {
	Touch
	by []cause // each once
}

// cause is a kind of objects of a namespace that has hosts made again. The kind is empty
// when it is no object's doing that somebody waits for.
type cause struct {
	namespace string
	kind      object.Kind
}

func newHostTurns() hostTurns {
	return hostTurns{left: map[string]leftHost{}, costs: map[string]cost{}, served: map[string]uint64{}, spent: map[string]int{}}
}

// touch marks a host whose record has to be made again.
func (b *builder) touch(host string, t Touch, by ...cause) {
	x := b.touched[host]
	x.Touch = max(x.Touch, t)
	for _, c := range by {
		if !slices.Contains(x.by, c) {
			x.by = append(x.by, c)
		}
	}
	b.touched[host] = x
}

// touchUser marks a host that nobody changed: what its objects look at did, in the namespace.
// That pays if it declares the host. Else those do that look at the place of another: guests
// of the host's owner, or he himself.
func (b *builder) touchUser(host, namespace string) {
	of := b.declarers(host)
	if slices.Contains(of, namespace) {
		of = []string{namespace}
	} else if owner := b.ownerOf(host); len(of) > 1 {
		of = slices.DeleteFunc(of, func(ns string) bool { return ns == owner })
	}
	for _, ns := range of {
		b.touch(host, TouchEndpoints, cause{namespace: ns})
	}
}

// worked counts work for what objects of the namespace give to the record that is being made.
func (t *hostTurns) worked(namespace string, n int) {
	t.work.all += n
	if namespace == t.owner {
		t.work.owners += n
	}
}

// of is what a namespace pays that has the record made: the owner of the host for its own
// objects alone, others for all there is.
func (c cost) of(namespace, owner string) int {
	if namespace == owner {
		return c.owners
	}
	return c.all
}

// touchLeft marks the hosts that former passes have left.
func (b *builder) touchLeft() {
	for name, l := range b.turns.left {
		b.touch(name, l.Touch, l.by...)
	}
}

// inTurn are the hosts that were touched: those that have waited longest first, and before
// them those of namespaces whose heavy hosts have; of a host that several declare, the one
// that has waited longest counts.
func (b *builder) inTurn() []string {
	t := &b.turns
	if len(t.left) == 0 {
		return slices.Sorted(maps.Keys(b.touched))
	}
	type place struct {
		served, since uint64
		name          string
	}
	places := make([]place, 0, len(b.touched))
	for name, x := range b.touched {
		p := place{since: t.pass + 1, name: name}
		if l, is := t.left[name]; is {
			p.since = l.since
		}
		for i, c := range x.by {
			if served := t.served[c.namespace]; i == 0 || served < p.served {
				p.served = served
			}
		}
		places = append(places, p)
	}
	slices.SortFunc(places, func(x, y place) int {
		return cmp.Or(cmp.Compare(x.served, y.served), cmp.Compare(x.since, y.since), cmp.Compare(x.name, y.name))
	})
	out := make([]string, len(places))
	for i, p := range places {
		out[i] = p.name
	}
	return out
}

// ownerOf is the namespace of the host's Service, or of its oldest ServiceEntry; "" when
// nothing declares the host.
func (b *builder) ownerOf(host string) string {
	if base, ok := strings.CutSuffix(host, ".svc."+object.Domain); ok {
		if service, namespace, ok := strings.Cut(base, "."); ok && b.services[namespace][service] != nil {
			return namespace
		}
	}
	var oldest *registry.ServiceEntry
	for _, se := range b.declared[host] {
		if oldest == nil || object.Older(se.Created, se.Ref, oldest.Created, oldest.Ref) < 0 {
			oldest = se
		}
	}
	if oldest == nil {
		return ""
	}
	return oldest.Ref.Namespace
}

// declarers are the namespaces whose objects declare the host. The namespace in its name is
// one of them only if its Service is there, or was: a ServiceEntry may have any name.
func (b *builder) declarers(host string) (out []string) {
	if base, ok := strings.CutSuffix(host, ".svc."+object.Domain); ok {
		if service, namespace, ok := strings.Cut(base, "."); ok {
			old := b.world.Host(host)
			if b.services[namespace][service] != nil || old != nil && old.Services[0].Kubernetes() {
				out = append(out, namespace)
			}
		}
	}
	for ref := range b.declared[host] {
		if !slices.Contains(out, ref.Namespace) {
			out = append(out, ref.Namespace)
		}
	}
	slices.Sort(out)
	return out
}

// leave tells whether a host waits for the next pass: all namespaces that have it made again
// have had their share, or it is heavy, and heavy hosts have had theirs.
func (b *builder) leave(host string, x touched) bool {
	t := &b.turns
	cost, owner := t.costs[host], b.ownerOf(host)
	full := t.on && len(x.by) > 0 && !slices.ContainsFunc(x.by, func(c cause) bool {
		spent := t.spent[c.namespace]
		return spent == 0 || spent+cost.of(c.namespace, owner) <= hostShare
	})
	if !full && (!t.on || cost.all < heavyHost || t.heavy == 0 || t.heavy+cost.all <= hostShare) {
		delete(t.left, host)
		return false
	}
	l, is := t.left[host]
	if !is {
		l.since = t.pass
	}
	l.touched = x // which has what was left
	t.left[host] = l
	return true
}

// pay counts the work that the record of a host was for those that had it made.
func (b *builder) pay(host string, by []cause) {
	t := &b.turns
	if t.work.all == 0 && t.costs[host].all == 0 {
		return
	}
	paid := map[string]struct{}{}
	for _, c := range by {
		if _, has := paid[c.namespace]; !has {
			paid[c.namespace] = struct{}{}
			t.spent[c.namespace] += t.work.of(c.namespace, t.owner)
		}
	}
	if t.work.all < heavyHost {
		delete(t.costs, host)
		return
	}
	t.costs[host] = t.work
	t.heavy += t.work.all
	for ns := range paid {
		t.served[ns] = t.pass
	}
}

// endTurns ends a pass.
func (t *hostTurns) endTurns() {
	t.pass++
	t.heavy = 0
	clear(t.spent)
	if len(t.left) == 0 {
		clear(t.served)
	}
}

// waiting tells whether an object is not in force yet, since hosts that it has made again
// wait, or a VirtualService since it waits to be merged with its delegates. Others of the
// same kind and namespace are told apart from it by nobody, and wait with it.
func (b *builder) waiting() func(object.Ref) bool {
	waits := map[cause]struct{}{}
	for _, l := range b.turns.left {
		for _, c := range l.by {
			waits[c] = struct{}{}
		}
	}
	return func(ref object.Ref) bool {
		_, hosts := waits[cause{ref.Namespace, ref.Kind}]
		_, root := b.delegated.again[ref]
		return hosts || root
	}
}
