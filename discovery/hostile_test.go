package discovery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// walker is a client that keeps to no rule: it says whatever it likes at any time, of either
// variant, and takes note of what it is told.
type walker struct {
	r       *rand.Rand
	addr    string
	node    string
	names   []string          // that it asks for, those of others among them
	secrets map[string]string // versions of what others hold, by name
	allowed func(string) bool // whether it may hear of a resource of the name

	mu       sync.Mutex
	nonces   map[string][]string // that it was told, by type
	owed     [][2]string         // types and nonces of what it has not answered yet
	said     int                 // messages
	heard    int                 // messages
	bytes    int
	streams  int
	unlawful []string // resources that it was told of and may not have
}

// names picks a few, some of them several times.
func (w *walker) some() []string {
	switch w.r.IntN(12) {
	case 0, 1, 2:
		return nil
	case 3, 4:
		return []string{wildcard}
	case 5:
		return slices.Repeat([]string{w.names[w.r.IntN(len(w.names))]}, 500)
	case 6:
		return manyNames(1+w.r.IntN(400), w.r.IntN(200))
	}
	list := make([]string, 1+w.r.IntN(6))
	for i := range list {
		list[i] = w.names[w.r.IntN(len(w.names))]
	}
	return list
}

// url is a type, sometimes one that nobody knows.
func (w *walker) url() string {
	if n := w.r.IntN(int(snapshot.NumTypes) + 1); n < int(snapshot.NumTypes) {
		return snapshot.Type(n).TypeURL() //nolint:gosec // NumTypes is small
	}
	return []string{"", "type.googleapis.com/none", strings.Repeat("t", 3000)}[w.r.IntN(3)]
}

// nonce is that of the newest response of a type, of an older one, of another type's, or of
// none that there is.
func (w *walker) nonce(url string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.r.IntN(8) == 0 {
		url = snapshot.Type(w.r.IntN(int(snapshot.NumTypes))).TypeURL() //nolint:gosec // NumTypes is small
	}
	list := w.nonces[url]
	switch n := w.r.IntN(10); {
	case n == 0:
		return []string{"0", "18446744073709551616", "-1", "x"}[w.r.IntN(4)]
	case n < 3 || len(list) == 0:
		return ""
	case n < 5:
		return list[w.r.IntN(len(list))]
	}
	return list[len(list)-1]
}

// past are versions that it claims to hold: its own, those of others, and made up ones.
func (w *walker) past() map[string]string {
	if w.r.IntN(4) > 0 {
		return nil
	}
	out := map[string]string{}
	for _, name := range w.some() {
		out[name] = w.secrets[name]
	}
	if w.r.IntN(3) == 0 {
		for name, version := range w.secrets {
			out[name] = version
		}
	}
	return out
}

// owes is a response that it answers as it should, for a change: else it would not get far.
func (w *walker) owes() (url, nonce string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.owed) == 0 || w.r.IntN(3) == 0 {
		return "", "", false
	}
	next := w.owed[0]
	w.owed = w.owed[1:]
	return next[0], next[1], true
}

func (w *walker) nodeOf(first bool) *corev3.Node {
	if first {
		return &corev3.Node{Id: w.node, UserAgentName: "envoy"}
	}
	if w.r.IntN(10) == 0 {
		return &corev3.Node{Id: nodeID} // of somebody else
	}
	return nil
}

func (w *walker) refusal() *rpcstatus.Status {
	if w.r.IntN(3) > 0 {
		return nil
	}
	return &rpcstatus.Status{Code: 3, Message: strings.Repeat("no\n\x1b[2J", w.r.IntN(2000))}
}

func (w *walker) told(url, nonce string, size int, names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if list := w.nonces[url]; len(list) > 50 {
		w.nonces[url] = list[25:]
	}
	w.nonces[url] = append(w.nonces[url], nonce)
	w.owed = append(w.owed[max(0, len(w.owed)-20):], [2]string{url, nonce})
	w.heard++
	w.bytes += size
	for _, n := range names {
		if !w.allowed(n) {
			w.unlawful = append(w.unlawful, url+" "+n)
		}
	}
}

// walk opens streams one after the other, each for some messages, until ctx ends.
func (w *walker) walk(ctx context.Context, t *testing.T) {
	conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	client := discoveryv3.NewAggregatedDiscoveryServiceClient(conn)
	for ctx.Err() == nil {
		short, cancel := context.WithCancel(ctx)
		w.mu.Lock()
		w.nonces, w.owed = map[string][]string{}, nil
		w.mu.Unlock()
		w.streams++
		if w.r.IntN(2) == 0 {
			w.delta(short, client, w.r.IntN(300))
		} else {
			w.state(short, client, w.r.IntN(300))
		}
		cancel()
	}
}

func (w *walker) pause() {
	w.said++
	if w.r.IntN(20) == 0 {
		time.Sleep(time.Duration(w.r.IntN(20)) * time.Millisecond)
	}
}

