package discovery

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

func serviceRef(name string) object.Ref {
	return object.Ref{Kind: object.KindService, Namespace: "default", Name: name}
}

// refuseCluster refuses every response with the cluster.
func refuseCluster(name string) func(wire.Response) error {
	return func(r wire.Response) error {
		for _, p := range r.Put {
			if r.Type == snapshot.Cluster && p.Name == name {
				return fmt.Errorf("Error adding/updating cluster(s) %s: nonsense", name)
			}
		}
		return nil
	}
}

// TestRefusalsEnd shows that a refusal is in force as long as the version is,
// and somebody there whom it concerns.
func TestRefusalsEnd(t *testing.T) {
	variants(t, func(t *testing.T, delta bool) {
		var told atomic.Int64
		h := serve(t, meshOf(t, 2), func(c *Config) { c.OnProgress = func() { told.Add(1) } }, Transport{})
		refusing := func(version string) func() bool {
			return func() bool {
				r := h.server.Refusals()
				return len(r) == 1 && r[0].Name == "bad" && r[0].Version == version && len(r[0].Owners) == 1 && r[0].Owners[0] == serviceRef("bad") && r[0].Message != ""
			}
		}
		none := func() bool { return len(h.server.Refusals()) == 0 }
		var stops []func()
		for i := range 2 {
			c, stop := connect(t, h.addr, wire.Options{Delta: delta, OnResponse: refuseCluster("bad"), NodeID: fmt.Sprintf("sidecar~10.0.0.%d~app-%d.default~x", i+1, i)})
			stops = append(stops, stop)
			eventually(t, "a client", func() bool { return c.Len(snapshot.Listener) == 1 })
		}
		before := h.stack
		one, two := edsCluster(t, "bad", "1"), edsCluster(t, "bad", "2")
		h.publish(with(before, []*snapshot.Resource{one, endpoints(t, "bad", 1)}))
		eventually(t, "it is refused", refusing(one.Version))
		h.publish(with(before, []*snapshot.Resource{two, endpoints(t, "bad", 1)}))
		eventually(t, "the newer one is refused, and only that", refusing(two.Version))
		h.publish(before)
		eventually(t, "it ends with the object", none)
		h.publish(with(before, []*snapshot.Resource{two, endpoints(t, "bad", 1)}))
		eventually(t, "it is back", refusing(two.Version))
		seen := told.Load()
		for _, stop := range stops {
			stop()
		}
		eventually(t, "it ends with the proxies", none)
		if told.Load() == seen {
			t.Error("nobody was told that the proxies are gone")
		}
	})
}

// TestDeliveries counts who holds what was made of an object: two proxies with
// a common base and a layer each.
func TestDeliveries(t *testing.T) {
	base := meshOf(t, 2)[snapshot.LayerOutbound]
	var own, covered snapshot.Stack
	own[snapshot.LayerBase], covered[snapshot.LayerBase] = base, base
	// Of the second proxy, all of svc-0000 is another object's.
	other := edsCluster(t, "svc-0000", "other")
	other.Owners = []object.Ref{serviceRef("other")}
	eps, vh := endpoints(t, "svc-0000", 1), virtualHost(t, "80", "svc-0000", "svc-0001")
	eps.Owners, vh.Owners = other.Owners, nil
	covered[snapshot.LayerOutbound] = snapshot.NewRevision(other, eps)
	a, b := settled(t, own), settled(t, covered)
	s := New(Config{})
	s.streams[&stream{session: a}] = struct{}{}
	s.streams[&stream{session: b}] = struct{}{}
	now := time.Now().Add(time.Minute)
	expect := func(name string, want Delivery) {
		t.Helper()
		if got := s.Deliveries(now)[serviceRef(name)]; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	// The resources of the fixtures are owned by a Service of their own name each.
	expect("svc-0001", Delivery{Proxies: 2, Holding: 2})
	expect("svc-0000", Delivery{Proxies: 1, Holding: 1})
	expect("80/svc-0000", Delivery{Proxies: 2, Holding: 2})
	expect("other", Delivery{Proxies: 1, Holding: 1})
	expect("nobody", Delivery{})

	// A change that nobody has acknowledged, for the first proxy.
	changed := own
	changed[snapshot.LayerBase] = base.With([]*snapshot.Resource{edsCluster(t, "svc-0001", "changed")})
	a.publish(changed, now)
	a.step(now)
	expect("svc-0001", Delivery{Proxies: 2, Holding: 1, Settling: true})
	expect("svc-0000", Delivery{Proxies: 1, Holding: 1})
	now = now.Add(settleTime)
	expect("svc-0001", Delivery{Proxies: 2, Holding: 1})

	// It refuses it.
	if err := a.request(request{typ: snapshot.Cluster, known: true, nonce: a.types[snapshot.Cluster].flight.nonce, nack: true, refuse: "no"}, now); err != nil {
		t.Fatal(err)
	}
	expect("svc-0001", Delivery{Proxies: 2, Holding: 1})
	if r := s.Refusals(); len(r) != 1 || r[0].Proxies != 1 {
		t.Errorf("the refusal is not seen: %+v", r)
	}
}

// settled is a session that has accepted a stack.
func settled(t *testing.T, stack snapshot.Stack) *session {
	t.Helper()
	p := newScript(t, stack, false)
	p.connect()
	p.s.step(time.Now())
	if !p.s.complete {
		t.Fatal("the session is not complete")
	}
	return p.s
}
