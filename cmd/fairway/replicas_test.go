package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/faults"
	"github.com/fairway-mesh/fairway/test/kube"
)

// replicaPods are the Service of the control plane and its Pods, of which each has
// an address and a port of its own.
const replicaPods = `apiVersion: v1
kind: Service
metadata: {name: fairway, namespace: istio-system}
spec: {selector: {app: fairway}, ports: [{name: http-monitoring, port: 15014, targetPort: http-monitoring}]}
`

const replicaPod = `apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: istio-system, labels: {app: fairway}}
spec: {nodeName: node-1, containers: [{name: a, image: a, ports: [{name: http-monitoring, containerPort: %s}]}]}
status: {phase: Running, podIP: %s, podIPs: [{ip: %s}], conditions: [{type: Ready, status: "True"}]}
`

// balancer does what a Service does for proxies: a connection goes to one of the
// replicas that are ready, and stays there. It looks at readiness as a kubelet
// does, and writes it to the Pods.
type balancer struct {
	*testing.T
	server   *kube.Server
	replicas []*plane
	address  string

	mu      sync.Mutex
	ready   map[*plane]bool
	open    map[*plane]int
	connect int // that were ever made
}

// newReplicas starts replicas, each with a link of its own, and a balancer before
// them.
func newReplicas(t *testing.T, n int) (*balancer, []*faults.Proxy) {
	t.Helper()
	b := &balancer{T: t, server: newWorld(t), ready: map[*plane]bool{}, open: map[*plane]int{}}
	create(t, b.server.REST, replicaPods)
	var links []*faults.Proxy
	for i := range n {
		link, err := faults.Start(b.server.REST)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(link.Close)
		p := newPlane(t, link.REST())
		ip := fmt.Sprintf("127.0.0.%d", 11+i)
		_, port, err := net.SplitHostPort(p.debug)
		if err != nil {
			t.Fatal(err)
		}
		p.debug, p.name = net.JoinHostPort(ip, port), fmt.Sprint("fairway-", i)
		create(t, b.server.REST, fmt.Sprintf(replicaPod, p.name, port, ip, ip))
		p.start()
		b.replicas, links = append(b.replicas, p), append(links, link)
	}
	for _, p := range b.replicas {
		p.await("ready", soon, p.ready)
		b.ready[p] = true
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); _ = l.Close(); running.Wait() })
	running.Go(func() { b.probe(ctx) })
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(ctx, conn)
		}
	})
	return b, links
}

// probe looks at the replicas as the chart has the kubelet do: every two seconds.
func (b *balancer) probe(ctx context.Context) {
	client, err := kubernetes.NewForConfig(b.server.REST)
	if err != nil {
		b.Error(err)
		return
	}
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	failures := map[*plane]int{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range b.replicas {
			code, _ := p.page("/readyz")
			if failures[p]++; code == http.StatusOK {
				failures[p] = 0
			}
			ready := failures[p] < 3
			b.mu.Lock()
			was := b.ready[p]
			b.ready[p] = ready
			b.mu.Unlock()
			if was == ready {
				continue
			}
			patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":%q}]}}`, map[bool]string{true: "True", false: "False"}[ready])
			if _, err := client.CoreV1().Pods("istio-system").Patch(ctx, p.name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		}
	}
}

// pass takes a connection to a replica.
func (b *balancer) pass(ctx context.Context, near net.Conn) {
	defer near.Close()
	b.mu.Lock()
	var ready []*plane
	for _, p := range b.replicas {
		if b.ready[p] {
			ready = append(ready, p)
		}
	}
	if len(ready) == 0 {
		b.mu.Unlock()
		return
	}
	to := ready[rand.IntN(len(ready))]
	b.connect++
	b.open[to]++
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.open[to]--
	}()
	far, err := net.Dial("tcp", to.xds)
	if err != nil {
		return
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { _ = near.Close(); _ = far.Close() })
	defer stop()
	go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
	_, _ = io.Copy(near, far)
}

// at is how many proxies a replica has, and connections how many were ever made.
func (b *balancer) at(p *plane) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open[p]
}

func (b *balancer) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.connect
}

