package snapshot

import (
	"testing"

	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// TestEndingProxiesAreNotReady holds the words of the bootstrap and those of the control
// plane together.
func TestEndingProxiesAreNotReady(t *testing.T) {
	l := newLife()
	for _, ending := range []bool{false, true} {
		r := l.of(&registry.Workload{Terminating: ending}, true).Get(Runtime, bootstrap.RuntimeLayer)
		if r == nil {
			t.Fatal("proxies wait for the layer when they start, and get none")
		}
		var runtime runtimev3.Runtime
		if err := proto.Unmarshal(r.Body(), &runtime); err != nil {
			t.Fatal(err)
		}
		if got := runtime.Layer.Fields[bootstrap.DrainingKey].GetNumberValue() == 100; got != ending {
			t.Errorf("a Pod that ends (%v) has %v", ending, runtime.Layer)
		}
	}
}
