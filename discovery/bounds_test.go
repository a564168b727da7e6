package discovery

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/snapshot"
)

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func manyNames(n, size int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("o|%d", i)
		list[i] += strings.Repeat("x", max(0, size-len(list[i])))
	}
	return list
}

// TestRequestsAreBounded reads requests that are too much in one way or another.
func TestRequestsAreBounded(t *testing.T) {
	node := &corev3.Node{Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"X": structpb.NewStringValue(strings.Repeat("x", maxNode))}}}
	many := manyNames(maxListed+1, 0)
	versions := map[string]string{}
	for _, n := range many {
		versions[n] = "1"
	}
	for what, m := range map[string]proto.Message{
		"a large node":        &discoveryv3.DeltaDiscoveryRequest{Node: node},
		"a large node, sotw":  &discoveryv3.DiscoveryRequest{Node: node},
		"names":               &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: many},
		"names that are left": &discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: many},
		"names that are held": &discoveryv3.DeltaDiscoveryRequest{InitialResourceVersions: versions},
		"names, sotw":         &discoveryv3.DiscoveryRequest{ResourceNames: many},
	} {
		decode := decodeDelta
		if _, state := m.(*discoveryv3.DiscoveryRequest); state {
			decode = decodeState
		}
		if _, err := decode(encoded(t, m)); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	long := manyNames(3, maxName+1)
	r, err := decodeDelta(encoded(t, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: append(long, "short")}))
	if err != nil || len(r.subscribe) != 1 {
		t.Errorf("long names: %v, %d are kept", err, len(r.subscribe))
	}
	r, err = decodeState(encoded(t, &discoveryv3.DiscoveryRequest{ResourceNames: append(long, "short")}))
	if err != nil || len(r.names) != 1 {
		t.Errorf("long names, sotw: %v, %d are kept", err, len(r.names))
	}
}

// TestSubscriptionsAreBounded asks for more than a stream may, of each type and
// by each way.
func TestSubscriptionsAreBounded(t *testing.T) {
	for typ := range snapshot.NumTypes {
		for what, names := range map[string][]string{"many": manyNames(maxNames+1, 0), "long": manyNames(maxNameBytes/maxName+1, maxName)} {
			if typ == snapshot.VirtualHost { // asked for as ROUTECONFIG/HOST; nothing else is kept
				for i, name := range names {
					names[i] = "80/" + name
				}
			}
			half := len(names) / 2
			delta := newScript(t, small(t), false)
			if err := delta.s.request(request{typ: typ, known: true, subscribe: names}, delta.now); err == nil {
				t.Errorf("%s %s names at first", what, typ)
			}
			delta = newScript(t, small(t), false)
			if err := delta.s.request(request{typ: typ, known: true, subscribe: names[:half]}, delta.now); err != nil {
				t.Errorf("half of %s %s names: %v", what, typ, err)
			}
			if err := delta.s.request(request{typ: typ, known: true, subscribe: names[half:]}, delta.now); err == nil {
				t.Errorf("%s %s names later", what, typ)
			}
			if typ == snapshot.VirtualHost {
				continue // not of that variant
			}
			state := newScript(t, small(t), true)
			if err := state.s.request(request{typ: typ, known: true, names: names, digest: digestOf(names)}, state.now); err == nil {
				t.Errorf("%s %s names, sotw", what, typ)
			}
		}
	}
}

// TestEndpointsOfGoneClusters takes away more clusters at once than a stream may
// name besides its own, and has the proxy, which has not heard of it, ask for
// their endpoints: at the end of a stream and at the start of another, in both
// variants. It is served, and has what of that comes back when it asks again.
func TestEndpointsOfGoneClusters(t *testing.T) {
	gone := append(manyNames(2*maxNames, 0), "a") // which is there, see small
	back := gone[len(gone)-2]                     // one that comes back
	for what, ask := range map[string]func(*script) error{
		"delta, of a stream": func(p *script) error {
			if !p.s.types[snapshot.Cluster].subscribed {
				p.connect()
			}
			return p.s.request(request{typ: snapshot.Endpoint, known: true, subscribe: gone}, p.now)
		},
		"delta, of another stream": func(p *script) error {
			p.ask(request{typ: snapshot.Cluster, subscribe: []string{wildcard}})
			return p.s.request(request{typ: snapshot.Endpoint, known: true, subscribe: gone}, p.now)
		},
		"sotw": func(p *script) error {
			p.ask(request{typ: snapshot.Cluster})
			return p.s.request(request{typ: snapshot.Endpoint, known: true, names: gone, digest: digestOf(gone)}, p.now)
		},
	} {
		p := newScript(t, small(t), what == "sotw")
		if err := ask(p); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if n := p.s.endpoints.extra; n.len() > maxNames || sizeOf(n.list()) > maxNameBytes {
			t.Errorf("%s: %d names are kept", what, n.len())
		}
		p.publish(with(small(t), []*snapshot.Resource{edsCluster(t, back, ""), endpoints(t, back, 1)}))
		p.settle(gone)
		if err := ask(p); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		p.settle(gone)
		if !p.s.wantsEndpoints("a") || !p.s.wantsEndpoints(back) {
			t.Errorf("%s: no endpoints for a cluster that is there", what)
		}
		if told := strings.Join(p.sent, " "); !strings.Contains(told+" ", "+"+back+" ") {
			t.Errorf("%s: nothing is sent of a cluster that came back", what)
		}
	}
}

