package discovery

import (
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// Delivery is how far the resources that were made of one object have come.
// Only proxies count that have had a complete configuration since they
// connected to this replica.
type Delivery struct {
	Proxies  int // that are to hold something made of the object
	Holding  int // of those, that have accepted all of it
	Settling bool
}

// settleTime is how long a proxy may take to accept a change before its delay
// is worth a word.
const settleTime = 5 * time.Second

// Deliveries counts, for every object of which something is made, the proxies
// that are to hold it and those that do. Settling says that some do not yet,
// and have had less than five seconds for it. Nothing is kept between calls:
// the count follows from the stacks that streams show and have acknowledged,
// and costs about what the distinct layers hold.
func (s *Server) Deliveries(now time.Time) map[object.Ref]Delivery {
	c := counter{
		objects: map[object.Ref]*counted{}, revisions: map[*snapshot.Revision]owned{}, bases: map[*snapshot.Revision]int{},
		overlays: map[overlayKey]*overlay{}, lacks: map[lackKey]map[object.Ref]struct{}{},
	}
	groups := map[snapshot.Stack]int{}
	for _, st := range s.open() {
		h, ok := st.holding(now)
		if !ok {
			continue
		}
		groups[h.latest]++
		c.lacking(h)
	}
	for stack, proxies := range groups {
		c.wanted(stack, proxies)
	}
	for base, proxies := range c.bases {
		for o := range c.owners(base) {
			c.object(o).wanted += proxies
		}
	}
	out := make(map[object.Ref]Delivery, len(c.objects))
	for o, n := range c.objects {
		if n.wanted > 0 {
			out[o] = Delivery{Proxies: n.wanted, Holding: n.wanted - n.lacking, Settling: n.settling}
		}
	}
	return out
}

// holding is what one proxy is to hold and what it holds, as values.
type holding struct {
	latest   snapshot.Stack // without the secrets of its identity, which no object owns
	acked    [snapshot.NumTypes]snapshot.Stack
	behind   bool
	settling bool
	refused  []object.Ref
}

// holding is false for a proxy that has not had a complete configuration yet.
func (st *stream) holding(now time.Time) (holding, bool) {
	h, complete := st.held(now)
	if !complete {
		return holding{}, false
	}
	return h, true
}

// held also tells what a proxy holds that has no complete configuration yet: of what it has
// not asked for nothing. It is zero before it is known who the proxy is.
func (st *stream) held(now time.Time) (h holding, complete bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.session
	if s == nil {
		return holding{}, false
	}
	h = holding{latest: s.latest, behind: !s.behind.IsZero() || !s.complete}
	h.settling = h.behind && now.Sub(s.behind) < settleTime
	if st.view != nil && st.view.Current() != s.latest { // published, and the stream has not woken yet
		h.settling = h.settling || !h.behind
		h.latest, h.behind = st.view.Current(), true
	}
	h.latest[snapshot.LayerSecrets] = nil
	s.refuses(func(r Refusal) { h.refused = append(h.refused, r.Owners...) })
	for t := range s.types {
		of := &s.types[t]
		if snapshot.Type(t) == snapshot.VirtualHost && s.form.inline { //nolint:gosec // NumTypes is small
			of = &s.types[snapshot.RouteConfig]
		}
		h.acked[t] = h.latest
		if of.subscribed || !s.complete {
			h.acked[t] = of.acked
			h.acked[t][snapshot.LayerSecrets] = nil
		}
	}
	return h, s.complete
}

// counter counts objects over stacks.
type counter struct {
	objects   map[object.Ref]*counted
	revisions map[*snapshot.Revision]owned
	bases     map[*snapshot.Revision]int // proxies that look at each base
	overlays  map[overlayKey]*overlay
	lacks     map[lackKey]map[object.Ref]struct{}
}

type counted struct {
	wanted, lacking int
	settling        bool
}

// owned is how many resources of a layer were made of each object.
type owned map[object.Ref]int

func (n owned) add(r *snapshot.Resource) {
	for _, o := range r.Owners {
		n[o]++
	}
}

func (c *counter) object(r object.Ref) *counted {
	n := c.objects[r]
	if n == nil {
		n = &counted{}
		c.objects[r] = n
	}
	return n
}

// owners are those of the resources of one layer.
func (c *counter) owners(rev *snapshot.Revision) owned {
	n, ok := c.revisions[rev]
	if ok {
		return n
	}
	n = owned{}
	for t := range snapshot.NumTypes {
		for r := range rev.All(t) {
			if !r.Hidden() {
				n.add(r)
			}
		}
	}
	c.revisions[rev] = n
	return n
}

type overlayKey struct{ outbound, base *snapshot.Revision }

// overlay is what an outbound layer does to the base below: objects of which it
// shows something, and of which it covers all that the base shows.
type overlay struct{ shown, covered owned }

func (c *counter) overlay(key overlayKey) *overlay {
	o := c.overlays[key]
	if o != nil {
		return o
	}
	o = &overlay{shown: c.owners(key.outbound), covered: owned{}}
	c.overlays[key] = o
	if key.base == nil {
		return o
	}
	for t := range snapshot.NumTypes {
		for r := range key.outbound.All(t) {
			if under := key.base.Get(t, r.Name); under != nil {
				o.covered.add(under)
			}
		}
	}
	for obj, n := range o.covered {
		if n < c.owners(key.base)[obj] {
			delete(o.covered, obj)
		}
	}
	return o
}

// wanted counts the proxies that look at one stack. What its base shows is
// counted for all proxies of the base at once, so that here only matters what
// differs.
func (c *counter) wanted(stack snapshot.Stack, proxies int) {
	base, inbound := stack[snapshot.LayerBase], c.owners(stack[snapshot.LayerInbound])
	o := c.overlay(overlayKey{stack[snapshot.LayerOutbound], base})
	if base != nil {
		c.bases[base] += proxies
	}
	below := c.owners(base)
	for obj := range o.shown {
		if below[obj] == 0 {
			c.object(obj).wanted += proxies
		}
	}
	for obj := range inbound {
		if below[obj] == 0 && o.shown[obj] == 0 {
			c.object(obj).wanted += proxies
		}
	}
	for obj := range o.covered {
		if o.shown[obj] == 0 && inbound[obj] == 0 {
			c.object(obj).wanted -= proxies
		}
	}
}

type lackKey struct {
	latest snapshot.Stack
	acked  [snapshot.NumTypes]snapshot.Stack
}

// lacking counts one proxy for the objects of which it lacks something.
func (c *counter) lacking(h holding) {
	var lacks map[object.Ref]struct{}
	if h.behind {
		lacks = c.differences(lackKey{h.latest, h.acked})
	}
	for o := range lacks {
		n := c.object(o)
		n.lacking++
		n.settling = n.settling || h.settling
	}
	refused := map[object.Ref]struct{}{}
	for _, o := range h.refused {
		_, counted := lacks[o]
		_, again := refused[o]
		if !counted && !again {
			c.object(o).lacking++
		}
		refused[o] = struct{}{}
	}
}

// differences are the objects of which something is on its way.
func (c *counter) differences(key lackKey) map[object.Ref]struct{} {
	lacks, ok := c.lacks[key]
	if ok {
		return lacks
	}
	lacks = map[object.Ref]struct{}{}
	for t := range snapshot.NumTypes {
		for _, d := range key.acked[t].Diff(key.latest, t) {
			if d.New == nil {
				continue
			}
			for _, o := range d.New.Owners {
				lacks[o] = struct{}{}
			}
		}
	}
	c.lacks[key] = lacks
	return lacks
}
