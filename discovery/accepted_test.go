package discovery

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// TestPassIsAccepted: how far proxies are with a pass is what they have acknowledged.
func TestPassIsAccepted(t *testing.T) {
	world := func(services int) *mesh.World {
		var all []mesh.Change
		for i := range services {
			m := metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("s", i)}
			all = append(all, mesh.Change{Ref: object.Ref{Kind: object.KindService, Namespace: m.Namespace, Name: m.Name}, Object: &corev1.Service{ObjectMeta: m,
				Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprint("10.96.0.", i+1), Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}})
		}
		return mesh.Build(all)
	}
	engine := snapshot.NewEngine(slog.New(slog.NewTextHandler(io.Discard, nil)), nil, nil)
	if first := engine.Update(world(1), &mesh.Dirty{All: true}); first.Proxies != 0 {
		t.Errorf("%+v", first)
	}
	h := serve(t, snapshot.Stack{}, func(c *Config) {
		c.Attach = func(ctx context.Context, client *snapshot.Client) (*snapshot.View, error) {
			return engine.Attach(ctx, client)
		}
	}, Transport{})
	var wait atomic.Pointer[chan struct{}]
	hold := func(wire.Response) error {
		if c := wait.Load(); c != nil {
			<-*c
		}
		return nil
	}
	quick, _ := connect(t, h.addr, wire.Options{Delta: true, NodeID: "sidecar~10.0.0.1~quick.default~default.svc.cluster.local"})
	slow, _ := connect(t, h.addr, wire.Options{Delta: true, NodeID: "sidecar~10.0.0.2~slow.default~default.svc.cluster.local", OnResponse: hold})
	has := func(c *wire.Client, service int) func() bool {
		return func() bool {
			_, ok := c.Version(snapshot.Cluster, fmt.Sprintf("outbound|80||s%d.default.svc.cluster.local", service))
			all := h.server.Proxies()
			return ok && len(all) == 2 && all[0].Phase == "idle" && all[1].Phase == "idle"
		}
	}
	eventually(t, "both have the first", func() bool { return has(quick, 0)() && has(slow, 0)() })

	c := make(chan struct{})
	wait.Store(&c)
	pass := engine.Update(world(2), &mesh.Dirty{All: true})
	eventually(t, "one has accepted", func() bool { return pass.Accepted().Waiting == 1 })
	time.Sleep(50 * time.Millisecond)
	if a := pass.Accepted(); pass.Proxies != 2 || a.Waiting != 1 || a.Took == 0 || a.Took > 50*time.Millisecond+time.Since(pass.At) {
		t.Errorf("%+v of %d", a, pass.Proxies)
	}
	close(c)
	eventually(t, "both have accepted", func() bool { return pass.Accepted().Waiting == 0 })
	if a := pass.Accepted(); a.Took < 50*time.Millisecond || a.Left+a.Late > 0 {
		t.Errorf("%+v", a)
	}
}
