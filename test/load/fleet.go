package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// fleet is many simulated proxies.
type fleet struct {
	proxies []*proxy
	address string
	delta   bool
	light   bool // too many to remember what each holds
	options func(*proxy, *wire.Options)
	bodies  *wire.Bodies

	mu      sync.Mutex
	sought  *sought
	traffic traffic
	last    time.Time // when anything came
}

// traffic is what came.
type traffic struct {
	Messages        int
	Bytes           int
	Useless         int // messages that changed nothing
	UselessBytes    int
	UselessSample   string // what the first of them was
	Concerned, Most int    // proxies that got anything, and the most bytes that one got
}

// sought is what a scenario waits for: a mark in a resource, or a name that goes.
type sought struct {
	typ     snapshot.Type
	name    string // of the resource; empty: any
	mark    []byte // nil: the name only
	removed bool
	seen    map[*proxy]time.Time
	want    int
	done    chan struct{}
}

// proxy is one of the fleet.
type proxy struct {
	id        string
	namespace string
	router    bool
	client    *wire.Client
	end       context.CancelFunc
	ended     chan struct{}
	bytes     int
	messages  int
	warming   map[string]bool // clusters that came since their endpoints did
	held      map[snapshot.Type]map[string]string
	wants     map[snapshot.Type]map[string]string
}

func newFleet(w *world, delta bool) *fleet {
	f := &fleet{delta: delta, light: w.Sidecars > 1000, options: func(*proxy, *wire.Options) {}, bodies: wire.NewBodies()}
	for n := range w.Sidecars {
		// A prime step spreads the sidecars over services and namespaces.
		service, pod := (n*7)%w.Services, n%w.Pods
		ns := w.namespace(service)
		id := fmt.Sprintf("sidecar~%s~%s.%s~%s.svc.cluster.local", podAddress(service, pod), podName(service, pod), ns, ns)
		f.proxies = append(f.proxies, &proxy{id: id, namespace: ns})
	}
	for g := range w.Gateways {
		id := fmt.Sprintf("router~10.31.0.%d~ingress-%d.istio-system~istio-system.svc.cluster.local", g+1, g)
		f.proxies = append(f.proxies, &proxy{id: id, namespace: "istio-system", router: true})
	}
	return f
}

// connect starts the proxies. With resume each says what it holds.
func (f *fleet) connect(proxies []*proxy, resume bool) error {
	if err := f.prepare(proxies, resume); err != nil {
		return err
	}
	f.start(proxies)
	return nil
}

// prepare makes the clients as far as they are there before they connect: an
// Envoy that lost its stream does not have to fill its memory first.
func (f *fleet) prepare(proxies []*proxy, resume bool) error {
	for _, p := range proxies {
		meta, err := structpb.NewStruct(map[string]any{"NAMESPACE": p.namespace})
		if err != nil {
			return err
		}
		options := wire.Options{NodeID: p.id, Delta: f.delta, Light: f.light, Metadata: meta, Bodies: f.bodies}
		f.options(p, &options)
		if resume && p.held != nil {
			options.Held, options.Wants = p.held, p.wants
		}
		p.ended, p.warming = make(chan struct{}), map[string]bool{}
		options.OnResponse = func(r wire.Response) error { f.receive(p, r); return nil }
		p.client = wire.New(options)
	}
	return nil
}

// start connects the proxies.
func (f *fleet) start(proxies []*proxy) {
	for _, p := range proxies {
		ctx, cancel := context.WithCancel(context.Background())
		p.end = cancel
		go func(c *wire.Client, ended chan struct{}) {
			defer close(ended)
			_ = c.Run(ctx, f.address)
		}(p.client, p.ended)
	}
}

// disconnect ends the streams and keeps what the proxies held.
func (f *fleet) disconnect(proxies []*proxy) {
	for _, p := range proxies {
		p.end()
	}
	for _, p := range proxies {
		<-p.ended
		p.held, p.wants = p.client.Held(), p.client.Wants()
	}
}

// receive sees each response before the client takes it.
func (f *fleet) receive(p *proxy, r wire.Response) {
	now := time.Now()
	useless := f.useless(p, r)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = now
	f.traffic.Messages++
	f.traffic.Bytes += r.Bytes
	p.bytes += r.Bytes
	p.messages++
	if useless {
		f.traffic.Useless++
		f.traffic.UselessBytes += r.Bytes
		if f.traffic.UselessSample == "" {
			f.traffic.UselessSample = sample(p, r)
		}
	}
	s := f.sought
	if s == nil || s.typ != r.Type {
		return
	}
	if _, ok := s.seen[p]; ok || !s.in(r) {
		return
	}
	s.seen[p] = now
	if len(s.seen) == s.want {
		close(s.done)
	}
}

// sample says what a response was about.
func sample(p *proxy, r wire.Response) string {
	var put []string
	for _, res := range r.Put {
		put = append(put, res.Name)
	}
	text := fmt.Sprintf("%s %s +%v -%v", p.id, r.Type, put, r.Removed)
	return text[:min(len(text), 300)]
}

func (s *sought) in(r wire.Response) bool {
	if s.removed {
		for _, name := range r.Removed {
			if name == s.name {
				return true
			}
		}
		return false
	}
	for _, res := range r.Put {
		if s.name != "" && s.name != res.Name {
			continue
		}
		if s.mark == nil || bytes.Contains(res.Body, s.mark) {
			return true
		}
	}
	return false
}

// useless tells whether nothing of the response is new to the proxy.
func (f *fleet) useless(p *proxy, r wire.Response) bool {
	if len(r.Put)+len(r.Removed) == 0 {
		return false // the answer to a subscription
	}
	novel := false
	for _, res := range r.Put {
		old, held := p.client.Version(r.Type, res.Name)
		novel = novel || !held || old != res.Version || res.Version == ""
		if r.Type == snapshot.Cluster {
			p.warming[res.Name] = true
		}
		if r.Type == snapshot.Endpoint && p.warming[res.Name] { // Envoy warms a changed cluster with endpoints sent anew
			novel = true
			delete(p.warming, res.Name)
		}
	}
	if novel {
		return false
	}
	for _, name := range r.Removed {
		if _, held := p.client.Version(r.Type, name); held {
			return false
		}
	}
	return true
}

// seek makes the fleet look out for something.
func (f *fleet) seek(s *sought) *sought {
	s.seen, s.done = map[*proxy]time.Time{}, make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sought = s
	return s
}

// begin starts to count anew.
func (f *fleet) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.traffic = traffic{}
	for _, p := range f.proxies {
		p.bytes, p.messages = 0, 0
	}
}

// counted is what came since begin.
func (f *fleet) counted() traffic {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.traffic
	for _, p := range f.proxies {
		if p.messages > 0 {
			t.Concerned++
		}
		t.Most = max(t.Most, p.bytes)
	}
	return t
}

// settle waits until nothing came for a while, and returns when the last came.
func (f *fleet) settle(ctx context.Context, quiet time.Duration) time.Time {
	start := time.Now()
	for {
		f.mu.Lock()
		last := f.last
		f.mu.Unlock()
		if last.Before(start) {
			last = start
		}
		rest := quiet - time.Since(last)
		if rest <= 0 || ctx.Err() != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.last
		}
		time.Sleep(rest)
	}
}
