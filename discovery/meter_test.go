package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/attack"
	"github.com/fairway-mesh/fairway/test/wire"
)

// TestMeterHoldsBack sends DATA frames that nobody takes, cut in every way.
func TestMeterHoldsBack(t *testing.T) {
	for _, chunk := range []int{1, 7, 4096, 1 << 20} {
		var sent bytes.Buffer
		sent.WriteString(http2.ClientPreface)
		f := http2.NewFramer(&sent, nil)
		_ = f.WriteSettings()
		for range 100 {
			_ = f.WriteData(1, false, make([]byte, 16<<10))
			_ = f.WritePing(false, [8]byte{})
		}
		near, far := net.Pipe()
		go func() { _, _ = far.Write(sent.Bytes()) }()
		l := newLedger()
		l.held = maxHeld // of others
		var reached atomic.Int32
		m := newMeter(near, l, time.Hour, func(string) { reached.Add(1) })
		m.began(&account{})
		var read atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for p := make([]byte, chunk); ; {
				n, err := m.Read(p)
				if err != nil {
					return
				}
				read.Add(int64(n))
			}
		}()
		eventually(t, "it is held back", func() bool { return reached.Load() > 0 })
		if n := read.Load(); n > allowance+(1<<20) || chunk < 1<<20 && n > allowance+16<<10 {
			t.Errorf("%d bytes were read in pieces of %d", n, chunk)
		}
		m.took(allowance)
		_ = m.Close()
		<-done
		_ = far.Close()
		if l.held != maxHeld {
			t.Errorf("%d bytes of the ledger are missing", l.held-maxHeld)
		}
	}
}

// TestUnfinishedMessages has pods hold all but the end of large messages, on
// many streams, while another pod comes back with a large one.
func TestUnfinishedMessages(t *testing.T) {
	stack := meshOf(t, 50)
	h := serve(t, stack, nil, Transport{})
	for i := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			if r, err := attack.Partial(ctx, attack.Plain(h.addr), fmt.Sprintf("sidecar~10.0.0.%d~evil-%d.evil~x", i+1, i%2), 4, 8<<20); err == nil {
				t.Cleanup(func() { _ = r.Close() })
			}
		}()
	}
	eventually(t, "much is held", func() bool {
		h.server.ledger.mu.Lock()
		defer h.server.ledger.mu.Unlock()
		return h.server.ledger.held > 8<<20
	})
	h.server.ledger.mu.Lock()
	if n := h.server.ledger.held; n > maxHeld {
		t.Errorf("%d bytes are held", n)
	}
	h.server.ledger.mu.Unlock()
	c, _ := connect(t, h.addr, wire.Options{Delta: true})
	eventually(t, "an honest one is served", func() bool { return holds(c, stack, false) })
}

// TestStreamsOfOnePod opens many streams as one pod, idle ones, while others come.
func TestStreamsOfOnePod(t *testing.T) {
	stack := meshOf(t, 3)
	h := serve(t, stack, nil, Transport{})
	for range 20 * maxPodStreams {
		str := opened(t, h.addr)
		if err := str.Send(&discoveryv3.DeltaDiscoveryRequest{Node: wire.New(wire.Options{NodeID: "sidecar~10.0.0.9~evil-1.evil~x"}).Node(), TypeUrl: snapshot.Secret.TypeURL(), ResourceNamesSubscribe: []string{"default"}}); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	began := time.Now()
	c, _ := connect(t, h.addr, wire.Options{Delta: true})
	eventually(t, "an honest one is served", func() bool { return holds(c, stack, false) })
	t.Logf("a newcomer waited %s", time.Since(began))
	eventually(t, "the pod has what it may", func() bool { return len(h.server.Proxies()) <= maxPodStreams+1 })
	str := opened(t, h.addr)
	_ = str.Send(&discoveryv3.DeltaDiscoveryRequest{Node: wire.New(wire.Options{NodeID: "sidecar~10.0.0.9~evil-1.evil~x"}).Node(), TypeUrl: snapshot.Secret.TypeURL()})
	if _, err := str.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one more: %v", err)
	}
}

// opened is a stream on a connection of its own.
func opened(t *testing.T, addr string) discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	t.Helper()
	conn, err := wire.Dial(addr, wire.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	str, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return str
}

// TestEndlessHeaders sends headers that do not end, without any credential.
func TestEndlessHeaders(t *testing.T) {
	h := serve(t, small(t), nil, Transport{})
	r, written, err := attack.EndlessHeaders(attack.Plain(h.addr), 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	eventually(t, "the server closes the connection", r.Closed)
	t.Logf("%d bytes were sent", written)
	_, _ = connect(t, h.addr, wire.Options{Delta: true})
}
