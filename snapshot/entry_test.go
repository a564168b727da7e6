package snapshot_test

import (
	"fmt"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
)

// TestEntries joins entries and reads them as Envoy does, with lengths around
// those at which the length of a length changes.
func TestEntries(t *testing.T) {
	var entries, bare []byte
	var want []*snapshot.Resource
	for _, n := range []int{1, 30, 60, 100, 127, 128, 129, 5000, 16384, 20000} {
		name := fmt.Sprintf("c%d-%s", n, strings.Repeat("n", n%200))
		r, err := snapshot.NewResource(snapshot.Cluster, name, &clusterv3.Cluster{Name: name, AltStatName: strings.Repeat("x", n)})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, r, r.With("", r.Body(), r.Body()), r.With("0123456789abcdef", r.Body()))
	}
	for _, r := range want {
		entries, bare = append(entries, r.Entry()...), append(bare, r.Bare()...)
	}
	var delta discoveryv3.DeltaDiscoveryResponse
	var state discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(entries, &delta); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(bare, &state); err != nil {
		t.Fatal(err)
	}
	if len(delta.GetResources()) != len(want) || len(state.GetResources()) != len(want) {
		t.Fatalf("%d and %d of %d", len(delta.GetResources()), len(state.GetResources()), len(want))
	}
	for i, r := range want {
		got := delta.GetResources()[i]
		if got.GetName() != r.Name || got.GetVersion() != r.Version || got.GetResource().GetTypeUrl() != r.Type.TypeURL() || string(got.GetResource().GetValue()) != string(r.Body()) {
			t.Errorf("%s: %s %s %s", r.Name, got.GetName(), got.GetVersion(), got.GetResource().GetTypeUrl())
		}
		if !proto.Equal(state.GetResources()[i], got.GetResource()) {
			t.Errorf("%s differs in a DiscoveryResponse", r.Name)
		}
	}
	if want[0].Version == want[1].Version || want[2].Version != "0123456789abcdef" {
		t.Errorf("versions %s %s %s", want[0].Version, want[1].Version, want[2].Version)
	}
}
