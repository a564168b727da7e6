package mesh

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-mesh/fairway/mesh/object"
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
	work   int // of the record that is being made
	left   map[string]leftHost
	costs  map[string]int    // of heavy hosts, when they were made last
	served map[string]uint64 // the pass in which a heavy host of the namespace was made last, of namespaces with hosts that are left
	spent  map[string]int    // in this pass, by namespace
	heavy  int               // in this pass, by heavy hosts
}

// leftHost is a host that waits.
type leftHost struct {
	touch Touch
	since uint64 // the pass in which it was marked
}

func newHostTurns() hostTurns {
	return hostTurns{left: map[string]leftHost{}, costs: map[string]int{}, served: map[string]uint64{}, spent: map[string]int{}}
}

// touchLeft marks the hosts that former passes have left.
func (b *builder) touchLeft() {
	for name, l := range b.turns.left {
		b.touch(name, l.touch)
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
	for name := range b.touched {
		p := place{since: t.pass + 1, name: name}
		if l, is := t.left[name]; is {
			p.since = l.since
		}
		for i, ns := range b.declarers(name) {
			if served := t.served[ns]; i == 0 || served < p.served {
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

// declarers are the namespaces whose objects declare the host, those that pay for it. The
// namespace in its name is one of them only if its Service is there, or was: a ServiceEntry
// may have any name.
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

// leave tells whether a host waits for the next pass: all namespaces that declare it have
// had their share, or it is heavy, and heavy hosts have had theirs.
func (b *builder) leave(host string, touch Touch) bool {
	t := &b.turns
	of, cost := b.declarers(host), t.costs[host]
	full := t.on && len(of) > 0 && !slices.ContainsFunc(of, func(ns string) bool { return t.spent[ns] == 0 || t.spent[ns]+cost <= hostShare })
	if !full && (!t.on || cost < heavyHost || t.heavy == 0 || t.heavy+cost <= hostShare) {
		delete(t.left, host)
		return false
	}
	l, is := t.left[host]
	if !is {
		l.since = t.pass
	}
	l.touch = max(l.touch, touch)
	t.left[host] = l
	return true
}

// pay counts the work that the record of a host was.
func (b *builder) pay(host string) {
	t := &b.turns
	cost := t.work
	t.work = 0
	if cost == 0 && t.costs[host] == 0 {
		return
	}
	of := b.declarers(host)
	for _, ns := range of {
		t.spent[ns] += cost
	}
	if cost < heavyHost {
		delete(t.costs, host)
		return
	}
	t.costs[host] = cost
	t.heavy += cost
	for _, ns := range of {
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

// waiting tells whether hosts wait that objects of the namespace declare.
func (b *builder) waiting() object.Set {
	out := object.Set{}
	for host := range b.turns.left {
		for _, ns := range b.declarers(host) {
			out.Add(ns)
		}
	}
	return out
}
