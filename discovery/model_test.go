package discovery

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-mesh/fairway/snapshot"
)

// model is an Envoy of values: it applies messages as Envoy does and checks,
// after each, that no route refers to a cluster that is not warm. Messages in
// both directions wait in queues, so that a test can interleave them at will.
type model struct {
	t        testing.TB
	s        *session
	delta    bool
	now      time.Time
	toProxy  []message
	toServer []request
	asked    map[snapshot.Type]bool
	names    map[snapshot.Type]map[string]bool
	held     map[snapshot.Type]map[string]string // name to bytes
	versions map[snapshot.Type]map[string]string // name to version
	warm     map[string]bool                     // clusters that serve
	routes   map[string]string                   // virtual host to cluster
	history  []string
}

// note writes down what happens, for a test that fails.
func (m *model) note(format string, args ...any) {
	m.history = append(m.history, fmt.Sprintf(format, args...))
}

func newModel(t testing.TB, stack snapshot.Stack, delta bool) *model {
	m := &model{t: t, delta: delta, now: time.Unix(1, 0), warm: map[string]bool{}, routes: map[string]string{}, asked: map[snapshot.Type]bool{},
		names: map[snapshot.Type]map[string]bool{}, held: map[snapshot.Type]map[string]string{}, versions: map[snapshot.Type]map[string]string{},
		s: newSession(newShared(1<<20), form{state: !delta, inline: !delta}, stack, time.Unix(1, 0), time.Hour)}
	for typ := range snapshot.NumTypes {
		m.names[typ], m.held[typ], m.versions[typ] = map[string]bool{}, map[string]string{}, map[string]string{}
	}
	m.say(request{typ: snapshot.Cluster})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(strings.Join(m.history[max(0, len(m.history)-80):], "\n"))
		}
	})
	return m
}

// say queues a request; a state-of-the-world one lists all names.
func (m *model) say(r request) {
	r.known = true
	m.asked[r.typ] = true
	for _, n := range r.subscribe {
		m.names[r.typ][n] = true
	}
	for _, n := range r.unsubscribe {
		delete(m.names[r.typ], n)
		delete(m.held[r.typ], n)
	}
	if !m.delta {
		r.names = slices.Sorted(maps.Keys(m.names[r.typ]))
		for _, n := range r.names {
			for _, c := range []byte(n + ",") {
				r.digest = r.digest*131 + uint64(c)
			}
		}
		r.subscribe, r.unsubscribe = nil, nil
	}
	m.toServer = append(m.toServer, r)
}

// reconnect loses all that is under way and begins a new stream, saying what
// the proxy holds.
func (m *model) reconnect(stack snapshot.Stack) {
	m.toProxy, m.toServer = nil, nil
	m.note("reconnects")
	m.s = newSession(m.s.shared, m.s.form, stack, m.now, time.Hour)
	for _, typ := range []snapshot.Type{snapshot.Cluster, snapshot.Endpoint, snapshot.Listener, snapshot.RouteConfig, snapshot.VirtualHost} {
		if !m.asked[typ] {
			continue
		}
		versions := map[string]string{}
		for name := range m.held[typ] {
			versions[name] = m.versions[typ][name]
		}
		r := request{typ: typ, held: heldOf(m.t, versions)}
		if typ == snapshot.Endpoint || typ == snapshot.RouteConfig {
			r.subscribe = slices.Sorted(maps.Keys(m.names[typ]))
		}
		m.say(r)
	}
}

// serve lets the server work: take one request, if there is any.
func (m *model) serve() {
	if len(m.toServer) > 0 {
		r := m.toServer[0]
		m.toServer = m.toServer[1:]
		m.note("server takes %s nonce=%s +%v -%v %v %v", r.typ, r.nonce, r.subscribe, r.unsubscribe, r.names, slices.Sorted(maps.Keys(r.held.versions())))
		if err := m.s.request(r, m.now); err != nil {
			m.t.Fatal(err)
		}
	}
	for _, msg := range m.s.step(m.now) {
		put, gone, nonce, _ := m.decode(msg.typ, msg.buffers().Materialize())
		m.note("  sends %s %s +%v -%v", msg.typ, nonce, slices.Sorted(maps.Keys(put)), gone)
		m.toProxy = append(m.toProxy, msg)
	}
	m.note("  %s awaited %v missing %v linger %v", m.s.phase, m.s.awaited, m.s.endpoints.missing, slices.Sorted(maps.Keys(m.s.linger)))
}

