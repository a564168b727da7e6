package discovery

import (
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/fairway-mesh/fairway/snapshot"
)

// stepKey is everything that shapes the way from what a stream holds to what
// it is to hold, for one type. Streams with equal keys share one step; see way
// for the part of a stack that they have in common.
type stepKey struct {
	typ      snapshot.Type
	from, to snapshot.Stack
	clusters snapshot.Stack // the clusters that a stream holds, when those say which endpoints it asks for
	all      bool           // everything of the type, whatever its name (for endpoints: all of clusters)
	names    *names         // these; for virtual hosts, those of these route configurations
	form     form
	verdicts *verdicts
}

// form is how a stream wants its resources.
type form struct {
	state  bool // state of the world: complete answers for clusters and listeners
	inline bool // route configurations with their virtual hosts in them
}

// step is one way from one revision to another, made once.
type step struct {
	make sync.Once

	put     []*snapshot.Resource // added and changed
	held    []bool               // for each of put, whether there was an older version
	gone    []string             // removed, to be told to the proxy
	dropped []*snapshot.Resource // removed, and told later or never
	spared  []*snapshot.Resource // not sent as they are, since a proxy refused them
	kept    int                  // bytes that only this step keeps, about; of who makes it
	cost    int                  // bytes, about, as counted in steps; guarded by it
	asked   time.Time            // when a stream last asked for it; guarded by steps
}

// steps is a bounded cache of steps.
type steps struct {
	mu    sync.Mutex
	cache *simplelru.LRU[stepKey, *step]
	bytes int
	limit int
	shed  int                             // steps that were dropped since there was no room
	sums  *lru.Cache[clusterSets, uint64] // see endpoints
	hosts *lru.Cache[tableOf, []string]   // see hostsOf
}

const (
	sumsSize  = 1024
	hostsSize = 256
)

const (
	stepsSize = 4096 // steps; the limit in bytes is what counts for large ones
	stepBytes = 700  // of a step and its key, about
)

func newSteps(limit int) *steps {
	s := &steps{limit: limit}
	cache, err := simplelru.NewLRU(stepsSize, func(_ stepKey, evicted *step) { s.bytes -= evicted.cost })
	if err != nil { // only for a size below 1
		panic(err)
	}
	s.cache = cache
	if s.sums, err = lru.New[clusterSets, uint64](sumsSize); err != nil { // as above
		panic(err)
	}
	if s.hosts, err = lru.New[tableOf, []string](hostsSize); err != nil { // as above
		panic(err)
	}
	return s
}

// get returns the step of key, made by the first who asks for it.
func (s *steps) get(key stepKey) *step {
	s.mu.Lock()
	st, ok := s.cache.Get(key)
	if !ok {
		st = &step{}
		s.cache.Add(key, st)
	}
	st.asked = time.Now()
	s.mu.Unlock()
	st.make.Do(func() {
		s.build(key, st)
		s.account(key, st)
	})
	return st
}

// forget drops the steps that no stream has asked for since: what they lead to
// is history, and would be kept in memory by them.
func (s *steps) forget(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st, ok := s.cache.GetOldest(); ok && st.asked.Before(since); _, st, ok = s.cache.GetOldest() {
		s.cache.RemoveOldest()
	}
	s.sums.Purge()
	s.hosts.Purge()
}

// tableOf names a route configuration of what proxies had.
type tableOf struct {
	had  snapshot.Stack
	name string
}

// hostsOf are the names of the virtual hosts that a route configuration had, one list for
// all proxies that had it. Who keeps it keeps nothing else of the stack.
func (s *steps) hostsOf(had snapshot.Stack, routeConfig string) []string {
	key := tableOf{snapshot.Stack{snapshot.LayerBase: had[snapshot.LayerBase], snapshot.LayerOutbound: had[snapshot.LayerOutbound]}, routeConfig}
	if list, ok := s.hosts.Get(key); ok {
		return list
	}
	var list []string
	for r := range had.Prefix(snapshot.VirtualHost, routeConfig+"/") {
		if len(list) == maxLingering {
			break
		}
		list = append(list, r.Name)
	}
	list = slices.Clip(list) // who adds to it takes a list of its own
	s.hosts.Add(key, list)
	return list
}

// CacheState is how much of its room a cache takes.
type CacheState struct {
	Entries, Bytes, Limit int
	Evictions             int // entries that were dropped since there was no room
}

// Cache is the state of the cache of steps.
func (s *Server) Cache() CacheState {
	steps := s.shared.steps
	steps.mu.Lock()
	defer steps.mu.Unlock()
	return CacheState{steps.cache.Len(), steps.bytes, steps.limit, steps.shed}
}

// Shed lets go of all that can be made again.
func (s *Server) Shed() { s.shared.steps.forget(time.Now()) }

// once makes a step that hardly anyone shares.
func (s *steps) once(key stepKey) *step {
	st := &step{}
	s.build(key, st)
	return st
}

// account counts the bytes of a step that was made, and drops the oldest when
// there are too many.
func (s *steps) account(key stepKey, st *step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept, ok := s.cache.Peek(key); !ok || kept != st {
		return
	}
	st.cost = stepBytes + st.kept + 10*len(st.put) + 16*len(st.gone) + 8*(len(st.dropped)+len(st.spared))
	s.bytes += st.cost
	for s.bytes > s.limit && s.cache.Len() > 1 {
		s.shed++
		s.cache.RemoveOldest()
	}
}

