//go:build linux

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strings"
	"time"

	"github.com/fairway-mesh/fairway/internal/local"
)

// Options say where and how tutorials run.
type Options struct {
	// Fairway is the path of the fairway binary, Envoy that of a stock Envoy.
	Fairway, Envoy string
	// Out is where the course is printed. Terminal allows colour and progress in place.
	Out      io.Writer
	Terminal bool
	// Requests is the least number of requests of tutorial C. Zero: 100,000.
	Requests int
	// IPv6 gives pods IPv6 addresses too.
	IPv6 bool
	// Log is told of trouble in the local mesh. Nil: nobody is.
	Log *slog.Logger
}

// Check is one thing that must be seen.
type Check struct {
	Tutorial string
	Must     string
	Seen     string
	OK       bool
}

// Report is what became of the tutorials.
type Report struct {
	Checks []Check
	// Mesh is the last tutorial's, still up, if it was asked to stay.
	Mesh *local.Mesh
}

// Failed counts the checks whose result differs.
func (r *Report) Failed() int {
	n := 0
	for _, c := range r.Checks {
		if !c.OK {
			n++
		}
	}
	return n
}

// tutorial is one of the four.
type tutorial struct {
	letter, title string
	// takes is how long it needs on two processors, for the estimate.
	takes time.Duration
	mesh  local.Config
	run   func(*run, context.Context) error
}

// run is one tutorial under way.
type run struct {
	options  Options
	keep     bool // the mesh stays after this tutorial
	out      *printer
	tutorial *tutorial
	mesh     *local.Mesh
	report   *Report
	steps    int
	tried    []string
}

// Letters are the names of all tutorials, in order.
func Letters() []string {
	var out []string
	for _, t := range tutorials() {
		out = append(out, t.letter)
	}
	return out
}

// Run runs the tutorials with these letters, in the order of the letters. With
// keep the last one's mesh stays up in Report.Mesh, for the caller to close. The
// error is what kept a tutorial from going on; what was seen differently is in
// the report.
func Run(ctx context.Context, letters []string, o Options, keep bool) (*Report, error) {
	chosen, err := choose(letters)
	if err != nil {
		return nil, err
	}
	if o.Requests == 0 {
		o.Requests = 100_000
	}
	out := &printer{w: o.Out, terminal: o.Terminal}
	report := &Report{}
	var left time.Duration
	for _, t := range chosen {
		left += t.takes
	}
	for i, t := range chosen {
		r := &run{options: o, keep: keep && i == len(chosen)-1, out: out, tutorial: &t, report: report}
		out.title(t.letter, t.title)
		out.line("  %s", out.paint(faint, fmt.Sprintf("about %s, %s for all that is left", rough(t.takes), rough(left))))
		left -= t.takes
		began := time.Now()
		err := r.all(ctx)
		if err != nil {
			r.record(Check{Must: "the tutorial runs to its end", Seen: err.Error()})
		}
		out.line("  %s", out.paint(faint, fmt.Sprintf("took %s", time.Since(began).Round(100*time.Millisecond))))
		if r.mesh != nil && r.keep && ctx.Err() == nil {
			report.Mesh = r.mesh
			r.explainKept(ctx)
			continue
		}
		if r.mesh != nil {
			err = errors.Join(err, r.mesh.Close())
		}
		if ctx.Err() != nil {
			return report, err
		}
	}
	return report, nil
}

func choose(letters []string) ([]tutorial, error) {
	all := tutorials()
	if len(letters) == 0 {
		return all, nil
	}
	var out []tutorial
	for _, l := range letters {
		found := false
		for _, t := range all {
			if strings.EqualFold(t.letter, l) {
				out, found = append(out, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no tutorial %q: choose of %s", l, strings.Join(Letters(), ", "))
		}
	}
	return out, nil
}

func rough(d time.Duration) string { return d.Round(time.Second).String() }

// all runs the tutorial in a mesh of its own.
func (r *run) all(ctx context.Context) error {
	config := r.tutorial.mesh
	config.Fairway, config.Envoy, config.IPv6, config.Log = r.options.Fairway, r.options.Envoy, r.options.IPv6, r.options.Log
	err := r.do("Start a local mesh: a network, the control plane"+map[bool]string{true: ", an ingress gateway"}[config.Gateway], "", func() (err error) {
		r.mesh, err = local.Start(ctx, config)
		return err
	})
	if err != nil {
		return err
	}
	return r.tutorial.run(r, ctx)
}

// do takes one step. Its failure ends the tutorial.
func (r *run) do(title, command string, f func() error) error {
	r.steps++
	r.out.step(r.steps, title, command)
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	return nil
}

// see checks one thing that a person must see.
func (r *run) see(must string, f func() (seen string, ok bool, err error)) {
	r.out.tell("%s ...", must)
	seen, ok, err := f()
	if err != nil {
		seen, ok = strings.TrimSpace(seen+" "+err.Error()), false
	}
	r.record(Check{Must: must, Seen: seen, OK: ok})
}

func (r *run) record(c Check) {
	c.Tutorial = r.tutorial.letter
	r.report.Checks = append(r.report.Checks, c)
	r.out.check(c)
}

// until repeats f until it is satisfied or the time is over, and tells how long
// it took.
func until(ctx context.Context, limit time.Duration, f func() (seen string, ok bool, err error)) (string, bool, error) {
	began := time.Now()
	for {
		seen, ok, err := f()
		took := time.Since(began)
		if ok && err == nil {
			return fmt.Sprintf("%s (after %s)", seen, took.Round(time.Millisecond)), true, nil
		}
		if took > limit || ctx.Err() != nil {
			return seen, false, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// explainKept says what can be done with a mesh that stays.
func (r *run) explainKept(ctx context.Context) {
	r.out.line("\n%s", r.out.paint(bold, "The mesh stays up until you press Ctrl-C."))
	for _, text := range r.tried {
		r.out.line("  %s", text)
	}
	r.out.line("  Manifests that the control plane reads (edit them, changes apply at once): %s", path.Join(r.mesh.Dir(), "config"))
	r.out.line("  Logs of pods: %s", path.Join(r.mesh.Dir(), "pods"))
	if url, err := r.mesh.DebugURL(ctx); err == nil {
		r.out.line("  The control plane's own page: %s/debug/", url)
	}
}

// try remembers something to do with a kept mesh.
func (r *run) try(format string, args ...any) {
	r.tried = append(r.tried, fmt.Sprintf(format, args...))
}
