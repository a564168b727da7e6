package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairway-mesh/fairway/snapshot"
)

// bench is one run.
type bench struct {
	world   *world
	source  *source
	fleet   *fleet
	plane   *plane
	report  *report
	program string
	dir     string
	// profiles is where to write profiles; empty: none are taken.
	profiles string
	rounds   int
	serial   int   // of addresses and generations that are used once
	blank    int64 // live heap of the control plane of an empty mesh
	failed   error
}

func (b *bench) add(r result) {
	r.finish()
	b.report.Results = append(b.report.Results, r)
	fmt.Printf("%-28s last %8.1f ms  CPU %8.1f ms  %8.0f B/proxy  useless %d missed %d\n", r.Scenario, r.Last, r.CPU, r.PerProxy, r.Useless, r.Missed)
}

// quiet is how long nothing comes when all has come.
const quiet = 400 * time.Millisecond

// changes makes n changes, each when the one before has arrived everywhere and
// not before its turn.
func (b *bench) changes(ctx context.Context, name string, n int, turn time.Duration, change func(i int) (*sought, func(context.Context) error)) {
	b.fleet.settle(ctx, quiet)
	r := result{Scenario: name, Changes: n}
	b.fleet.begin()
	allocated, _ := b.plane.mallocs()
	before := b.plane.cost()
	for i := range n {
		next := time.Now().Add(turn)
		s, do := change(i)
		b.fleet.seek(s)
		if err := do(ctx); err != nil {
			b.failed = fmt.Errorf("%s: %w", name, err)
			return
		}
		r.take(b.fleet, s, time.Now())
		time.Sleep(time.Until(next))
	}
	b.fleet.settle(ctx, quiet)
	r.count(b.fleet, before, b.plane.cost())
	now, asking := b.plane.mallocs()
	r.Allocs = max((now-allocated-2*asking)/float64(n), 0)
	b.add(r)
}

// burst makes many changes as fast as the source takes them; s is the last.
func (b *bench) burst(ctx context.Context, name string, n int, s *sought, do func(context.Context) error) {
	b.fleet.settle(ctx, quiet)
	r := result{Scenario: name, Changes: n}
	b.fleet.begin()
	before := b.plane.cost()
	if s != nil {
		b.fleet.seek(s)
	}
	if err := do(ctx); err != nil {
		b.failed = fmt.Errorf("%s: %w", name, err)
		return
	}
	at := time.Now()
	if s != nil {
		r.take(b.fleet, s, at)
	}
	last := b.fleet.settle(ctx, quiet)
	r.count(b.fleet, before, b.plane.cost())
	if s == nil {
		r.lasts = append(r.lasts, max(last.Sub(at), 0))
	}
	b.add(r)
}

// sidecars is how many proxies see the whole mesh.
func (b *bench) sidecars() int { return b.world.Sidecars }

func (b *bench) generation() int { b.serial++; return b.serial }

func (b *bench) freshAddress() string {
	n := b.generation()
	return fmt.Sprintf("10.200.%d.%d", n>>8, n&255)
}

// routed is where a route travels: by itself, or in its route configuration.
func (b *bench) routed() snapshot.Type {
	if b.fleet.delta {
		return snapshot.VirtualHost
	}
	return snapshot.RouteConfig
}

// reused picks services that have a route and a rule.
func (b *bench) reused(i int) int {
	n := (i * 20) % b.world.Services
	return n - n%20
}

func (b *bench) flips(ctx context.Context, name string, turn time.Duration) {
	b.changes(ctx, name, b.rounds, turn, func(i int) (*sought, func(context.Context) error) {
		n, g := b.reused(i), b.generation()
		return &sought{typ: b.routed(), mark: []byte(mark("route", n, g)), want: b.sidecars()},
			func(ctx context.Context) error { return b.source.update(ctx, b.world.route(n, g)) }
	})
}

func (b *bench) rules(ctx context.Context) {
	b.changes(ctx, "DestinationRule change", b.rounds, pause, func(i int) (*sought, func(context.Context) error) {
		n, g := b.reused(i), b.generation()
		return &sought{typ: snapshot.Cluster, name: "outbound|8080||" + b.world.host(n), want: b.sidecars()},
			func(ctx context.Context) error { return b.source.update(ctx, b.world.rule(n, g)) }
	})
}

const pause = 60 * time.Millisecond