// settle lets the session send all that there is to send, and accepts it. Of
// endpoints the proxy goes on to list these, as that variant does each time.
func (p *script) settle(endpoints []string) {
	p.t.Helper()
	for range 20 {
		p.now = p.now.Add(10 * time.Second) // it may wait for what the proxy does not do
		p.run()
		for typ := range snapshot.NumTypes {
			if nonce := p.flying[typ]; nonce != "" {
				delete(p.flying, typ)
				answer := request{typ: typ, nonce: nonce}
				if !p.delta && typ == snapshot.Endpoint {
					answer.names, answer.digest = endpoints, digestOf(endpoints)
				}
				p.ask(answer)
			}
		}
	}
}

// TestPastIsBounded has clients come back that name far more clusters of their
// past than anybody has.
func TestPastIsBounded(t *testing.T) {
	state := newScript(t, small(t), true)
	state.ask(request{typ: snapshot.Cluster, version: "old"})
	if err := state.s.request(request{typ: snapshot.Endpoint, known: true, names: manyNames(maxStandIns+1, 0)}, state.now); err != nil || len(state.s.linger) > 0 {
		t.Errorf("%v; %d stand-ins", err, len(state.s.linger))
	}
	held := map[string]string{}
	for _, n := range manyNames(2*maxLingering, 0) {
		held[n] = "1"
	}
	delta := newScript(t, small(t), false)
	if err := delta.s.request(request{typ: snapshot.Cluster, known: true, held: heldOf(t, held)}, delta.now); err != nil {
		t.Fatal(err)
	}
	if n := len(delta.s.linger); n > maxLingering {
		t.Errorf("%d clusters linger", n)
	}
	gone := 0
	for range 3 {
		for _, m := range delta.s.step(delta.now) {
			var r discoveryv3.DeltaDiscoveryResponse
			if err := proto.Unmarshal(m.buffers().Materialize(), &r); err != nil {
				t.Fatal(err)
			}
			gone += len(r.GetRemovedResources())
			if err := delta.s.request(request{typ: m.typ, known: true, nonce: r.GetNonce()}, delta.now); err != nil {
				t.Fatal(err)
			}
		}
		delta.now = delta.now.Add(time.Minute)
	}
	if gone < maxLingering {
		t.Errorf("%d of %d are told as removed", gone, len(held))
	}
}

// TestChangeIsLinear leaves a million names that are not there out of a full
// set, and one name in and out again and again.
func TestChangeIsLinear(t *testing.T) {
	table := newNameTable()
	set := table.of(manyNames(maxNames, 0))
	began := time.Now()
	if got := table.change(set, nil, manyNames(1<<20, 12)); got != set {
		t.Errorf("%d names are left", got.len())
	}
	for range 1000 {
		more := table.change(set, []string{"one"}, nil)
		if !more.has("one") || more.len() != set.len()+1 {
			t.Fatal("the name is not in")
		}
		if less := table.change(more, nil, []string{"one"}); less.has("one") || less.len() != set.len() {
			t.Fatal("the name is still in")
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	if a, b := table.of([]string{"80\n8080"}), table.of([]string{"80", "8080"}); a == b {
		t.Error("a name with a line's end stands for two names")
	}
	both := table.change(table.of([]string{"a", "b", "c"}), []string{"b", "d", "0"}, []string{"a", "b", "zz"})
	if got := strings.Join(both.list(), " "); got != "0 b c d" {
		t.Errorf("a change makes %q", got)
	}
}

// TestTablesAreBounded fills what streams leave behind.
func TestTablesAreBounded(t *testing.T) {
	builds := newBuildTable()
	for i := range 4 * buildTableSize {
		builds.extensions(snapshot.Version{}, []*corev3.Extension{{Name: fmt.Sprint(i)}})
	}
	if n := builds.known.Len(); n > 2*buildTableSize {
		t.Errorf("%d builds are remembered", n)
	}
	if _, err := clientOf(&corev3.Node{Id: strings.Repeat("x", maxNodeID+1)}, builds); err == nil || len(err.Error()) > 100 {
		t.Errorf("a long node id: %.200v", err)
	}
}

// TestParkedRoutesKeepNames: of a route configuration that vanished while the proxy still
// uses it the names of its virtual hosts are kept, and nothing that was served beside it.
// When it is back, the proxy is told of those that are not.
func TestParkedRoutesKeepNames(t *testing.T) {
	p := newScript(t, small(t), false)
	p.connect()
	p.sent = nil
	old := func() weak.Pointer[snapshot.Resource] {
		other := virtualHost(t, "80", "other", "a")
		p.change(with(small(t), []*snapshot.Resource{other}))
		p.settle(nil)
		return weak.Make(other)
	}()
	p.publish(with(small(t), nil, key(snapshot.RouteConfig, "80"), key(snapshot.Listener, "l80"), key(snapshot.VirtualHost, "80/host"), key(snapshot.VirtualHost, "80/*")))
	p.settle(nil)
	if len(p.s.parked["80"]) != 3 {
		t.Fatalf("parked are %v", p.s.parked)
	}
	p.s.shared.steps.forget(time.Now().Add(time.Hour))
	for range 3 {
		runtime.GC()
	}
	if old.Value() != nil {
		t.Error("what is gone is kept in memory")
	}
	p.sent = nil
	p.change(small(t))
	p.settle(nil)
	if told := strings.Join(p.sent, "; "); !strings.Contains(told, "-80/other") {
		t.Errorf("of a virtual host that is gone nothing is told: %s", told)
	}
}