func (w *walker) delta(ctx context.Context, client discoveryv3.AggregatedDiscoveryServiceClient, messages int) {
	s, err := client.DeltaAggregatedResources(ctx)
	if err != nil {
		return
	}
	reader := hear(func() error {
		r, err := s.Recv()
		var names []string
		size := 0
		for _, one := range r.GetResources() {
			names = append(names, one.GetName())
			size += len(one.GetResource().GetValue())
		}
		if err == nil {
			w.told(r.GetTypeUrl(), r.GetNonce(), size, names)
		}
		return err
	})
	for i := range messages {
		if url, nonce, ok := w.owes(); ok {
			if s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: url, ResponseNonce: nonce, ErrorDetail: w.refusal()}) != nil {
				break
			}
			w.pause()
		}
		url := w.url()
		if s.Send(&discoveryv3.DeltaDiscoveryRequest{Node: w.nodeOf(i == 0), TypeUrl: url, ResponseNonce: w.nonce(url), ErrorDetail: w.refusal(),
			ResourceNamesSubscribe: w.some(), ResourceNamesUnsubscribe: w.some(), InitialResourceVersions: w.past()}) != nil {
			break
		}
		w.pause()
	}
	w.leave(s, reader)
}

func (w *walker) state(ctx context.Context, client discoveryv3.AggregatedDiscoveryServiceClient, messages int) {
	s, err := client.StreamAggregatedResources(ctx)
	if err != nil {
		return
	}
	reader := hear(func() error {
		r, err := s.Recv()
		size := 0
		for _, one := range r.GetResources() {
			size += len(one.GetValue())
		}
		if err == nil {
			w.told(r.GetTypeUrl(), r.GetNonce(), size, namesIn(r.GetResources()))
		}
		return err
	})
	for i := range messages {
		if url, nonce, ok := w.owes(); ok {
			if s.Send(&discoveryv3.DiscoveryRequest{TypeUrl: url, ResponseNonce: nonce, ErrorDetail: w.refusal(), ResourceNames: w.names[len(w.names)-8:]}) != nil {
				break
			}
			w.pause()
		}
		url := w.url()
		version := ""
		if w.r.IntN(3) == 0 {
			version = hexVersion(w.r.Uint64())
		}
		if s.Send(&discoveryv3.DiscoveryRequest{Node: w.nodeOf(i == 0), TypeUrl: url, ResponseNonce: w.nonce(url), ErrorDetail: w.refusal(), ResourceNames: w.some(), VersionInfo: version}) != nil {
			break
		}
		w.pause()
	}
	w.leave(s, reader)
}

// hear takes in one response after the other until there is an error; what it returns is
// closed then.
func hear(next func() error) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for next() == nil {
		}
	}()
	return over
}

// leave closes a stream, at times without a word.
func (w *walker) leave(s grpc.ClientStream, reader <-chan struct{}) {
	if w.r.IntN(2) == 0 {
		_ = s.CloseSend()
	}
	select {
	case <-reader:
	case <-time.After(20 * time.Millisecond):
	}
}

// namesIn are the names of encoded resources, without stand-ins for clusters that the client
// itself says that it has.
func namesIn(list []*anypb.Any) (names []string) {
	for _, one := range list {
		m, err := one.UnmarshalNew()
		if err != nil {
			continue
		}
		if c, ok := m.(*clusterv3.Cluster); ok && strings.HasPrefix(c.GetEdsClusterConfig().GetServiceName(), standInPrefix) {
			continue
		}
		switch m := m.(type) {
		case interface{ GetName() string }:
			names = append(names, m.GetName())
		case interface{ GetClusterName() string }:
			names = append(names, m.GetClusterName())
		}
	}
	return names
}

// evilStack is what the namespace of the hostile proxies sees.
func evilStack(t testing.TB, round int) snapshot.Stack {
	list := []*snapshot.Resource{rdsListener(t, "evil-l", 18081, "evil-81"), frame(t, "evil-81"), virtualHost(t, "evil-81", "*", "")}
	for i := range 5 {
		name := fmt.Sprint("evil-", (i+round)%8)
		list = append(list, edsCluster(t, name, fmt.Sprint(round%3)), endpoints(t, name, 9000+uint32(round%7)), virtualHost(t, "evil-81", name, name)) //nolint:gosec // few
	}
	return snapshot.Stack{snapshot.NewRevision(list...)}
}