// TestReplicaHandsOver has two replicas, of which one loses the API server. Its
// proxies go to the other one, each once, and hear there what has changed. They
// stay there when the link is back, and when it comes and goes. It makes no
// difference that the API server refuses a kind to both replicas all the time. No
// request through stock Envoys fails.
func TestReplicaHandsOver(t *testing.T) {
	if !faults.Long() {
		t.Skip("takes four minutes; with FAIRWAY_FAULTS=long")
	}
	t.Parallel()
	t.Run("all is well else", func(t *testing.T) { t.Parallel(); handsOver(t) })
	t.Run("both are refused a kind", func(t *testing.T) {
		t.Parallel()
		handsOver(t, faults.Fault{Resource: "telemetries", Status: 403, EndAfter: time.Millisecond})
	})
}

func handsOver(t *testing.T, always ...faults.Fault) {
	t.Helper()
	b, links := newReplicas(t, 2)
	requests := newLoad(t, b.server.REST, b.address, 4)
	ill, well := b.replicas[0], b.replicas[1]
	const n = 20
	var proxies []*follower
	front := &plane{T: t, xds: b.address}
	for i := range n {
		proxies = append(proxies, follow(t, front, node{fmt.Sprintf("sidecar~10.10.3.%d~client-%d.shop~shop.svc.cluster.local", i+1, i), map[string]any{"app": "client"}}, nil))
	}
	const subset = "outbound|8080|v1|web.shop.svc.cluster.local"
	have := func(not []string) func() bool {
		return func() bool {
			for i, f := range proxies {
				if v := f.holds()[snapshot.Endpoint][subset]; v == "" || not != nil && v == not[i] {
					return false
				}
			}
			return true
		}
	}
	ill.await("all proxies have all", time.Minute, have(nil))
	steady := quiet(proxies...)
	ill.await("quiet", time.Minute, steady)
	for _, l := range links {
		l.Set(always...)
	}
	if len(always) > 0 {
		degraded := func(p *plane) bool { _, body := p.page("/readyz"); return strings.Contains(body, "degraded") }
		ill.await("both replicas are degraded", 2*time.Minute, func() bool { return degraded(ill) && degraded(well) })
	}
	var before []string
	for _, f := range proxies {
		before = append(before, f.holds()[snapshot.Endpoint][subset])
		f.observe()
	}
	moving, first := b.at(ill), b.connections()
	t.Logf("%d of %d proxies are at the replica that becomes ill", moving, first)
	if moving == 0 || moving == first {
		t.Skip("by lot, all came to one replica")
	}

	links[0].Link(faults.Hangs)
	began := time.Now()
	create(t, b.server.REST, strings.NewReplacer("web-0", "web-1", "10.10.0.1", "10.10.0.2").Replace(webPod))
	ill.await("the proxies of the ill replica have left it", 3*time.Minute, func() bool { return b.at(ill) == 0 })
	t.Logf("left %s after the link hung", time.Since(began).Round(time.Second))
	ill.await("all proxies have what is new", time.Minute, have(before))
	ill.await("stock Envoys are back as well", time.Minute, func() bool { return b.at(well) >= first })
	if got := b.connections() - first; got != moving {
		t.Errorf("%d connections were made, for %d proxies that moved", got, moving)
	}
	if ill.ready() || !well.ready() {
		t.Errorf("ready: the ill replica %v, the other %v", ill.ready(), well.ready())
	}

	links[0].Link(faults.Passes)
	ill.await("the replica is ready again", 2*time.Minute, ill.ready)
	for range 3 { // neither worse than stale nor fresh for long
		links[0].Link(faults.Hangs)
		time.Sleep(15 * time.Second)
		links[0].Link(faults.Passes)
		time.Sleep(5 * time.Second)
	}
	if got := b.connections() - first; got != moving || b.at(well) != first {
		t.Errorf("%d connections were made, for %d proxies that moved; %d are at the replica that was well all the time", got, moving, b.at(well))
	}
	for i, f := range proxies {
		f.mu.Lock()
		if len(f.lost) > 0 {
			t.Errorf("%s has lost %q", f.options.NodeID, slices.Compact(f.lost))
		}
		f.mu.Unlock()
		fresh := follow(t, well, node{f.options.NodeID, map[string]any{"app": "client"}}, nil)
		well.await(fmt.Sprintf("proxy %d holds what a fresh one gets", i), soon, func() bool { return same(fresh.holds(), f.holds()) })
		fresh.end()
	}
	requests.allGood(t)
}
