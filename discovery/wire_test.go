package discovery

import (
	"fmt"
	"testing"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

func variants(t *testing.T, run func(t *testing.T, delta bool)) {
	for _, delta := range []bool{true, false} {
		t.Run(map[bool]string{true: "delta", false: "sotw"}[delta], func(t *testing.T) { run(t, delta) })
	}
}

func TestClientGetsAll(t *testing.T) {
	variants(t, func(t *testing.T, delta bool) {
		stack := meshOf(t, 20)
		h := serve(t, stack, nil, Transport{})
		c, _ := connect(t, h.addr, wire.Options{Delta: delta})
		eventually(t, "the client holds all", func() bool { return holds(c, stack, !delta) })

		stack = with(stack, []*snapshot.Resource{
			edsCluster(t, "new", ""), endpoints(t, "new", 9001), virtualHost(t, "80", "new", "new"),
			endpoints(t, "svc-0001", 9002), edsCluster(t, "svc-0002", "changed"),
		}, snapshot.Key{Type: snapshot.Cluster, Name: "svc-0003"}, snapshot.Key{Type: snapshot.Endpoint, Name: "svc-0003"}, snapshot.Key{Type: snapshot.VirtualHost, Name: "80/svc-0003"})
		h.publish(stack)
		eventually(t, fmt.Sprint("the client holds all that changed", c.Counts()), func() bool { return holds(c, stack, !delta) })
		eventually(t, "the proxy is reported as synced", func() bool {
			p := h.server.Proxies()
			if len(p) != 1 || p[0].Phase != "idle" {
				return false
			}
			for _, s := range p[0].Types {
				if s.Type == snapshot.Cluster && s.State != Synced {
					return false
				}
			}
			return true
		})
	})
}