// processorTime is what the process has used of its processors.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestHostileWalk has clients that keep to no rule walk at random, while the mesh changes and
// honest ones are served: these have what was published, the others are told of nothing that
// is not theirs and cannot have more sent than they ask for, and nothing is left of them.
// FAIRWAY_WALK is how long, FAIRWAY_WALK_SEED by what they choose.
func TestHostileWalk(t *testing.T) {
	length, seed := 2*time.Second, uint64(1)
	if text := os.Getenv("FAIRWAY_WALK"); text != "" {
		length, _ = time.ParseDuration(text)
	}
	if text := os.Getenv("FAIRWAY_WALK_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("FAIRWAY_WALK=%s FAIRWAY_WALK_SEED=%d", length, seed)
	const walkers = 4
	stack := meshOf(t, 50)
	var mu sync.Mutex
	evil, views := evilStack(t, 0), map[*snapshot.View]bool{}
	h := serve(t, stack, func(c *Config) {
		c.PhaseTimeout = 50 * time.Millisecond
		honest := c.Attach
		c.Attach = func(ctx context.Context, client *snapshot.Client) (*snapshot.View, error) {
			if client.Namespace != "evil" {
				return honest(ctx, client)
			}
			mu.Lock()
			defer mu.Unlock()
			var view *snapshot.View
			view = snapshot.NewView(evil, func() {
				mu.Lock()
				defer mu.Unlock()
				delete(views, view)
			})
			views[view] = true
			return view, nil
		}
	}, Transport{})
	delta, _ := connect(t, h.addr, wire.Options{Delta: true})
	state, _ := connect(t, h.addr, wire.Options{})
	has := func() bool { return holds(delta, stack, false) && holds(state, stack, true) }
	eventually(t, "honest proxies have all", has)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()

	names := []string{wildcard, "", "/", "80/", "80/*", "80", "evil-81", "evil-81/", "evil-81/*", "evil-81/evil-1", "evil-l", "0.0.0.0_80", "default", "ROOTCA", strings.Repeat("n", 2000), standInPrefix + "evil-1"}
	versions := map[string]string{}
	for typ := range snapshot.NumTypes {
		for r := range stack.All(typ) {
			versions[r.Name] = r.Version
			names = append(names, r.Name)
		}
	}
	for i := range 8 {
		names = append(names, fmt.Sprint("evil-", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var all sync.WaitGroup
	hostile := make([]*walker, walkers)
	for i := range hostile {
		w := &walker{r: rand.New(rand.NewPCG(seed, uint64(i))), addr: h.addr, node: fmt.Sprintf("sidecar~10.66.0.%d~bad-%d.evil~evil.svc.cluster.local", i+1, i), //nolint:gosec // equal seeds walk equally
			names: names, secrets: versions, allowed: func(name string) bool { return versions[name] == "" && !strings.HasPrefix(name, "80/") }}
		hostile[i] = w
		all.Go(func() { w.walk(ctx, t) })
	}
	publishes := 0
	for ctx.Err() == nil {
		publishes++
		name := fmt.Sprintf("svc-%04d", publishes%50)
		stack = with(stack, []*snapshot.Resource{edsCluster(t, name, fmt.Sprint(publishes)), endpoints(t, name, 9000+uint32(publishes%100)), virtualHost(t, "80", "new", name)}) //nolint:gosec // few
		h.publish(stack)
		mu.Lock()
		evil = evilStack(t, publishes)
		for v := range views {
			v.Publish(evil)
		}
		mu.Unlock()
		began := time.Now()
		eventually(t, "honest proxies have what is new", has)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("honest proxies waited %s for a change", d)
		}
		time.Sleep(20 * time.Millisecond)
	}
	all.Wait()
	if rejected := h.rejections(); slices.ContainsFunc(rejected, func(r Rejection) bool { return r.Client.Namespace != "evil" }) {
		t.Errorf("refusals are said to be of others: %v", rejected)
	}
	for i, w := range hostile {
		w.mu.Lock()
		t.Logf("%d: %d streams, said %d messages, heard %d of %d KiB", i, w.streams, w.said, w.heard, w.bytes>>10)
		if len(w.unlawful) > 0 {
			t.Errorf("%d was told of %d resources that are not its own, such as %s", i, len(w.unlawful), w.unlawful[0])
		}
		// A message has at most one response of its type follow, and one of each type what a change leads to.
		if most := int(snapshot.NumTypes) * (w.said + 2*publishes + w.streams); w.heard > most {
			t.Errorf("%d heard %d messages, more than %d", i, w.heard, most)
		}
		if w.said < 20 {
			t.Errorf("%d said next to nothing", i)
		}
		w.mu.Unlock()
	}
	eventually(t, "hostile streams are over", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(views) == 0 && runtime.NumGoroutine() <= goroutines+2
	})
	h.server.Shed()
	runtime.GC()
	runtime.GC()
	if runtime.ReadMemStats(&after); after.HeapAlloc > before.HeapAlloc+8<<20 {
		t.Errorf("%d KiB are held, and %d were before", after.HeapAlloc>>10, before.HeapAlloc>>10)
	}
	eventually(t, "honest proxies have all in the end", has)
	used := processorTime(t)
	time.Sleep(time.Second)
	if used = processorTime(t) - used; used > 300*time.Millisecond {
		t.Errorf("at rest the processors work for %s in a second", used)
	}
}