// proxy lets the proxy take one message.
func (m *model) proxy() {
	if len(m.toProxy) == 0 {
		return
	}
	msg := m.toProxy[0]
	m.toProxy = m.toProxy[1:]
	data := msg.buffers().Materialize()
	put, gone, nonce, versions := m.decode(msg.typ, data)
	m.note("proxy takes %s %s", msg.typ, nonce)
	for name := range put {
		m.versions[msg.typ][name] = versions[name]
	}
	m.apply(msg.typ, put, gone)
	m.say(request{typ: msg.typ, nonce: nonce})
	m.follow(msg.typ)
	m.check()
}

func (m *model) decode(typ snapshot.Type, data []byte) (put map[string]*anypb.Any, gone []string, nonce string, versions map[string]string) {
	put, versions = map[string]*anypb.Any{}, map[string]string{}
	if m.delta {
		var r discoveryv3.DeltaDiscoveryResponse
		if err := proto.Unmarshal(data, &r); err != nil {
			m.t.Fatal(err)
		}
		for _, one := range r.GetResources() {
			put[one.GetName()] = one.GetResource()
			versions[one.GetName()] = one.GetVersion()
		}
		for _, name := range r.GetRemovedResources() {
			if put[name] != nil {
				m.t.Fatalf("%s %s is put and removed in one message", typ, name)
			}
		}
		return put, r.GetRemovedResources(), r.GetNonce(), versions
	}
	var r discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(data, &r); err != nil {
		m.t.Fatal(err)
	}
	for _, a := range r.GetResources() {
		one, err := a.UnmarshalNew()
		if err != nil {
			m.t.Fatal(err)
		}
		if load, ok := one.(*endpointv3.ClusterLoadAssignment); ok {
			put[load.GetClusterName()] = a
		} else {
			put[one.(interface{ GetName() string }).GetName()] = a
		}
	}
	if typ == snapshot.Cluster || typ == snapshot.Listener {
		for name := range m.held[typ] {
			if put[name] == nil {
				gone = append(gone, name)
			}
		}
	}
	return put, gone, r.GetNonce(), versions
}

func (m *model) apply(typ snapshot.Type, put map[string]*anypb.Any, gone []string) {
	for name, a := range put {
		if byName := typ == snapshot.Endpoint || typ == snapshot.RouteConfig; byName && !m.names[typ][name] ||
			typ == snapshot.VirtualHost && !m.names[snapshot.RouteConfig][routeConfigOf(name)] {
			continue // nobody in the proxy waits for it
		}
		before := m.held[typ][name]
		m.held[typ][name] = string(a.GetValue())
		switch typ {
		case snapshot.Cluster:
			// A changed cluster serves as it was until it is warm again.
			m.warm[name] = m.warm[name] && before != ""
		case snapshot.Endpoint:
			if m.held[snapshot.Cluster][name] != "" {
				m.warm[name] = true
			}
		case snapshot.VirtualHost:
			var host routev3.VirtualHost
			if err := a.UnmarshalTo(&host); err != nil {
				m.t.Fatal(err)
			}
			m.route(&host)
		case snapshot.RouteConfig:
			m.table(a)
		}
	}
	for _, name := range gone {
		delete(m.held[typ], name)
		switch typ {
		case snapshot.Cluster:
			delete(m.warm, name)
		case snapshot.VirtualHost:
			delete(m.routes, name)
		}
	}
}

func (m *model) route(host *routev3.VirtualHost) {
	m.routes[host.GetName()] = host.GetRoutes()[0].GetRoute().GetCluster()
}

// table takes a route configuration; one with its virtual hosts in it stands
// for all of them.
func (m *model) table(a *anypb.Any) {
	var table routev3.RouteConfiguration
	if err := a.UnmarshalTo(&table); err != nil {
		m.t.Fatal(err)
	}
	if m.delta {
		return
	}
	maps.DeleteFunc(m.routes, func(name, _ string) bool { return routeConfigOf(name) == table.GetName() })
	for _, host := range table.GetVirtualHosts() {
		m.route(host)
	}
}

