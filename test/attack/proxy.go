package attack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// Proxy is a hostile one: it may be itself as often as it likes.
type Proxy struct {
	// Address is the port for proxies, Node the id of its pod.
	Address, Node string
}

// Misuse is one thing that hostile proxies or strangers do, until ctx ends.
type Misuse[T any] struct {
	Name string
	Run  func(context.Context, T, *rand.Rand)
}

// Proxies are what hostile proxies do.
var Proxies = []Misuse[Proxy]{
	{"refuses everything", func(ctx context.Context, p Proxy, r *rand.Rand) {
		refuse := func(wire.Response) error { return errors.New(strings.Repeat("no ", size(r, 5000))) }
		_ = wire.New(wire.Options{NodeID: p.Node, Delta: r.IntN(2) == 0, OnResponse: refuse}).Run(ctx, p.Address)
	}},
	{"refuses routes without clusters", func(ctx context.Context, p Proxy, _ *rand.Rand) {
		p.send(ctx, 20, func(i int) *discoveryv3.DeltaDiscoveryRequest {
			return &discoveryv3.DeltaDiscoveryRequest{TypeUrl: snapshot.RouteConfig.TypeURL(), ResourceNamesSubscribe: []string{"80", "15080"}, ResponseNonce: fmt.Sprint(i),
				ErrorDetail: &rpcstatus.Status{Code: 3, Message: "no"}}
		})
	}},
	{"unknown names", func(ctx context.Context, p Proxy, r *rand.Rand) {
		n := size(r, 60_000)
		p.send(ctx, 5, func(i int) *discoveryv3.DeltaDiscoveryRequest {
			return &discoveryv3.DeltaDiscoveryRequest{TypeUrl: snapshot.Endpoint.TypeURL(), ResourceNamesSubscribe: names(n, i)}
		})
	}},
	{"unsubscribes", func(ctx context.Context, p Proxy, r *rand.Rand) {
		n := size(r, 60_000)
		p.send(ctx, 5, func(i int) *discoveryv3.DeltaDiscoveryRequest {
			return &discoveryv3.DeltaDiscoveryRequest{TypeUrl: snapshot.Cluster.TypeURL(), ResourceNamesUnsubscribe: names(n, i)}
		})
	}},
	{"subscribes and unsubscribes", func(ctx context.Context, p Proxy, _ *rand.Rand) {
		p.send(ctx, 2000, func(i int) *discoveryv3.DeltaDiscoveryRequest {
			d := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: snapshot.Cluster.TypeURL()}
			if i%2 == 0 {
				d.ResourceNamesSubscribe = []string{"*"}
			} else {
				d.ResourceNamesUnsubscribe = []string{"*"}
			}
			return d
		})
	}},
	{"claims a past", func(ctx context.Context, p Proxy, r *rand.Rand) {
		held := map[string]string{}
		for _, n := range names(size(r, 60_000), 0) {
			held[n] = "1"
		}
		p.send(ctx, 1, func(int) *discoveryv3.DeltaDiscoveryRequest {
			return &discoveryv3.DeltaDiscoveryRequest{TypeUrl: snapshot.Cluster.TypeURL(), InitialResourceVersions: held}
		})
	}},
	{"unknown types", func(ctx context.Context, p Proxy, _ *rand.Rand) {
		p.send(ctx, 200, func(i int) *discoveryv3.DeltaDiscoveryRequest {
			return &discoveryv3.DeltaDiscoveryRequest{TypeUrl: fmt.Sprint("type.googleapis.com/none.", i), ResourceNamesSubscribe: []string{"*"}}
		})
	}},
	{"unfinished messages", func(ctx context.Context, p Proxy, r *rand.Rand) {
		c, err := Partial(ctx, Plain(p.Address), p.Node, 4, size(r, 8<<20))
		if err == nil {
			pause(ctx, 5*time.Second)
		}
		if c != nil {
			c.Close()
		}
	}},
	{"idle streams", func(ctx context.Context, p Proxy, r *rand.Rand) {
		for range size(r, 20) {
			c, err := Plain(p.Address).Connect()
			if err != nil {
				return
			}
			defer c.Close()
			for i := range 20 {
				if c.Open(uint32(2*i+1)) != nil { //nolint:gosec // few
					break
				}
			}
		}
		pause(ctx, 5*time.Second)
	}},
	{"resets streams", func(ctx context.Context, p Proxy, _ *rand.Rand) {
		c, err := Plain(p.Address).Connect()
		if err != nil {
			return
		}
		defer c.Close()
		for i := 0; i < 5000 && ctx.Err() == nil; i++ {
			id := uint32(2*i + 1) //nolint:gosec // few
			if c.Open(id) != nil || c.Reset(id) != nil {
				return
			}
		}
	}},
	{"connects again and again", func(ctx context.Context, p Proxy, r *rand.Rand) {
		var all sync.WaitGroup
		defer all.Wait()
		for range 40 {
			if ctx.Err() != nil {
				return
			}
			short, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(300))*time.Millisecond)
			all.Go(func() {
				defer cancel()
				_ = wire.New(wire.Options{NodeID: p.Node, Delta: true}).Run(short, p.Address)
			})
			pause(ctx, 50*time.Millisecond)
		}
	}},
	{"huge node", func(ctx context.Context, p Proxy, r *rand.Rand) {
		metadata := &structpb.Struct{Fields: map[string]*structpb.Value{}}
		for i := range size(r, 20_000) {
			metadata.Fields[fmt.Sprint("k", i)] = structpb.NewStringValue("v")
		}
		_ = wire.New(wire.Options{NodeID: p.Node, Delta: true, Metadata: metadata}).Run(ctx, p.Address)
	}},
	{"reads nothing", func(ctx context.Context, p Proxy, _ *rand.Rand) {
		wait := func(wire.Response) error { <-ctx.Done(); return nil }
		_ = wire.New(wire.Options{NodeID: p.Node, Delta: true, OnResponse: wait}).Run(ctx, p.Address)
	}},
}

// names are n that nobody has.
func names(n, salt int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("outbound|80||unknown-%d-%d.%s", salt, i, strings.Repeat("x", 100))
	}
	return out
}

// send opens an incremental stream and sends n messages on it, and holds it open.
func (p Proxy) send(ctx context.Context, n int, of func(int) *discoveryv3.DeltaDiscoveryRequest) {
	c, err := Plain(p.Address).Connect()
	if err != nil {
		return
	}
	defer c.Close()
	if c.Open(1) != nil {
		return
	}
	for i := 0; i < n && ctx.Err() == nil && !c.Closed(); i++ {
		d := of(i)
		if i == 0 {
			d.Node = &corev3.Node{Id: p.Node, Cluster: "x", UserAgentName: "envoy"}
		}
		body, err := proto.Marshal(d)
		if err != nil {
			return
		}
		c.Send(ctx, 1, message(body, len(body)))
	}
	pause(ctx, time.Second)
}
