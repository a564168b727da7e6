package attack_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// The honest mesh.
const (
	namespaces = 4
	services   = 160 // beside "web" of each namespace
	sidecars   = 16
	host       = "shop.example" // at the shared gateway
)

const since = `creationTimestamp: "2020-01-01T00:00:00Z"`

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	part := filepath.Join(dir, "."+name)
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func podName(i int) (name, namespace, address string) {
	return fmt.Sprintf("web-%d", i), fmt.Sprintf("ns%d", i%namespaces), fmt.Sprintf("10.32.0.%d", i+1)
}

// writeMesh writes what the honest have: the backend answers for the service "web" of ns0.
func writeMesh(t testing.TB, dir, backend, backendPort string, gatewayPort int) {
	t.Helper()
	var b strings.Builder
	add := func(format string, arguments ...any) { fmt.Fprintf(&b, format+"\n---\n", arguments...) }
	service := func(namespace, name, clusterIP, address, port string) {
		add("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s, %s}\nspec: {clusterIP: %s, ports: [{name: http, port: 80, targetPort: %s}]}", name, namespace, since, clusterIP, port)
		add("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s, namespace: %s, labels: {kubernetes.io/service-name: %s}}\naddressType: IPv4\nports: [{name: http, port: %s}]\nendpoints: [{addresses: [%s], conditions: {ready: true}}]",
			name, namespace, name, port, address)
	}
	for n := range namespaces {
		add("apiVersion: v1\nkind: Namespace\nmetadata: {name: ns%d}", n)
		address, port := fmt.Sprintf("10.32.0.%d", n+1), "8080"
		if n == 0 {
			address, port = backend, backendPort
		}
		service(fmt.Sprint("ns", n), "web", fmt.Sprintf("10.96.0.%d", n+1), address, port)
		if n != 1 {
			add("%s", webRule(n, "steady"))
		}
	}
	for i := range services {
		service(fmt.Sprint("ns", i%namespaces), fmt.Sprint("s", i), fmt.Sprintf("10.96.1.%d", i+1), fmt.Sprintf("10.33.0.%d", i+1), "8080")
	}
	for i := range sidecars {
		name, namespace, address := podName(i)
		add("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: %s, labels: {app: web}}\nspec: {serviceAccountName: default, containers: [{name: web, image: web}]}\nstatus: {phase: Running, podIP: %s, podIPs: [{ip: %s}]}", name, namespace, address, address)
	}
	add("apiVersion: v1\nkind: Pod\nmetadata: {name: ingress, namespace: istio-system, labels: {istio: ingress}}\nspec: {serviceAccountName: default, containers: [{name: istio-proxy, image: envoy}]}\nstatus: {phase: Running, podIP: 10.31.0.1, podIPs: [{ip: 10.31.0.1}]}")
	add("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: front, namespace: istio-system, %s}\nspec: {selector: {istio: ingress}, servers: [{port: {number: %d, name: http, protocol: HTTP}, hosts: [%s]}]}", since, gatewayPort, host)
	add("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: front, namespace: ns0, %s}\nspec: {hosts: [%s], gateways: [istio-system/front], http: [{route: [{destination: {host: web}}]}]}", since, host)
	write(t, dir, "honest.yaml", b.String())
	write(t, dir, "change.yaml", webRule(1, "steady"))
}

// webRule is the rule of a namespace for its own service.
func webRule(n int, mark string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: ns%d, %s}\nspec: {hosts: [web], http: [{route: [{destination: {host: web}}], headers: {response: {set: {x-mark: %s}}}}]}\n", n, since, mark)
}

// fleet is the honest proxies, and what they wait for.
type fleet struct {
	address string
	proxies []*honest

	mu     sync.Mutex
	mark   []byte
	seen   map[*honest]bool
	all    chan struct{}
	stolen string // what no proxy should have got
}

// honest is a simulated proxy.
type honest struct {
	options wire.Options
	client  *wire.Client
	ended   error // of its stream, before its time

	mu     sync.Mutex
	bodies map[snapshot.Type]map[string]uint64 // hashes, by name
	sizes  map[snapshot.Key]int                // of what it holds, in bytes; of the incremental variant
	load   load
	most   load // that it ever held
}

// load is what an Envoy has to hold.
type load struct {
	heavy int // clusters and listeners, which take most of its memory
	bytes int
}

func (h *honest) hold(k snapshot.Key, size int) {
	old, held := h.sizes[k]
	if k.Type == snapshot.Cluster || k.Type == snapshot.Listener {
		switch {
		case held && size < 0:
			h.load.heavy--
		case !held && size >= 0:
			h.load.heavy++
		}
	}
	if h.load.bytes -= old; size < 0 {
		delete(h.sizes, k)
	} else {
		h.sizes[k] = size
		h.load.bytes += size
	}
	h.most = load{max(h.most.heavy, h.load.heavy), max(h.most.bytes, h.load.bytes)}
}

var seed = maphash.MakeSeed()

func (h *honest) took(r wire.Response) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range r.Put {
		if h.bodies[r.Type] == nil {
			h.bodies[r.Type] = map[string]uint64{}
		}
		h.bodies[r.Type][p.Name] = maphash.Bytes(seed, p.Body)
		h.hold(snapshot.Key{Type: r.Type, Name: p.Name}, len(p.Body))
		if r.Type == snapshot.Secret { // made for each anew
			h.bodies[r.Type][p.Name] = 0
		}
	}
	for _, name := range r.Removed {
		h.hold(snapshot.Key{Type: r.Type, Name: name}, -1)
	}
}

