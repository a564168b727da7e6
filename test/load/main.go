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
	"strings"
	"time"
)

type options struct {
	size, source, mode, out, program, profiles, draw string
	seed                                             uint64
	rounds, floor                                    int
}

func main() {
	var o options
	flag.StringVar(&o.size, "size", "S", "S, M or L")
	flag.StringVar(&o.source, "source", "kube", "kube: a real API server; dir: a directory")
	flag.StringVar(&o.mode, "mode", "delta", "delta or sotw")
	flag.StringVar(&o.out, "json", "", "write the results to this file")
	flag.StringVar(&o.program, "fairway", "", "the binary to measure; default: one built of this tree")
	flag.StringVar(&o.profiles, "profiles", "", "write a CPU profile of the flips and a heap profile into this directory")
	flag.StringVar(&o.draw, "draw", "", "measure nothing: draw the curves of the named JSON files into this directory")
	flag.Uint64Var(&o.seed, "seed", 1, "of the generator")
	flag.IntVar(&o.rounds, "rounds", 20, "how often each change is made")
	flag.IntVar(&o.floor, "floor", 0, "")
	flag.Parse()
	if o.floor > 0 {
		if err := floorMain(o.floor); err != nil {
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
	first, rest := w.objects()
	start := time.Now()
	for _, objects := range [][]object{first, rest} {
		if err := src.create(ctx, objects); err != nil {
			return err
		}
	}
	fmt.Printf("wrote %d objects in %.1f s\n", len(first)+len(rest), time.Since(start).Seconds())
	b := &bench{world: w, source: src, fleet: newFleet(w, o.mode == "delta"), program: o.program, dir: dir, rounds: o.rounds,
		report: &report{Size: s, Source: o.source, Mode: o.mode, Seed: o.seed, Load: loadAverage()}}
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

// all runs the scenarios in an order in which none disturbs the next.
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
	steps := []func(context.Context){
		b.connects,
		func(ctx context.Context) {
			b.profiled(ctx, o.profiles, "flip", func(ctx context.Context) { b.flips(ctx, "VirtualService flip", pause) })
		},
		func(ctx context.Context) { b.flips(ctx, "VirtualService flip, 10/s", 100*time.Millisecond) },
		b.rules, b.services, b.endpoints, b.idle,
		func(ctx context.Context) { b.profiled(ctx, o.profiles, "meshconfig", b.meshConfig) },
		b.outage, b.restart, b.empty,
	}
	for _, step := range steps {
		if step(ctx); b.failed != nil {
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
func (b *bench) profiled(ctx context.Context, dir, name string, step func(context.Context)) {
	if dir == "" {
		step(ctx)
		return
	}
	done := make(chan error, 1)
	go func() { done <- b.plane.profile("profile?seconds=5", filepath.Join(dir, name+".cpu")) }()
	step(ctx)
	if err := <-done; err != nil {
		b.failed = err
		return
	}
	if err := b.plane.profile("heap?gc=1", filepath.Join(dir, name+".heap")); err != nil {
		b.failed = err
	}
}
