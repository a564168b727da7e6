//go:build linux

package demo

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// switchLimit is how soon a switch must show in all answers.
const switchLimit = time.Second

// answer is one answer of the load.
type answer struct {
	begun, ended time.Time
	version      string // what was answered, or what went wrong
}

// phase is a time between two switches.
type phase struct {
	title    string
	change   func(ctx context.Context) error
	expect   string // the only version; empty: both, about half each
	switched time.Time
}

// load is tutorial C.
func (r *run) load(ctx context.Context) error {
	if err := r.apply(ctx, "Make the namespace istio-app", "istio-app/namespace.yaml"); err != nil {
		return err
	}
	if err := r.inject(ctx, "Inject the proxy and apply: two versions, on port 7777", "istio-app/app.yaml"); err != nil {
		return err
	}
	if err := r.apply(ctx, "Tell the versions apart", "istio-app/destination-rule.yaml"); err != nil {
		return err
	}
	if err := r.wait(ctx, "istio-app"); err != nil {
		return err
	}
	r.seePods("istio-app", "every pod is READY 2/2", 2)
	client, err := r.from(ctx, "istio-app", "app=sleep")
	if err != nil {
		return err
	}
	r.see("the service answers", func() (string, bool, error) {
		return until(ctx, shortly, func() (string, bool, error) {
			c, err := ask(ctx, client, 20, loadURL)
			return c.String(), c.even("v1", "v2", 0), err
		})
	})
	set := func(name string) func(context.Context) error {
		return func(ctx context.Context) error { return r.mesh.Apply(ctx, file(name)) }
	}
	phases := []phase{
		{title: "no rule"},
		{title: "v2 only", change: set("istio-app/only-v2.yaml"), expect: "v2"},
		{title: "v1 only", change: set("istio-app/only-v1.yaml"), expect: "v1"},
		{title: "50:50", change: set("istio-app/half.yaml")},
		{title: "rules deleted", change: func(ctx context.Context) error {
			return r.mesh.Delete(ctx, slices.Concat(file("istio-app/half.yaml"), []byte("---\n"), file("istio-app/destination-rule.yaml")))
		}},
	}
	var answers []answer
	title := fmt.Sprintf("Ask %d times from inside sleep; meanwhile: v2 only, v1 only, 50:50, rules deleted", r.options.Requests)
	err = r.do(title, "while true; do curl http://flaskapp:7777/env/version; done", func() (err error) {
		answers, err = r.loop(ctx, client, phases)
		return err
	})
	if err != nil {
		return err
	}
	r.see(fmt.Sprintf("not one of %d requests fails", len(answers)), func() (string, bool, error) { return failures(answers) })
	for i := range phases[1:] {
		r.see(phases[i+1].must(), func() (string, bool, error) { return phases[i+1].seen(answers, end(phases, i+1)) })
	}
	if r.keep {
		return r.watch(ctx)
	}
	return nil
}

const (
	loadURL     = "http://flaskapp.istio-app:7777/env/version"
	loadClients = 8
	// phaseLeast is how long a phase lasts at least, so that a switch can be judged.
	phaseLeast = switchLimit + time.Second
)

// loop asks until enough requests are through and all switches are made, which
// come evenly between.
func (r *run) loop(ctx context.Context, client *http.Client, phases []phase) ([]answer, error) {
	var done atomic.Int64
	stop := make(chan struct{})
	results := make([][]answer, loadClients)
	var clients sync.WaitGroup
	for i := range results {
		results[i] = make([]answer, 0, r.options.Requests/loadClients+1)
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := answer{begun: time.Now()}
				var err error
				if a.version, err = get(ctx, client, loadURL); err != nil {
					a.version = err.Error()
				}
				a.ended = time.Now()
				results[i] = append(results[i], a)
				done.Add(1)
			}
		})
	}
	began := time.Now()
	var failed error
	for i := range phases {
		phases[i].switched = time.Now()
		if phases[i].change != nil {
			if failed = phases[i].change(ctx); failed != nil {
				break
			}
		}
		until := int64(r.options.Requests * (i + 1) / len(phases))
		for (done.Load() < until || time.Since(phases[i].switched) < phaseLeast) && ctx.Err() == nil {
			n := done.Load()
			rate := float64(n) / time.Since(began).Seconds()
			r.out.tell("%s: %d of %d requests, %.0f a second, about %s to go", phases[i].title, n, r.options.Requests, rate,
				rough(time.Duration(float64(int64(r.options.Requests)-n)/max(rate, 1)*float64(time.Second))))
			time.Sleep(50 * time.Millisecond)
		}
	}
	close(stop)
	clients.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := slices.Concat(results...)
	slices.SortFunc(all, func(a, b answer) int { return a.begun.Compare(b.begun) })
	return all, failed
}

func failures(answers []answer) (string, bool, error) {
	bad := counts{}
	for _, a := range answers {
		if a.version != "v1" && a.version != "v2" {
			bad[a.version]++
		}
	}
	return fmt.Sprintf("%d failed %s", bad.total(), bad), bad.total() == 0, nil
}

func end(phases []phase, i int) time.Time {
	if i+1 < len(phases) {
		return phases[i+1].switched
	}
	return time.Now()
}

func (p *phase) must() string {
	if p.expect != "" {
		return fmt.Sprintf("%s: within a second all answers are %s", p.title, p.expect)
	}
	return fmt.Sprintf("%s: within a second both versions answer, about half each", p.title)
}

// seen judges the answers to requests that began and ended between the switch and
// the end: one under way when the next switch is made may be answered by that.
func (p *phase) seen(answers []answer, end time.Time) (string, bool, error) {
	settled := p.switched // when the last unexpected answer was asked for, or both had answered
	after := counts{}
	first := map[string]bool{}
	for _, a := range answers {
		if a.begun.Before(p.switched) || a.ended.After(end) {
			continue
		}
		switch {
		case p.expect != "" && a.version != p.expect:
			settled = a.begun
		case p.expect == "" && !first[a.version]:
			first[a.version] = true
			settled = a.begun
		}
		if a.begun.Sub(p.switched) > switchLimit {
			after[a.version]++
		}
	}
	took := settled.Sub(p.switched)
	seen := fmt.Sprintf("after %s; then %s", took.Round(time.Millisecond), after)
	if p.expect != "" {
		return seen, took < switchLimit && after.only(p.expect), nil
	}
	return seen, took < switchLimit && after.even("v1", "v2", 0.4), nil
}