func (s *steps) build(key stepKey, st *step) {
	if key.typ == snapshot.RouteConfig && key.form.inline {
		s.buildInlined(key, st)
	} else {
		differences := key.from.Diff(key.to, key.typ)
		if len(differences) > 64 { // a first answer: no room to spare
			st.put, st.held = make([]*snapshot.Resource, 0, len(differences)), make([]bool, 0, len(differences))
		}
		for _, d := range differences {
			if key.wants(d.Name) {
				s.take(key, st, d)
			}
		}
	}
}

// take adds one difference to the step.
func (s *steps) take(key stepKey, st *step, d snapshot.Difference) {
	if d.Old != nil { // soon both are history
		st.kept += d.Old.Size() + d.New.Size()
	}
	if d.New == nil {
		switch {
		case key.typ == snapshot.Listener:
			st.gone = append(st.gone, d.Name)
		case key.typ == snapshot.VirtualHost:
			// With its route configuration gone, connections that drain still use it.
			if key.to.Get(snapshot.RouteConfig, routeConfigOf(d.Name)) != nil {
				st.gone = append(st.gone, d.Name)
			}
		default:
			st.dropped = append(st.dropped, d.Old)
		}
		return
	}
	old, now := key.verdicts.effective(d.Old), key.verdicts.effective(d.New)
	if now != d.New {
		st.spared = append(st.spared, d.New)
	}
	if now == nil || now.Same(old) {
		return
	}
	st.put = append(st.put, s.formed(key, now))
	st.held = append(st.held, old != nil)
}

// formed is r as streams of this form get it.
func (s *steps) formed(key stepKey, r *snapshot.Resource) *snapshot.Resource {
	if r != nil && key.typ == snapshot.RouteConfig && !key.form.inline {
		return framed(r)
	}
	return r
}

// buildInlined makes the step for route configurations that carry their
// virtual hosts: one is changed when any of those is.
func (s *steps) buildInlined(key stepKey, st *step) {
	touched := map[string]bool{}
	var order []string
	for _, t := range []snapshot.Type{snapshot.RouteConfig, snapshot.VirtualHost} {
		for _, d := range key.from.Diff(key.to, t) {
			name := d.Name
			if t == snapshot.VirtualHost {
				name = routeConfigOf(name)
			}
			if !touched[name] && key.wants(name) {
				touched[name] = true
				order = append(order, name)
			}
		}
	}
	for _, name := range order {
		old := key.from.Get(snapshot.RouteConfig, name)
		if now := inlined(key.to, name, pick(key.verdicts, st)); now != nil {
			st.put = append(st.put, now)
			st.held = append(st.held, old != nil)
			st.kept += len(now.Entry())
		} else if old != nil {
			st.dropped = append(st.dropped, old)
		}
	}
}

// pick is the choice of virtual hosts for a route configuration that carries
// them; it notes in st which are not sent as they are.
func pick(v *verdicts, st *step) func(*snapshot.Resource) *snapshot.Resource {
	return func(r *snapshot.Resource) *snapshot.Resource {
		now := v.effective(r)
		if now != r {
			st.spared = append(st.spared, r)
		}
		return now
	}
}

// current is what streams of this form get for a resource of the stack that
// they go to, unless that carries others.
func (s *steps) current(key stepKey, r *snapshot.Resource) *snapshot.Resource {
	return s.formed(key, key.verdicts.effective(r))
}

// lookup is the resource of a name as streams of this form get it; nil when
// there is none to send.
func (s *steps) lookup(key stepKey, name string) *snapshot.Resource {
	if key.typ != snapshot.RouteConfig || !key.form.inline {
		return s.current(key, key.to.Get(key.typ, name))
	}
	key.from = snapshot.Stack{}
	for _, r := range s.way(key).put {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// complete says that answers must list everything, not only what is new.
func (k stepKey) complete() bool {
	return k.form.state && (k.typ == snapshot.Cluster || k.typ == snapshot.Listener)
}

// wants says whether the streams of the key ask for the resource of a name.
func (k stepKey) wants(name string) bool {
	switch k.typ {
	case snapshot.Endpoint:
		return k.all && refersToEndpoints(k.clusters, name) || k.names.has(name)
	case snapshot.VirtualHost:
		return k.names.has(routeConfigOf(name))
	default:
		return k.all || k.names.has(name)
	}
}

// refersToEndpoints says whether the cluster of a name takes its endpoints,
// of the same name, from the stream.
func refersToEndpoints(clusters snapshot.Stack, name string) bool {
	return needsEndpoints(clusters.Get(snapshot.Cluster, name)) == name && name != ""
}

// needsEndpoints is the name by which the cluster asks for endpoints; empty
// when it does not.
func needsEndpoints(cluster *snapshot.Resource) string {
	if cluster == nil {
		return ""
	}
	for _, k := range cluster.Needs {
		if k.Type == snapshot.Endpoint {
			return k.Name
		}
	}
	return ""
}