// follow asks for what is new.
func (m *model) follow(typ snapshot.Type) {
	switch typ {
	case snapshot.Cluster:
		m.want(snapshot.Endpoint, maps.Clone(m.held[snapshot.Cluster]))
	case snapshot.Listener:
		tables := map[string]string{}
		for name := range m.held[snapshot.Listener] {
			tables[name[1:]] = "" // listener lNN has route configuration NN
		}
		m.want(snapshot.RouteConfig, tables)
		if m.delta {
			maps.DeleteFunc(m.routes, func(name, _ string) bool { return !m.names[snapshot.RouteConfig][routeConfigOf(name)] })
			maps.DeleteFunc(m.held[snapshot.VirtualHost], func(name, _ string) bool { return !m.names[snapshot.RouteConfig][routeConfigOf(name)] })
		} else {
			maps.DeleteFunc(m.routes, func(name, _ string) bool { return !m.names[snapshot.RouteConfig][routeConfigOf(name)] })
		}
	case snapshot.RouteConfig:
		if m.delta && !m.asked[snapshot.VirtualHost] {
			m.say(request{typ: snapshot.VirtualHost})
		}
	}
	if !m.asked[snapshot.Listener] && len(m.warm) > 0 && !slices.Contains(slices.Collect(maps.Values(m.warm)), false) {
		m.say(request{typ: snapshot.Listener})
	}
}

func (m *model) want(typ snapshot.Type, wanted map[string]string) {
	var r request
	r.typ = typ
	for name := range wanted {
		if !m.names[typ][name] {
			r.subscribe = append(r.subscribe, name)
		}
	}
	for name := range m.names[typ] {
		if _, ok := wanted[name]; !ok {
			r.unsubscribe = append(r.unsubscribe, name)
		}
	}
	if len(r.subscribe)+len(r.unsubscribe) > 0 {
		slices.Sort(r.subscribe)
		slices.Sort(r.unsubscribe)
		m.say(r)
	}
}

// check holds that every route leads to a cluster that the proxy has and that
// has been warm: anything else is a request answered with 503.
func (m *model) check() {
	m.t.Helper()
	for host, cluster := range m.routes {
		if cluster == "" {
			continue
		}
		if _, ok := m.held[snapshot.Cluster][cluster]; !ok {
			m.t.Fatalf("%s leads to %s, which the proxy does not have", host, cluster)
		}
		if !m.warm[cluster] {
			m.t.Fatalf("%s leads to %s, which is not warm", host, cluster)
		}
	}
}

// randomWorld is a consistent stack that differs from the one before in a few
// clusters, routes, endpoints and listeners.
type randomWorld struct {
	t        testing.TB
	r        *rand.Rand
	clusters map[string]int
	ports    map[string]int
	hosts    map[string]string
	tables   map[string]bool
	known    map[string]*snapshot.Resource
	rev      *snapshot.Revision
}

func newRandomWorld(t testing.TB, r *rand.Rand) *randomWorld {
	return &randomWorld{t: t, r: r, clusters: map[string]int{"c0": 0}, ports: map[string]int{}, hosts: map[string]string{},
		tables: map[string]bool{"80": true}, known: map[string]*snapshot.Resource{}}
}

func (w *randomWorld) mutate() snapshot.Stack {
	for range 1 + w.r.IntN(4) {
		name := fmt.Sprint("c", w.r.IntN(8))
		table := fmt.Sprint(80 + w.r.IntN(3))
		host := fmt.Sprintf("%s/h%d", table, w.r.IntN(6))
		switch w.r.IntN(7) {
		case 0:
			delete(w.clusters, name)
			if len(w.clusters) == 0 {
				w.clusters["c0"] = 0
			}
		case 1:
			w.clusters[name] = w.r.IntN(3)
		case 2:
			w.ports[name] = w.r.IntN(100)
		case 3:
			delete(w.hosts, host)
		case 4, 5:
			w.hosts[host] = name
		case 6:
			w.tables[table] = !w.tables[table]
		}
	}
	return w.stack()
}

