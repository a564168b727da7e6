package snapshot

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// TestProxiesLearnOfWhichWorkloadTheyAre: sidecars and gateways get what their metrics
// call the caller; those of one workload share it, and nothing stays of workloads
// that are gone.
func TestProxiesLearnOfWhichWorkloadTheyAre(t *testing.T) {
	worlds := make(chan *mesh.World, 1)
	store := mesh.NewStore(slog.New(slog.DiscardHandler), func(w *mesh.World, _ *mesh.Dirty) { worlds <- w })
	go func() { _ = store.Run(t.Context()) }()
	store.Synced()
	engine := NewEngine(slog.New(slog.DiscardHandler), nil, nil)
	engine.Update(<-worlds, &mesh.Dirty{All: true})
	views := map[string]*View{}
	for _, c := range []Client{
		{NodeID: "1", Role: RoleSidecar, Namespace: "shop", Pod: "web-1", IP: "10.0.0.1", Workload: "web", Labels: map[string]string{"app": "web", "version": "v1"}},
		{NodeID: "2", Role: RoleSidecar, Namespace: "shop", Pod: "web-2", IP: "10.0.0.2", Workload: "web", Labels: map[string]string{"app": "web", "version": "v1"}},
		{NodeID: "3", Role: RoleSidecar, Namespace: "shop", Pod: "api-1", IP: "10.0.0.3", Workload: "api"},
		{NodeID: "4", Role: RoleRouter, Namespace: "shop", Pod: "gw-1", IP: "10.0.0.4", Workload: "gw"},
	} {
		v, err := engine.Attach(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		views[c.Pod] = v
	}
	told := func(pod string) *Resource { return views[pod].Current().Get(ExtensionConfig, telemetry.CallerName) }
	for pod, workload := range map[string]string{"web-1": "web", "web-2": "web", "api-1": "api", "gw-1": "gw"} {
		if r := told(pod); r == nil || !strings.Contains(string(r.Body()), workload) || !strings.Contains(string(r.Body()), "shop") {
			t.Errorf("%s is told %v", pod, r)
		}
	}
	if told("web-1") != told("web-2") || told("web-1") == told("api-1") {
		t.Error("what a workload is called is not shared by its pods alone")
	}
	for _, v := range views {
		v.Close()
	}
	engine.forget(time.Now().Add(time.Hour))
	if n := len(engine.callers.places); n > 0 {
		t.Errorf("%d callers are kept of proxies that are gone", n)
	}
}
