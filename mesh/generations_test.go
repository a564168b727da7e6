package mesh

import (
	"context"
	"log/slog"
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// generation is an object as heldObject reads it, of a generation.
func generation(t *testing.T, what string, n int64) Change {
	t.Helper()
	c := heldObject(t, what)
	if v, ok := c.Object.(*networkingv1.VirtualService); ok {
		v.Generation = n
	}
	return c
}

// TestGenerationInForce: the generation of an object is told when the World that was made of
// it has been published, not before; never of what is gone; and of a route that is held
// back only when it is in force.
func TestGenerationInForce(t *testing.T) {
	published := make(chan struct{}, 100)
	allow := make(chan struct{}, 100)
	s := NewStore(slog.New(slog.DiscardHandler), func(*World, *Dirty) { published <- struct{}{}; <-allow })
	s.HoldRoutes = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	defer func() { cancel(); close(allow); <-done }()
	ref := object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "web"}
	expect := func(what string, want int64) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			got, ok := s.InForce(ref)
			if got.Generation == want && ok == (want != 0) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v, %v, want %d", what, got, ok, want)
			}
		}
	}
	to := func(host string, n int64) Change {
		return generation(t, "route a/web {hosts: [web], http: [{route: [{destination: {host: "+host+"}}]}]}", n)
	}
	service := heldObject(t, "service a/web {clusterIP: 10.0.0.1, ports: [{port: 80, name: http}]}")
	s.Submit([]Change{service, to("web", 1)})
	s.Synced()
	<-published
	if n, ok := s.InForce(ref); ok {
		t.Errorf("%v is told before the World is published", n)
	}
	allow <- struct{}{}
	expect("published", 1)
	s.Submit([]Change{to("web", 2)}) // the same again: nothing is published
	allow <- struct{}{}
	expect("nothing to say", 2)
	for range cap(allow) - 1 {
		select {
		case allow <- struct{}{}:
		default:
		}
	}
	s.Submit([]Change{to("missing", 3)}) // held back for a while
	marker := to("web", 5)
	marker.Ref.Name = "marker"
	s.Submit([]Change{marker})
	for _, ok := s.InForce(marker.Ref); !ok; _, ok = s.InForce(marker.Ref) { // a later pass, or the same
		time.Sleep(time.Millisecond)
	}
	if n, _ := s.InForce(ref); n.Generation != 2 {
		t.Errorf("%v is told, while the route is held back", n)
	}
	expect("the hold is over", 3)
	s.Submit([]Change{{Ref: ref}})
	expect("gone", 0)
	pod := object.Ref{Kind: object.KindPod, Namespace: "a", Name: "p"}
	s.Submit([]Change{{Ref: pod, Object: &corev1.Pod{}}, to("web", 4)})
	expect("made again", 4)
	again := to("web", 4)
	again.Object.(*networkingv1.VirtualService).UID = "another"
	s.Submit([]Change{again})
	for v, _ := s.InForce(ref); v.UID != "another"; v, _ = s.InForce(ref) {
		time.Sleep(time.Millisecond)
	}
	if _, ok := s.InForce(pod); ok {
		t.Error("generations of Pods are kept")
	}
}