func (w *randomWorld) stack() snapshot.Stack {
	var list []*snapshot.Resource
	for name, mark := range w.clusters {
		list = append(list, edsCluster(w.t, name, fmt.Sprint(mark)), endpoints(w.t, name, uint32(w.ports[name]+1)))
	}
	for table, on := range w.tables {
		if on {
			list = append(list, rdsListener(w.t, "l"+table, 80, table), frame(w.t, table), virtualHost(w.t, table, "*", ""))
		}
	}
	for host, cluster := range w.hosts {
		table := routeConfigOf(host)
		if _, ok := w.clusters[cluster]; ok && w.tables[table] {
			list = append(list, virtualHost(w.t, table, host[len(table)+1:], cluster))
		}
	}
	// Successive revisions share what is equal, as those of the engine do.
	kept := map[snapshot.Key]bool{}
	for i, r := range list {
		id := fmt.Sprint(r.Type, r.Name, r.Version)
		if w.known[id] == nil {
			w.known[id] = r
		}
		list[i] = w.known[id]
		kept[snapshot.Key{Type: r.Type, Name: r.Name}] = true
	}
	var gone []snapshot.Key
	for typ := range snapshot.NumTypes {
		for r := range w.rev.All(typ) {
			if k := (snapshot.Key{Type: typ, Name: r.Name}); !kept[k] {
				gone = append(gone, k)
			}
		}
	}
	w.rev = w.rev.With(list, gone...)
	return snapshot.Stack{w.rev}
}

// TestModel interleaves changes, requests and responses at random. At every
// moment routes lead to warm clusters; in the end the proxy holds exactly what
// was published last.
func TestModel(t *testing.T) {
	seeds := 100
	if s := os.Getenv("FAIRWAY_MODEL_SEEDS"); s != "" {
		seeds, _ = strconv.Atoi(s)
	}
	variants(t, func(t *testing.T, delta bool) {
		for seed := range uint64(seeds) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, delta, seed) })
		}
	})
}

func runModel(t *testing.T, delta bool, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	world := newRandomWorld(t, r)
	stack := world.mutate()
	m := newModel(t, stack, delta)
	for range 300 {
		if delta && r.IntN(60) == 0 {
			m.reconnect(stack)
		}
		switch r.IntN(8) {
		case 0:
			stack = world.mutate()
			m.s.publish(stack, m.now)
			m.note("published %v %v %v", world.clusters, world.hosts, world.tables)
		case 1, 2, 3:
			m.serve()
		default:
			m.proxy()
		}
	}
	for range 2000 {
		m.serve()
		m.proxy()
	}
	m.settled(stack)
}

// settled compares what the proxy holds with a stack.
func (m *model) settled(stack snapshot.Stack) {
	m.t.Helper()
	if m.s.phase != phaseIdle {
		m.t.Fatalf("in phase %s, awaiting %v, missing %v", m.s.phase, m.s.awaited, m.s.endpoints.missing)
	}
	for _, typ := range []snapshot.Type{snapshot.Cluster, snapshot.Endpoint, snapshot.Listener, snapshot.VirtualHost} {
		if typ == snapshot.VirtualHost && !m.delta {
			continue
		}
		for res := range stack.All(typ) {
			if m.held[typ][res.Name] != string(res.Body()) {
				m.t.Errorf("%s %s is not what was published", typ, res.Name)
			}
		}
		if got := len(m.held[typ]); got != stack.Len(typ) {
			m.t.Errorf("%d %s resources, want %d: %v", got, typ, stack.Len(typ), slices.Sorted(maps.Keys(m.held[typ])))
		}
	}
	want := map[string]string{}
	for res := range stack.All(snapshot.VirtualHost) {
		var host routev3.VirtualHost
		if err := proto.Unmarshal(res.Body(), &host); err != nil {
			m.t.Fatal(err)
		}
		want[res.Name] = host.GetRoutes()[0].GetRoute().GetCluster()
	}
	if !maps.Equal(m.routes, want) {
		m.t.Errorf("routes %v, want %v", m.routes, want)
	}
	if n := len(m.s.linger) + len(m.s.awaited) + len(m.s.endpoints.missing) + len(m.s.parked); n > 0 {
		m.t.Errorf("%d things are remembered at rest: %v %v %v %v", n, m.s.linger, m.s.awaited, m.s.endpoints.missing, m.s.parked)
	}
	for typ := range snapshot.NumTypes {
		if st := &m.s.types[typ]; len(st.forced)+len(st.gone)+len(st.retry)+len(st.rejected) > 0 {
			m.t.Errorf("%s: %+v", typ, st)
		}
	}
}
