package wire

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-mesh/fairway/snapshot"
)

func deltaResponse(t testing.TB) []byte {
	t.Helper()
	cluster, err := anypb.New(&clusterv3.Cluster{Name: "a", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{ServiceName: "svc"}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(&discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: "7", Nonce: "3", TypeUrl: snapshot.Cluster.TypeURL(),
		Resources: []*discoveryv3.Resource{{Name: "a", Version: "1", Resource: cluster}}, RemovedResources: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParse(t *testing.T) {
	r, err := parse(deltaResponse(t), true)
	if err != nil || r.Type != snapshot.Cluster || r.Version != "7" || r.Nonce != "3" || len(r.Put) != 1 || len(r.Removed) != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if p := r.Put[0]; p.Name != "a" || p.Version != "1" {
		t.Errorf("%+v", p)
	}
	if name, err := endpointsOf(r.Put[0].Body); name != "svc" || err != nil {
		t.Errorf("endpoints %q %v", name, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(deltaResponse(f), true)
	f.Add([]byte{0x12, 0xff}, false)
	f.Fuzz(func(_ *testing.T, data []byte, delta bool) {
		r, err := parse(data, delta)
		if err != nil {
			return
		}
		for _, p := range r.Put {
			_, _ = endpointsOf(p.Body)
			_ = hasVHDS(p.Body)
		}
	})
}
