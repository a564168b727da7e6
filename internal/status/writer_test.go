package status

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	xds "github.com/fairway-mesh/fairway/discovery"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

var (
	virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	reviews         = object.Ref{Kind: object.KindVirtualService, Namespace: "default", Name: "reviews"}
)

// known are findings that a test sets.
type known struct {
	mu   sync.Mutex
	list []object.Finding
	way  xds.Delivery // of reviews
}

func (k *known) deliveries() map[object.Ref]xds.Delivery {
	k.mu.Lock()
	defer k.mu.Unlock()
	return map[object.Ref]xds.Delivery{reviews: k.way}
}

// deliver says how many proxies have reviews.
func (k *known) deliver(w *Writer, d xds.Delivery) {
	k.mu.Lock()
	k.way = d
	k.mu.Unlock()
	w.Signal()
}

func (k *known) all() ([]object.Finding, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list, true
}

func (k *known) set(w *Writer, list ...object.Finding) {
	k.mu.Lock()
	k.list = list
	k.mu.Unlock()
	w.Signal()
}

func TestWriterOnAnAPIServer(t *testing.T) {
	server := kubetest.Start(t, kube.Options{})
	client := kubetest.Dynamic(t, server)
	asks, err := discovery.NewDiscoveryClientForConfig(server.REST)
	if err != nil {
		t.Fatal(err)
	}
	objects := client.Resource(virtualServices).Namespace("default")
	create(t, objects)
	k := &known{}
	w := &Writer{
		REST: server.REST, Discovery: asks, Findings: k.all, Deliveries: k.deliveries, Replica: "fairway-0",
		World: func() *mesh.World { return mesh.Build(nil) }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	expect(t, objects, map[string]string{"Foreign": "True", Accepted: "True", Programmed: "Unknown"}, 1)
	k.deliver(w, xds.Delivery{Proxies: 3, Holding: 2})
	tells(t, expect(t, objects, map[string]string{"Foreign": "True", Accepted: "True", Programmed: "False"}, 1), "2/3 proxies connected to replica fairway-0")
	k.deliver(w, xds.Delivery{Proxies: 3, Holding: 3})
	tells(t, expect(t, objects, map[string]string{"Foreign": "True", Accepted: "True", Programmed: "True"}, 1), "3/3 proxies connected to replica fairway-0")

	k.set(w, object.Finding{Object: reviews, Field: "spec.http[0]", Code: object.CodeInvalid, Message: "a part is left out"},
		object.Finding{Object: reviews, Code: object.CodeConflict, Message: "another wins", Winner: object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "b"}},
		object.Finding{Object: reviews, Code: object.CodeUnreferenced, Message: "nobody uses it"},
		object.Finding{Object: reviews, Code: object.CodeRejected, Message: "proxies refuse it"})
	u := expect(t, objects, map[string]string{"Foreign": "True", Accepted: "False", Programmed: "False", Conflicted: "True", Unreferenced: "True"}, 1)
	if m, _, _ := unstructured.NestedSlice(u.Object, "status", "validationMessages"); len(m) != 4 {
		t.Errorf("validationMessages: %v", m)
	}

	k.set(w)
	u = expect(t, objects, map[string]string{"Foreign": "True", Accepted: "True", Programmed: "True"}, 1)
	if _, there, _ := unstructured.NestedSlice(u.Object, "status", "validationMessages"); there {
		t.Error("validationMessages remain though nothing is wrong")
	}

	// Signals without news write nothing, and a new generation is noted.
	version := u.GetResourceVersion()
	for range 3 {
		w.Signal()
		time.Sleep(pause + pause/4)
	}
	if u, err = objects.Get(t.Context(), "reviews", metav1.GetOptions{}); err != nil || u.GetResourceVersion() != version {
		t.Errorf("written without need: %v", err)
	}
	if err := unstructured.SetNestedStringSlice(u.Object, []string{"ratings"}, "spec", "hosts"); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.Update(t.Context(), u, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(t, objects, map[string]string{"Foreign": "True", Accepted: "True", Programmed: "True"}, 2)
}

// tells wants the message of Programmed to begin so.
func tells(t *testing.T, u *unstructured.Unstructured, want string) {
	t.Helper()
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == Programmed && !strings.HasPrefix(c["message"].(string), want) {
			t.Errorf("Programmed says %q", c["message"])
		}
	}
}

// TestAnotherCountIsNotUrgent: every pod that starts changes the count of all
// objects.
func TestAnotherCountIsNotUrgent(t *testing.T) {
	at := func(d xds.Delivery) progress { return progress{d, "fairway-0", true} }
	patch, urgent := change(seen(t, 1, nil), nil, at(xds.Delivery{Proxies: 3, Holding: 3}), time.Now())
	if patch == nil || !urgent {
		t.Fatal("the first status is not urgent")
	}
	obj := seen(t, 1, map[string]any{"conditions": patch["conditions"], "observedGeneration": patch["observedGeneration"]})
	for _, c := range []struct {
		what         string
		now          xds.Delivery
		write, press bool
	}{
		{"the same", xds.Delivery{Proxies: 3, Holding: 3}, false, false},
		{"another proxy", xds.Delivery{Proxies: 4, Holding: 4}, true, false},
		{"one lags", xds.Delivery{Proxies: 3, Holding: 2}, true, true},
		{"none is left", xds.Delivery{}, true, true},
	} {
		patch, urgent := change(obj, nil, at(c.now), time.Now())
		if (patch != nil) != c.write || urgent != c.press {
			t.Errorf("%s: writes %t, urgent %t", c.what, patch != nil, urgent)
		}
	}
}

// create makes a VirtualService with a condition of somebody else.
func create(t *testing.T, objects dynamic.ResourceInterface) {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": map[string]any{"name": "reviews", "namespace": "default"},
		"spec": map[string]any{"hosts": []any{"reviews"}, "http": []any{map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": "reviews"}}}}}},
	}}
	u, err := objects.Create(t.Context(), u, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Foreign", "status": "True"}}}
	if _, err := objects.UpdateStatus(t.Context(), u, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// expect waits until the object has exactly the conditions, observed at the
// generation.
func expect(t *testing.T, objects dynamic.ResourceInterface, want map[string]string, generation int64) *unstructured.Unstructured {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		u, err := objects.Get(t.Context(), "reviews", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
		ok := len(conditions) == len(want) && seen == generation
		for _, c := range conditions {
			c := c.(map[string]any)
			ok = ok && want[c["type"].(string)] == c["status"]
		}
		if ok {
			return u
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 seconds: generation %d, conditions %v; want %d, %v", seen, conditions, generation, want)
		}
	}
}
