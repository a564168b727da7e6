package discovery

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/freeport"
)

// pushes is how many responses of each type a server sent.
func pushes(s *Server) map[snapshot.Type]int {
	n := map[snapshot.Type]int{}
	for t := range snapshot.NumTypes {
		var m dto.Metric
		if err := s.metrics.pushes[t].Write(&m); err == nil {
			n[t] = int(m.GetCounter().GetValue())
		}
	}
	return n
}

// restartable is an address at which servers follow one another.
type restartable struct {
	t    testing.TB
	addr string
	stop func()
}

func (r *restartable) start(stack snapshot.Stack) *Server {
	r.t.Helper()
	if r.stop != nil {
		r.stop()
	}
	var listener net.Listener
	eventually(r.t, "the address is free", func() bool {
		var err error
		addr := r.addr
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		listener, err = net.Listen("tcp", addr)
		return err == nil
	})
	r.addr = listener.Addr().String()
	server := New(Config{
		Log:        slog.New(slog.NewTextHandler(io.Discard, nil)),
		Registerer: prometheus.NewRegistry(),
		Attach: func(context.Context, *snapshot.Client) (*snapshot.View, error) {
			return snapshot.NewView(stack, nil), nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ctx, listener, Transport{}); err != nil {
			r.t.Error(err)
		}
	}()
	r.stop = func() { cancel(); <-done }
	return server
}

// TestEnvoyReconnects restarts the control plane, first with nothing changed,
// then with a mesh that changed meanwhile, under load: no request fails.
func TestEnvoyReconnects(t *testing.T) {
	variants(t, func(t *testing.T, delta bool) {
		port := freeport.TCP(t)
		back := backend(t, "ok")
		stack := snapshot.Stack{snapshot.NewRevision(
			rdsListener(t, "outbound", port, "80"), frame(t, "80"), virtualHost(t, "80", "*", ""),
			edsCluster(t, "svc", ""), endpoints(t, "svc", back), virtualHost(t, "80", "svc", "svc"),
			edsCluster(t, "old", ""), endpoints(t, "old", back), virtualHost(t, "80", "moved", "old"),
			virtualHost(t, "80", "dropped", "svc"),
		)}
		r := &restartable{t: t}
		r.start(stack)
		defer func() { r.stop() }()
		e := startEnvoy(t, r.addr, delta)
		answers := func(host string) bool {
			got, err := ask(http.DefaultClient, port, host)
			return err == nil && got == "ok"
		}
		eventually(t, "the first answers", func() bool { return answers("svc") && answers("moved") && answers("dropped") })

		stopMoved := load(port, "moved", 2)
		again := r.start(stack)
		eventually(t, "Envoy is back", func() bool { return len(again.Proxies()) == 1 })
		eventually(t, "Envoy has asked for all", func() bool {
			p := again.Proxies()
			return len(p) == 1 && p[0].Types[snapshot.RouteConfig].State == Synced && (!delta || p[0].Types[snapshot.VirtualHost].State == Synced)
		})
		time.Sleep(200 * time.Millisecond)
		for typ, n := range pushes(again) {
			t.Logf("unchanged: %s %d", typ, n)
			if delta && n > 0 {
				t.Errorf("%d %s responses were sent although nothing changed", n, typ)
			}
		}

		changed := with(stack, []*snapshot.Resource{
			edsCluster(t, "new", ""), endpoints(t, "new", back), virtualHost(t, "80", "moved", "new"), edsCluster(t, "svc", "changed"),
		}, snapshot.Key{Type: snapshot.Cluster, Name: "old"}, snapshot.Key{Type: snapshot.Endpoint, Name: "old"}, snapshot.Key{Type: snapshot.VirtualHost, Name: "80/dropped"})
		third := r.start(changed)
		eventually(t, "what was dropped is gone", func() bool { return !answers("dropped") })
		eventually(t, "Envoy has removed a cluster", func() bool { return e.sum(`^cluster_manager.cluster_removed$`) == 1 })
		eventually(t, "other answers", func() bool { return answers("svc") && answers("moved") })
		t.Logf("changed: %v", pushes(third))
		requests, failed := stopMoved()
		t.Logf("%d requests, %d failed", requests, len(failed))
		if len(failed) > 0 {
			t.Errorf("%d requests failed, the first: %s", len(failed), failed[0])
		}
		if n := e.sum(`update_rejected$`); n != 0 {
			t.Errorf("Envoy refused %d updates", n)
		}
	})
}
