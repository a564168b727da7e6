package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// Bounds of what a Pass names. What is beyond them is only counted.
const (
	// mostTouched is how many resources are named.
	mostTouched = 50
	// mostPlaces is how many workloads are named, or, of more workloads, namespaces.
	mostPlaces = 64
	// mostCompared is how many resources are told apart, and mostPairs between how many
	// revisions: a change of the whole mesh is one of the whole mesh.
	mostCompared, mostPairs = 10_000, 1000
)

// Pass is what one Update has published to the proxies that were connected. It does not
// change, but for how far these are with it, and keeps no resource.
type Pass struct {
	// At is when it was published.
	At time.Time
	// Proxies is how many see something else than before, certificates aside.
	Proxies int
	// Workloads are theirs, without a kind and in order, unless they are more than 64: then
	// it is nil, and Namespaces are those that they are in, unless these are more than 64.
	Workloads  []object.Ref
	Namespaces []string
	// Added, Changed and Removed count resources that are other ones for some proxy. More
	// says that counting stopped, at some 10,000.
	Added, Changed, Removed int
	More                    bool
	// Resources are the first 50 of them, by type and name.
	Resources []Touched
	// Bytes is what all these proxies are sent at most: the size of the resources that are
	// new for each.
	Bytes int64

	accepting *accepting
}

// Touched is a resource that a pass has made another one.
type Touched struct {
	Key
	Change string // added, changed or removed
}

// Acceptance is how far the proxies are with what a pass has published to them.
type Acceptance struct {
	Waiting int           // have not accepted it, or refused a part of it, yet
	Took    time.Duration // until the last one that did had done so
	Left    int           // have gone before they did
	Late    int           // have not until 32 later changes concerned them
}

// Accepted is how far the proxies are by now. Safe for concurrent use.
func (p *Pass) Accepted() Acceptance { return p.accepting.now() }

// concerned takes down what a pass does to proxies while it is published. What costs
// something for each proxy is done for those only that are not like others.
type concerned struct {
	at         time.Time
	accept     *accepting
	proxies    int
	seen       map[revisions]int // by how many proxies
	more       bool              // they are too many
	workloads  map[object.Ref]struct{}
	namespaces map[string]struct{}
}

// revisions are those of one layer, before and after.
type revisions struct{ before, after *Revision }

// newConcerned is made while nothing else is published: what is published later has a later
// time.
func newConcerned() *concerned {
	now := time.Now()
	return &concerned{at: now, accept: &accepting{at: now}, seen: map[revisions]int{}, workloads: map[object.Ref]struct{}{}, namespaces: map[string]struct{}{}}
}

// shared takes down what all proxies of a scope see in place of something else.
func (c *concerned) shared(scope mesh.Scope, proxies int, before, after Stack) {
	if proxies <= 0 || before == after { // those that learn may be counted where they were
		return
	}
	c.place(scope.Namespace)
	for layer := range numLayers {
		c.layer(before[layer], after[layer], proxies)
	}
}

// show publishes the stack to a proxy, who is waited for if it sees more than another
// certificate.
func (c *concerned) show(a *attached, stack Stack) {
	before := a.view.Current()
	if before == stack {
		return
	}
	seen := stack
	seen[LayerSecrets] = before[LayerSecrets]
	if seen == before {
		a.view.Publish(stack)
		return
	}
	c.proxies++
	w := a.proxy.Workload
	if len(c.workloads) <= mostPlaces {
		c.workloads[object.Ref{Namespace: w.Namespace, Name: w.Owner}] = struct{}{}
	}
	alone := before[LayerInbound] != stack[LayerInbound] || before[LayerLife] != stack[LayerLife]
	if alone || a.moved {
		c.place(w.Namespace)
		c.layer(before[LayerInbound], stack[LayerInbound], 1)
		c.layer(before[LayerLife], stack[LayerLife], 1)
	}
	if a.moved || a.learned != nil {
		c.place(w.Namespace)
		c.layer(before[LayerOutbound], stack[LayerOutbound], 1)
		c.layer(before[LayerBase], stack[LayerBase], 1)
		a.moved = false
	}
	a.view.publish(stack, c.at, c.accept)
}

func (c *concerned) place(namespace string) {
	if len(c.namespaces) <= mostPlaces {
		c.namespaces[namespace] = struct{}{}
	}
}

func (c *concerned) layer(before, after *Revision, proxies int) {
	if before == after {
		return
	}
	r := revisions{before, after}
	if _, known := c.seen[r]; known || len(c.seen) < mostPairs {
		c.seen[r] += proxies
	} else {
		c.more = true
	}
}

// pass says what was published.
func (c *concerned) pass() *Pass {
	p := &Pass{At: c.at, Proxies: c.proxies, More: c.more, accepting: c.accept}
	if len(c.workloads) <= mostPlaces {
		p.Workloads = slices.SortedFunc(maps.Keys(c.workloads), object.CompareRefs)
	} else if len(c.namespaces) <= mostPlaces {
		p.Namespaces = slices.Sorted(maps.Keys(c.namespaces))
	}
	p.compare(c.seen)
	return p
}

// compare says which resources differ.
func (p *Pass) compare(seen map[revisions]int) {
	changes := map[Key]string{}
	for r, proxies := range seen {
		for t := range NumTypes {
			if t == Secret { // of no interest, and secret
				continue
			}
			var one Stack
			other := one
			one[LayerOutbound], other[LayerOutbound] = r.before, r.after
			for _, d := range one.Diff(other, t) {
				change, size := changeOf(d)
				if change == "" {
					continue
				}
				p.Bytes += int64(size) * int64(proxies)
				key := Key{t, d.Name}
				switch known, ok := changes[key]; {
				case ok && known != change:
					changes[key] = "changed" // of one for some, of another for others
				case ok || len(changes) < mostCompared:
					changes[key] = change
				default:
					p.More = true
				}
			}
		}
	}
	for _, change := range changes {
		switch change {
		case "added":
			p.Added++
		case "changed":
			p.Changed++
		case "removed":
			p.Removed++
		}
	}
	keys := slices.SortedFunc(maps.Keys(changes), func(a, b Key) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name)) })
	for _, k := range keys[:min(len(keys), mostTouched)] {
		p.Resources = append(p.Resources, Touched{k, changes[k]})
	}
}

// changeOf says what became of a resource of one layer, and the size of the new one; ""
// when it is hidden and there was nothing of its own.
func changeOf(d Difference) (change string, size int) {
	was, is := d.Old != nil && !d.Old.Hidden(), d.New != nil && !d.New.Hidden()
	if is {
		size = d.New.size()
	}
	switch {
	case was && is:
		return "changed", size
	case is && d.Old == nil:
		return "added", size
	case is:
		return "changed", size // it showed through from below, or was hidden
	case was || d.New != nil:
		return "removed", 0
	}
	return "", 0
}
