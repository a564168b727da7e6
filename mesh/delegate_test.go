package mesh

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestNoDelegateOfItself has a delegate become one that delegates to itself:
// what it was before must not stand in for it.
func TestNoDelegateOfItself(t *testing.T) {
	change := func(spec *networking.VirtualService) []Change {
		o := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "v"}}
		spec.DeepCopyInto(&o.Spec)
		return []Change{{Ref: object.Ref{Kind: object.KindVirtualService, Namespace: "a", Name: "v"}, Object: o}}
	}
	delegate := change(&networking.VirtualService{Http: []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "b.example.com"}}}}}})
	root := change(&networking.VirtualService{Hosts: []string{"b.example.com"}, Http: []*networking.HTTPRoute{{Delegate: &networking.Delegate{Name: "v"}}}})

	worlds := make(chan *World, 4)
	s := NewStore(slog.New(slog.DiscardHandler), func(w *World, _ *Dirty) { worlds <- w })
	go func() { _ = s.Run(t.Context()) }()
	next := func() *World {
		select {
		case w := <-worlds:
			return w
		case <-time.After(10 * time.Second):
			t.Fatal("no world")
			return nil
		}
	}
	s.Submit(delegate)
	s.Synced()
	next()
	s.Submit(root)
	for name, w := range map[string]*World{"changed": next(), "from nothing": Build(root)} {
		vs, _ := w.virtualServices.Get("a/v")
		if vs == nil || len(vs.Spec.Http) != 0 {
			t.Errorf("%s: the rules are %v", name, vs)
		}
		found := ""
		for f := range w.Findings() {
			found += f.Message
		}
		if !strings.Contains(found, "VirtualService a/v has hosts of its own, so that it is no delegate") {
			t.Errorf("%s: found %q", name, found)
		}
	}
}
