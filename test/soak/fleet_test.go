package soak

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/test/wire"
)

// fleet are simulated proxies of one control plane.
type fleet struct {
	*testing.T
	xds    string
	bodies *wire.Bodies
	heard  atomic.Int64
	of     map[int]*proxy
}

type proxy struct {
	labels map[string]any
	end    func()
}

func newFleet(t *testing.T, xds string) *fleet {
	f := &fleet{T: t, xds: xds, bodies: wire.NewBodies(), of: map[int]*proxy{}}
	t.Cleanup(f.leave)
	return f
}

// join connects a proxy in a place. Every eighth is a gateway.
func (f *fleet) join(place int, labels map[string]any) {
	f.Helper()
	kind, namespace := "sidecar", fmt.Sprint("ns-", place%namespaces)
	if place%8 == 0 {
		kind, namespace = "router", "ns-0"
	}
	metadata, err := structpb.NewStruct(map[string]any{"LABELS": labels, "NAMESPACE": namespace})
	if err != nil {
		f.Fatal(err)
	}
	options := wire.Options{
		NodeID: fmt.Sprintf("%s~10.200.%d.%d~proxy-%d.%s~%s.svc.cluster.local", kind, place/250, 1+place%250, place, namespace, namespace), Delta: true, Metadata: metadata, Bodies: f.bodies,
		OnResponse: func(wire.Response) error { f.heard.Add(1); return nil },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = wire.New(options).Run(ctx, f.xds)
			time.Sleep(100 * time.Millisecond)
		}
	}()
	f.of[place] = &proxy{labels, sync.OnceFunc(func() { cancel(); <-done })}
}

// replace has a proxy leave, and another come in its place.
func (f *fleet) replace(place int, labels map[string]any) {
	f.Helper()
	f.of[place].end()
	f.join(place, labels)
}

func (f *fleet) leave() {
	for place, p := range f.of {
		p.end()
		delete(f.of, place)
	}
}

// quiet waits until the proxies have heard nothing for a while.
func (f *fleet) quiet(within time.Duration) {
	f.Helper()
	const still = 3 * time.Second
	heard, since := f.heard.Load(), time.Now()
	for end := time.Now().Add(within); time.Since(since) < still; time.Sleep(50 * time.Millisecond) {
		if now := f.heard.Load(); now != heard {
			heard, since = now, time.Now()
		}
		if time.Now().After(end) {
			f.Fatalf("proxies are still told things after %s", within)
		}
	}
}
