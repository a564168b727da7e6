package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// reports gathers what is wrong with people's objects, from where they are
// read, from what was made of them and from proxies that refused it, and logs
// each once, within bounds.
type reports struct {
	log    *findingLog
	engine *snapshot.Engine // set before run
	// refusals are what proxies refuse now; set before run.
	refusals func() []discovery.Refusal
	wake     chan struct{}                     // of size 1
	tell     func()                            // that findings may have changed; set before run, nil: nobody listens
	changed  func(came, went []object.Finding) // what is no longer as it was at the last look; set before run
	more     []func() []object.Finding         // further sources, asked whenever findings are gathered; set before run

	mu       sync.Mutex
	read     map[string][]object.Finding // by what was read, a file or a kind
	reported map[object.Finding]struct{} // as of the last look; nil before the first
}

func newReports(log *slog.Logger) *reports {
	return &reports{log: newFindingLog(log), wake: make(chan struct{}, 1), read: map[string][]object.Finding{}, reported: map[object.Finding]struct{}{}}
}

func (r *reports) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// input replaces what is wrong with one thing that is read.
func (r *reports) input(what string, findings []object.Finding) {
	r.mu.Lock()
	if len(findings) == 0 {
		delete(r.read, what)
	} else {
		r.read[what] = findings
	}
	r.mu.Unlock()
	r.signal()
}

// rejected are the objects of what proxies refuse.
func rejected(refusals []discovery.Refusal) (out []object.Finding) {
	for _, r := range refusals {
		for _, o := range r.Owners {
			out = append(out, object.Finding{Object: o, Code: object.CodeRejected,
				Message: fmt.Sprintf("proxies refuse what is made of it, and keep what they had; that of pod %s says: %q", r.By, r.Message)})
		}
	}
	return out
}

// all are the findings in force, in the order of their objects.
func (r *reports) all() []object.Finding {
	out := append(r.engine.Findings(), rejected(r.refusals())...)
	for _, ask := range r.more {
		out = append(out, ask()...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.read {
		out = append(out, l...)
	}
	slices.SortStableFunc(out, func(a, b object.Finding) int {
		return cmp.Or(cmp.Compare(a.Object.String(), b.Object.String()), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

// lookEvery is how long after a change its findings are gathered for the log:
// long enough not to follow every step of a storm.
const lookEvery = 500 * time.Millisecond

// run logs new findings, and forgets those that are no longer in force.
func (r *reports) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
		now := map[object.Finding]struct{}{}
		var fresh, came, went []object.Finding
		for _, f := range r.all() {
			now[f] = struct{}{}
			if _, known := r.reported[f]; !known && r.reported != nil {
				came = append(came, f)
			}
			if _, known := r.reported[f]; !known && f.Code != object.CodeRejected && f.Code != object.CodePending { // who finds them tells more of those
				fresh = append(fresh, f)
			}
		}
		r.log.write(time.Now(), fresh)
		for f := range r.reported {
			if _, still := now[f]; !still {
				went = append(went, f)
			}
		}
		r.changed(came, went)
		r.reported = now
		if r.tell != nil {
			r.tell()
		}
	}
}
