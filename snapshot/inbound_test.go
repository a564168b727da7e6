package snapshot

import (
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestInboundShared: two workloads have the clusters of a port in common, and
// keep no bytes of their listeners.
func TestInboundShared(t *testing.T) {
	memo := NewMemo()
	of := func(name string) *Revision {
		in := mesh.Inbound{Namespace: "shop", Workload: name, ServiceAccount: name, IPv4: true, Config: mesh.DefaultConfig(),
			Ports: mesh.ListOf(mesh.InboundPort{Number: 8080, Protocol: object.ProtocolHTTP})}
		return newInbound(memo, in, nil).revision
	}
	a, b := of("a"), of("b")
	if a.Len(Cluster) == 0 || a.Len(Listener) == 0 {
		t.Fatalf("%d clusters, %d listeners", a.Len(Cluster), a.Len(Listener))
	}
	for r := range a.All(Cluster) {
		if b.Get(Cluster, r.Name) != r {
			t.Errorf("cluster %s is held twice", r.Name)
		}
	}
	for r := range a.All(Listener) {
		if r.entry != nil || r.Version != versionOf(r.Body()) || r.Same(b.Get(Listener, r.Name)) {
			t.Errorf("listener %s, %d bytes are kept", r.Name, len(r.entry))
		}
	}
}