// held is the hashes of what the proxy has now, by type and name.
func (h *honest) held() map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]uint64{}
	all := h.client.Held()
	for typ, names := range all {
		for name := range names {
			// An Envoy drops virtual hosts with the route configuration that they are of.
			if config, _, _ := strings.Cut(name, "/"); typ == snapshot.VirtualHost && all[snapshot.RouteConfig][config] == "" {
				continue
			}
			out[fmt.Sprint(typ, " ", name)] = h.bodies[typ][name]
		}
	}
	return out
}

func newHonest(o wire.Options, also func(*honest, wire.Response)) *honest {
	h := &honest{options: o, bodies: map[snapshot.Type]map[string]uint64{}, sizes: map[snapshot.Key]int{}}
	o.OnResponse = func(r wire.Response) error {
		h.took(r)
		if also != nil {
			also(h, r)
		}
		return nil
	}
	h.client = wire.New(o)
	return h
}

// connect brings the honest proxies up: of both variants, and a gateway.
func connect(ctx context.Context, address string) *fleet {
	f := &fleet{address: address}
	for i := range sidecars {
		name, namespace, ip := podName(i)
		f.proxies = append(f.proxies, newHonest(wire.Options{Delta: i%4 != 3, NodeID: fmt.Sprintf("sidecar~%s~%s.%s~%s.svc.cluster.local", ip, name, namespace, namespace)}, f.took))
	}
	f.proxies = append(f.proxies, newHonest(wire.Options{Delta: true, NodeID: "router~10.31.0.1~ingress.istio-system~istio-system.svc.cluster.local"}, nil))
	for _, h := range f.proxies {
		go func() {
			if err := h.client.Run(ctx, address); ctx.Err() == nil {
				h.mu.Lock()
				h.ended = fmt.Errorf("its stream ended: %w", err)
				h.mu.Unlock()
			}
		}()
	}
	return f
}

func (f *fleet) took(h *honest, r wire.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range r.Put {
		if r.Type == snapshot.VirtualHost && strings.Contains(p.Name, "web.ns") && bytes.Contains(p.Body, []byte("stolen")) {
			f.stolen = p.Name
		}
		if f.all != nil && !f.seen[h] && bytes.Contains(p.Body, f.mark) {
			if f.seen[h] = true; len(f.seen) == sidecars {
				close(f.all)
				f.all = nil
			}
		}
	}
}

// most is what an honest sidecar had to hold at most.
func (f *fleet) most() (most load) {
	for _, h := range f.proxies[:sidecars] {
		if h.options.Delta {
			h.mu.Lock()
			most = load{max(most.heavy, h.most.heavy), max(most.bytes, h.most.bytes)}
			h.mu.Unlock()
		}
	}
	return most
}

// changes makes honest changes one after the other until ctx ends, and tells how long
// each took until the last sidecar had it.
func (f *fleet) changes(ctx context.Context, t *testing.T, dir string, from int) (took []time.Duration) {
	for i := from; ctx.Err() == nil; i++ {
		mark := fmt.Sprintf("mark-%d.", i)
		all := make(chan struct{})
		f.mu.Lock()
		f.mark, f.seen, f.all = []byte(mark), map[*honest]bool{}, all
		f.mu.Unlock()
		began := time.Now()
		write(t, dir, "change.yaml", webRule(1, mark))
		select {
		case <-all:
			took = append(took, time.Since(began))
		case <-time.After(20 * time.Second):
			t.Errorf("an honest change has not reached every proxy after 20 s")
			return took
		}
		time.Sleep(100 * time.Millisecond)
	}
	return took
}

// lost tells of a proxy whose stream has ended, and of what was stolen.
func (f *fleet) lost() error {
	for _, h := range f.proxies {
		h.mu.Lock()
		err := h.ended
		h.mu.Unlock()
		if err != nil {
			return fmt.Errorf("%s: %w", h.options.NodeID, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stolen != "" {
		return fmt.Errorf("%s leads to what a tenant wrote", f.stolen)
	}
	return nil
}

// asFresh compares what each proxy has with what one of its kind gets that comes anew.
func (f *fleet) asFresh(t *testing.T) {
	t.Helper()
	for _, h := range f.proxies {
		ctx, cancel := context.WithCancel(t.Context())
		fresh := newHonest(h.options, nil)
		go func() { _ = fresh.client.Run(ctx, f.address) }()
		eventually(t, h.options.NodeID+" has what a fresh proxy gets", func() error { return difference(h.held(), fresh.held()) })
		cancel()
	}
}

func difference(a, b map[string]uint64) error {
	var out []string
	for name, body := range a {
		if other, ok := b[name]; !ok {
			out = append(out, name+" is there only in the first")
		} else if other != body {
			out = append(out, name+" differs")
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, name+" is there only in the second")
		}
	}
	if slices.Sort(out); len(out) > 0 {
		return fmt.Errorf("%d differences: %s", len(out), strings.Join(out[:min(len(out), 5)], "; "))
	}
	if len(a) == 0 {
		return fmt.Errorf("both are empty")
	}
	return nil
}
