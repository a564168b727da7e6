package discovery

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// TestMain lets the test binary be its own load generator, so that what a
// benchmark measures is the server alone.
func TestMain(m *testing.M) {
	if addr := os.Getenv("FAIRWAY_DISCOVERY_CLIENTS_OF"); addr != "" {
		n, err := strconv.Atoi(os.Getenv("FAIRWAY_DISCOVERY_CLIENTS"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		runClients(addr, n)
		return
	}
	os.Exit(m.Run())
}

// runClients connects n clients and stays until standard input is closed.
func runClients(addr string, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			id := fmt.Sprintf("sidecar~10.%d.%d.%d~app-%d.default~default.svc.cluster.local", i>>16, i>>8&255, i&255, i)
			o := wire.Options{NodeID: id, Delta: true, Light: true}
			if os.Getenv("FAIRWAY_DISCOVERY_TLS") != "" {
				o.Creds = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}) //nolint:gosec // it talks to the benchmark
			}
			if err := wire.New(o).Run(ctx, addr); ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "a client ended:", err)
			}
		})
	}
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	cancel()
	wg.Wait()
}

// clients runs n clients in a process of their own and waits until each has
// accepted all of the stack.
func clients(b *testing.B, h *harness, n int, env ...string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FAIRWAY_DISCOVERY_CLIENTS_OF="+h.addr, "FAIRWAY_DISCOVERY_CLIENTS="+strconv.Itoa(n))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ready := 0
		for _, p := range h.server.Proxies() {
			if p.Phase == "idle" && p.Types[snapshot.VirtualHost].State == Synced {
				ready++
			}
		}
		if ready == n {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d clients are ready", ready, n)
		}
	}
}

func convergences(s *Server) uint64 {
	var m dto.Metric
	if err := s.metrics.convergence.Write(&m); err != nil {
		return 0
	}
	return m.GetHistogram().GetSampleCount()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkFanOut changes one virtual host of a mesh and waits until every
// stream has acknowledged it.
func BenchmarkFanOut(b *testing.B) {
	for _, services := range []int{200, 2000} {
		b.Run(fmt.Sprintf("services=%d/streams=1000", services), func(b *testing.B) {
			const streams = 1000
			stack := meshOf(b, services)
			h := serve(b, stack, nil, Transport{})
			before := heap()
			start := time.Now()
			clients(b, h, streams)
			connected := time.Since(start)
			perStream := float64(heap()-before) / streams
			sent := h.bytes()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				want := convergences(h.server) + streams
				stack = with(stack, []*snapshot.Resource{virtualHost(b, "80", "svc-0007", "svc-000"+strconv.Itoa(n%7))})
				h.publish(stack)
				for convergences(h.server) < want {
					time.Sleep(200 * time.Microsecond)
				}
			}
			b.ReportMetric(perStream, "heap-B/stream")
			b.ReportMetric(float64(h.bytes()-sent)/float64(b.N*streams), "wire-B/stream/op")
			b.ReportMetric(connected.Seconds(), "s-to-connect")
		})
	}
}

// BenchmarkTLSStream reports what an idle stream over TLS holds.
func BenchmarkTLSStream(b *testing.B) {
	const streams = 300
	cert, _ := selfSigned(b)
	h := serve(b, meshOf(b, 200), nil, Transport{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}})
	before := heap()
	clients(b, h, streams, "FAIRWAY_DISCOVERY_TLS=1")
	perStream := float64(heap()-before) / streams
	for b.Loop() {
		_ = h.server.Proxies()
	}
	b.ReportMetric(perStream, "heap-B/stream")
}

// bytes is what the server has sent so far.
func (h *harness) bytes() uint64 {
	total := 0.0
	for t := range snapshot.NumTypes {
		var m dto.Metric
		if err := h.server.metrics.pushBytes[t].Write(&m); err == nil {
			total += m.GetCounter().GetValue()
		}
	}
	return uint64(total)
}

// BenchmarkSessionStep is what one stream costs when a virtual host changes,
// without the wire.
func BenchmarkSessionStep(b *testing.B) {
	stack := meshOf(b, 2000)
	h := newScript(b, stack, false)
	h.connect()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.publish(with(stack, []*snapshot.Resource{virtualHost(b, "80", "svc-0007", strings.Repeat("x", i%3+1))}))
		h.run()
	}
}

// BenchmarkReconnect is what a proxy costs that comes back and holds all: the
// messages are read and compared, and nothing is sent.
func BenchmarkReconnect(b *testing.B) {
	stack := meshOf(b, 2000)
	var messages [][]byte
	for _, typ := range []snapshot.Type{snapshot.Cluster, snapshot.Endpoint, snapshot.Listener, snapshot.RouteConfig, snapshot.VirtualHost} {
		m := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typ.TypeURL(), InitialResourceVersions: map[string]string{}}
		for r := range stack.All(typ) {
			m.InitialResourceVersions[r.Name] = r.Version
		}
		if typ == snapshot.Endpoint || typ == snapshot.RouteConfig {
			m.ResourceNamesSubscribe = slices.Sorted(maps.Keys(m.GetInitialResourceVersions()))
		}
		data, err := proto.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		messages = append(messages, data)
	}
	shared, now := newShared(1<<20), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s := newSession(shared, form{}, stack, now, time.Second)
		for _, data := range messages {
			r, err := decodeDelta(data)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.request(r, now); err != nil {
				b.Fatal(err)
			}
			if out := s.step(now); len(out) > 0 {
				b.Fatalf("%d messages are sent", len(out))
			}
		}
	}
}