func (b *bench) services(ctx context.Context) {
	w, n := b.world, b.world.Services
	clusterOf := func(i int) string { return "outbound|8080||" + w.host(n+i*10) }
	// The endpoints of new services are there before; adding the Service is what is measured.
	for i := range b.rounds {
		if err := b.source.create(ctx, []object{w.slice(n + i*10)}); err != nil {
			b.failed = err
			return
		}
	}
	b.changes(ctx, "Service added", b.rounds, pause, func(i int) (*sought, func(context.Context) error) {
		typ, name := snapshot.VirtualHost, "8080/"+w.host(n+i*10)
		if !b.fleet.delta {
			typ, name = snapshot.RouteConfig, "8080"
		}
		return &sought{typ: typ, name: name, want: b.sidecars()},
			func(ctx context.Context) error { return b.source.create(ctx, []object{w.service(n + i*10)}) }
	})
	b.changes(ctx, "Service removed", b.rounds, pause, func(i int) (*sought, func(context.Context) error) {
		s := &sought{typ: snapshot.Cluster, name: clusterOf(i), removed: true, want: b.sidecars()}
		if !b.fleet.delta {
			s = &sought{typ: snapshot.RouteConfig, name: "8080", want: b.sidecars()}
		}
		return s, func(ctx context.Context) error { return b.source.remove(ctx, w.service(n+i*10)) }
	})
	for i := range b.rounds {
		_ = b.source.remove(ctx, w.slice(n+i*10))
	}
}

// started are pods that run and are not ready yet.
func (b *bench) started(ctx context.Context, n int, service func(int) int) (pods []object, addresses []string) {
	for i := range n {
		a := b.freshAddress()
		addresses = append(addresses, a)
		o := pod(b.world.namespace(service(i)), fmt.Sprintf("s%d-e%d", service(i), b.serial), a, map[string]string{"app": serviceName(service(i)), "version": "v1"})
		ready := o.status
		o.status = map[string]any{"phase": "Running", "podIP": a, "podIPs": []any{map[string]any{"ip": a}}, "conditions": []any{map[string]any{"type": "Ready", "status": "False"}}}
		if err := b.source.create(ctx, []object{o}); err != nil {
			b.failed = err
		}
		o.status = ready
		pods = append(pods, o)
	}
	return pods, addresses
}

func (b *bench) endpoints(ctx context.Context) {
	service := func(i int) int { return (i*10 + 1) % b.world.Services }
	const many = 300
	pods, addresses := b.started(ctx, b.rounds+many, service)
	if b.failed != nil {
		return
	}
	look := func(i int) *sought {
		return &sought{typ: snapshot.Endpoint, name: "outbound|8080||" + b.world.host(service(i)), mark: []byte(addresses[i]), want: b.sidecars()}
	}
	update := func(ctx context.Context, i int) error { return b.source.ready(ctx, pods[i]) }
	b.changes(ctx, "endpoint added, 10/s", b.rounds, 100*time.Millisecond, func(i int) (*sought, func(context.Context) error) {
		return look(i), func(ctx context.Context) error { return update(ctx, i) }
	})
	b.burst(ctx, "endpoint added, full rate", many, look(b.rounds+many-1), func(ctx context.Context) error {
		for i := range many {
			if err := update(ctx, b.rounds+i); err != nil {
				return err
			}
		}
		return nil
	})
}

// restart replaces 100 pods one after the other, as a Deployment does.
func (b *bench) restart(ctx context.Context) {
	w := b.world
	services := min(100/w.Pods, w.Services)
	last := ""
	final := w.slice((services-1)*2 + 1)
	b.burst(ctx, "rolling restart, 100 pods", services*w.Pods, nil, func(ctx context.Context) error {
		for s := range services {
			n := (s*2 + 1) % w.Services
			var more []string
			for p := range w.Pods {
				last = b.freshAddress()
				fresh := pod(w.namespace(n), fmt.Sprintf("s%d-r%d", n, p), last, map[string]string{"app": serviceName(n), "version": "v1"})
				if err := b.source.create(ctx, []object{fresh}); err != nil {
					return err
				}
				more = append(more, last)
				final = w.slice(n, more...)
				endpoints := final.body["endpoints"].([]any)
				final.body["endpoints"] = endpoints[p+1:] // as many of the old ones are gone
				if err := b.source.update(ctx, final); err != nil {
					return err
				}
				if err := b.source.remove(ctx, w.pod(n, p)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// empty deletes all of one namespace.
func (b *bench) empty(ctx context.Context) {
	_, rest := b.world.objects()
	var gone []object
	for _, o := range rest {
		if o.namespace == b.world.namespace(b.world.Namespaces-1) && o.kind != kindPod {
			gone = append(gone, o)
		}
	}
	b.burst(ctx, "namespace deleted", 1, nil, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(16)
		for _, o := range gone {
			g.Go(func() error { return b.source.remove(ctx, o) })
		}
		return g.Wait()
	})
}

func (b *bench) meshConfig(ctx context.Context) {
	b.changes(ctx, "mesh config change", 3, time.Second, func(i int) (*sought, func(context.Context) error) {
		return &sought{typ: snapshot.Cluster, name: "outbound|8080||" + b.world.host(0), want: b.sidecars()},
			func(ctx context.Context) error { return b.source.update(ctx, b.world.meshConfig(i+1)) }
	})
}

func (b *bench) idle(ctx context.Context) {
	b.fleet.settle(ctx, quiet)
	r := result{Scenario: "idle, 5 s", Changes: 1}
	b.fleet.begin()
	before := b.plane.cost()
	time.Sleep(5 * time.Second)
	r.count(b.fleet, before, b.plane.cost())
	b.add(r)
}
