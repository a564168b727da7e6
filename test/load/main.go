package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

type options struct {
	size, source, mode, out, program, profiles, draw, only, cache string

	seed          uint64
	rounds, floor int
}

func main() {
	var o options
	flag.StringVar(&o.size, "size", "S", "S, M, L, H (10,000 hosts) or F (5,000 streams, fan-out only)")
	flag.StringVar(&o.source, "source", "kube", "kube: a real API server; dir: a directory")
	flag.StringVar(&o.mode, "mode", "delta", "delta or sotw")
	flag.StringVar(&o.out, "json", "", "write the results to this file")
	flag.StringVar(&o.program, "fairway", "", "the binary to measure; default: one built of this tree")
	flag.StringVar(&o.profiles, "profiles", "", "write CPU profiles of some steps, of the control plane and of the simulated proxies, and heap profiles before and after them, into this directory")
	flag.StringVar(&o.draw, "draw", "", "measure nothing: draw the curves of the named JSON files into this directory, and write their tables")
	flag.StringVar(&o.only, "only", "", "the steps to take, separated by commas: "+strings.Join(stepNames(), ", ")+"; default: all that the size allows")
	flag.StringVar(&o.cache, "cache", "", "")
	flag.Uint64Var(&o.seed, "seed", 1, "of the generator")
	flag.IntVar(&o.rounds, "rounds", 20, "how often each change is made")
	flag.IntVar(&o.floor, "floor", 0, "")
	flag.Parse()
	if o.floor > 0 || o.cache != "" { // a process that this one started
		helper := func() error { return floorMain(o.floor) }
		if o.cache != "" {
			helper = func() error { return cacheMain(o.cache) }
		}
		if err := helper(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if o.draw != "" {
		if err := draw(o.draw, flag.Args()); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	// The simulated proxies are Envoys, which collect no garbage.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(b))[:1], " ")
}

func run(ctx context.Context, o options) error {
	s, ok := sizes[o.size]
	if !ok || o.mode != "delta" && o.mode != "sotw" || o.source != "kube" && o.source != "dir" {
		return errors.New("unknown -size, -mode or -source; see -help")
	}
	dir, err := os.MkdirTemp("", "fairway-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.program == "" {
		o.program = filepath.Join(dir, "fairway")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", o.program, "./cmd/fairway")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building fairway: %w: run it at the root of the tree:\n%s", err, out)
		}
	}
	w := newWorld(s, o.seed, o.source == "dir")
	src, err := newSource(ctx, o.source, dir)
	if err != nil {
		return err
	}
	defer src.close()
	b := &bench{world: w, source: src, fleet: newFleet(w, o.mode == "delta"), program: o.program, dir: dir, profiles: o.profiles, rounds: o.rounds,
		report: &report{Size: s, Source: o.source, Mode: o.mode, Seed: o.seed, Load: loadAverage()}}
	first, rest := w.objects()
	if err := src.create(ctx, first); err != nil {
		return err
	}
	if err := b.nothing(ctx); err != nil {
		return err
	}
	start := time.Now()
	if err := src.create(ctx, rest); err != nil {
		return err
	}
	fmt.Printf("wrote %d objects in %.1f s\n", len(first)+len(rest), time.Since(start).Seconds())
	if err := b.all(ctx, o); err != nil {
		return err
	}
	b.report.Load += " to " + loadAverage()
	if err := b.report.table(os.Stdout); err != nil || o.out == "" {
		return err
	}
	text, err := json.MarshalIndent(b.report, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.out, append(text, '\n'), 0o644)
}

// step is a group of scenarios.
type step struct {
	name string
	take func(*bench, context.Context)
}

// steps are in an order in which none disturbs the next.
func steps() []step {
	profiled := func(name string, f func(*bench, context.Context)) func(*bench, context.Context) {
		return func(b *bench, ctx context.Context) { b.profiled(name, func() { f(b, ctx) }) }
	}
	return []step{
		{"connect", (*bench).connects},
		{"flip", func(b *bench, ctx context.Context) {
			b.profiled("flip", func() { b.flips(ctx, "VirtualService flip", pause) })
			b.flips(ctx, "VirtualService flip, 10/s", 100*time.Millisecond)
		}},
		{"rule", (*bench).rules},
		{"service", profiled("service", (*bench).services)},
		{"endpoint", profiled("endpoint", (*bench).endpoints)},
		{"idle", (*bench).idle},
		{"meshconfig", profiled("meshconfig", (*bench).meshConfig)},
		{"envoy", (*bench).envoys},
		{"tls", (*bench).secured},
		{"outage", (*bench).outage},
		{"restart", (*bench).restart},
		{"namespace", (*bench).empty},
	}
}

func stepNames() (names []string) {
	for _, s := range steps() {
		names = append(names, s.name)
	}
	return names
}

// takes tells whether a step is to be taken. Clients of very large fleets know
// too little to reconnect.
func (b *bench) takes(name, only string) bool {
	if only != "" {
		return slices.Contains(strings.Split(only, ","), name)
	}
	return !b.fleet.light || slices.Contains([]string{"connect", "flip", "endpoint", "idle"}, name)
}

// all runs the scenarios.
func (b *bench) all(ctx context.Context, o options) error {
	plane, ready, err := startPlane(ctx, o.program, b.dir, b.source.arguments()...)
	if err != nil {
		return err
	}
	b.plane, b.fleet.address = plane, plane.xds
	defer func() { b.plane.stop() }()
	c := plane.cost()
	cold := result{Scenario: "cold start to ready", Changes: 1, CPU: ms(c.CPU), RSS: c.RSS, lasts: []time.Duration{ready}}
	if cold.Heap, err = plane.heap(); err != nil {
		return err
	}
	b.add(cold)
	b.afterLists()
	if err := b.cached(ctx, cold.Heap); err != nil {
		return err
	}
	if !b.takes("connect", o.only) {
		if err := b.fleet.connect(b.fleet.proxies, false); err != nil {
			return err
		}
		b.fleet.arrive(ctx, false)
	}
	for _, s := range steps() {
		if !b.takes(s.name, o.only) {
			continue
		}
		if s.take(b, ctx); b.failed != nil {
			return b.failed
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return b.compare()
}

// compare puts the floor beside the flips.
func (b *bench) compare() error {
	b.fleet.disconnect(b.fleet.proxies)
	body := 600
	for _, r := range b.report.Results {
		if r.Scenario == "VirtualService flip" && b.fleet.delta {
			body = int(r.PerProxy)
		}
	}
	f, err := floor(b.world, max(body, 1), b.rounds)
	if err != nil {
		return err
	}
	for i := range b.report.Results {
		if r := &b.report.Results[i]; f.Last > 0 && r.Changes > 1 {
			r.FloorRatio = r.Last / f.Last
		}
	}
	b.report.Results = append(b.report.Results, f)
	return nil
}

// profiled takes profiles while a step runs, when they are asked for.
func (b *bench) profiled(name string, step func()) {
	dir := b.profiles
	if dir == "" {
		step()
		return
	}
	if err := b.plane.profile("heap?gc=1", filepath.Join(dir, name+".before.heap")); err != nil {
		b.failed = err
		return
	}
	done := make(chan error, 1)
	go func() { done <- b.plane.profile("profile?seconds=5", filepath.Join(dir, name+".cpu")) }()
	err := ownProfile(filepath.Join(dir, name+".fleet.cpu"), step)
	if err := errors.Join(err, <-done); err != nil {
		b.failed = err
		return
	}
	if err := b.plane.profile("heap?gc=1", filepath.Join(dir, name+".heap")); err != nil {
		b.failed = err
	}
}

// ownProfile writes a CPU profile of this process, which is the simulated
// proxies, while f runs.
func ownProfile(path string, f func()) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	f()
	pprof.StopCPUProfile()
	return out.Close()
}
