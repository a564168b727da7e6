package main

import (
	"context"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
)

// connects measures how proxies get and keep their connection, and what each
// costs in memory.
func (b *bench) connects(ctx context.Context) {
	empty, err := b.plane.settledHeap()
	if err != nil {
		b.failed = err
		return
	}
	f := b.fleet
	b.profiled("connect", func() {
		b.join(ctx, "cold connect", false, func(r *result) {
			r.Heap, err = b.plane.settledHeap()
			r.HeapPerProxy = (r.Heap - empty) / int64(len(f.proxies))
		})
	})
	if f.light {
		return
	}
	b.profiled("reconnect", func() { b.join(ctx, "reconnect unchanged", true, nil) })
	b.profiled("old", func() { b.returnWithOld(ctx) })
	b.join(ctx, "reconnect storm, forgetful", false, nil)
	b.marginal(ctx, "")
	if err != nil {
		b.failed = err
	}
}

// join connects all proxies again and waits until they have everything.
func (b *bench) join(ctx context.Context, name string, resume bool, also func(*result)) {
	f := b.fleet
	if f.proxies[0].client != nil {
		f.disconnect(f.proxies)
		time.Sleep(500 * time.Millisecond)
	}
	r := result{Scenario: name, Changes: 1}
	f.begin()
	if err := f.prepare(f.proxies, resume); err != nil {
		b.failed = err
		return
	}
	before, at := b.plane.cost(), time.Now()
	f.start(f.proxies)
	last := f.arrive(ctx, resume)
	r.count(f, before, b.plane.idle(ctx))
	r.lasts = append(r.lasts, max(last.Sub(at), 0))
	if also != nil {
		also(&r)
	}
	b.add(r)
}

// returnWithOld connects all proxies again, of which each holds an older version
// of one virtual host: that it gets this one tells when it was known what it
// holds, which nothing tells of a proxy that lacks nothing.
func (b *bench) returnWithOld(ctx context.Context) {
	f := b.fleet
	if !f.delta {
		return
	}
	f.disconnect(f.proxies)
	time.Sleep(500 * time.Millisecond)
	s := f.seek(&sought{typ: snapshot.VirtualHost, name: "8080/" + b.world.host(0), want: b.sidecars()})
	for _, p := range f.proxies {
		if !p.router {
			p.held[s.typ][s.name] = "0000000000000000"
		}
	}
	r := result{Scenario: "reconnect, one host is old", Changes: 1}
	f.begin()
	if err := f.prepare(f.proxies, true); err != nil {
		b.failed = err
		return
	}
	before, at := b.plane.cost(), time.Now()
	f.start(f.proxies)
	r.take(f, s, at)
	f.settle(ctx, time.Second)
	r.count(f, before, b.plane.idle(ctx))
	b.add(r)
}

// marginal is what one more proxy costs where others of its sort are: those of
// its namespace, with whom it shares what it sees. how ends the result's name.
func (b *bench) marginal(ctx context.Context, how string) {
	seen := map[string]bool{}
	var rest []*proxy
	for _, p := range b.fleet.proxies {
		if seen[p.namespace] {
			rest = append(rest, p)
		}
		seen[p.namespace] = true
	}
	if len(rest) == 0 {
		return
	}
	b.fleet.disconnect(rest)
	few, err := b.plane.settledHeap()
	if err != nil {
		b.failed = err
		return
	}
	if err := b.fleet.connect(rest, false); err != nil {
		b.failed = err
		return
	}
	b.fleet.arrive(ctx, false)
	all, err := b.plane.settledHeap()
	if err != nil {
		b.failed = err
		return
	}
	b.add(result{Scenario: "each further proxy" + how, Changes: len(rest), Heap: all, HeapPerProxy: (all - few) / int64(len(rest)), RSS: b.plane.cost().RSS})
}

// outage restarts the control plane while all proxies hold what they need.
func (b *bench) outage(ctx context.Context) {
	f := b.fleet
	b.fleet.settle(ctx, quiet)
	b.plane.stop()
	f.disconnect(f.proxies)
	plane, _, err := startPlane(ctx, b.program, b.dir, b.source.arguments()...)
	if err != nil {
		b.failed = err
		return
	}
	b.plane, f.address = plane, plane.xds
	r := result{Scenario: "control plane restarted", Changes: 1}
	f.begin()
	if err := f.prepare(f.proxies, true); err != nil {
		b.failed = err
		return
	}
	before, at := b.plane.cost(), time.Now()
	f.start(f.proxies)
	last := f.settle(ctx, time.Second)
	r.count(f, before, b.plane.idle(ctx))
	r.lasts = append(r.lasts, max(last.Sub(at), 0))
	b.add(r)
}

// arrive waits until every proxy has what it needs and nothing more comes; one
// that says what it holds may have it all already.
func (f *fleet) arrive(ctx context.Context, resume bool) time.Time {
	for deadline := time.Now().Add(2 * time.Minute); !resume && ctx.Err() == nil && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		complete := true
		for _, p := range f.proxies {
			complete = complete && p.client.Len(snapshot.Listener) > 0
		}
		if complete {
			break
		}
	}
	return f.settle(ctx, time.Second)
}
