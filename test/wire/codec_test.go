package wire

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
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

// TestEncodeDelta holds that what clients send is what protobuf makes of it.
func TestEncodeDelta(t *testing.T) {
	node := New(Options{NodeID: "sidecar~10.0.0.1~a.b~b.svc.cluster.local"}).Node()
	a := &ask{subscribe: []string{"a", "b"}, unsubscribe: []string{"c"}, initial: map[string]string{"d": "1", "e": ""}, nonce: "4"}
	want := &discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: snapshot.Cluster.TypeURL(), ResponseNonce: a.nonce,
		ErrorDetail:            &rpcstatus.Status{Code: 3, Message: "no"},
		ResourceNamesSubscribe: a.subscribe, ResourceNamesUnsubscribe: a.unsubscribe, InitialResourceVersions: a.initial}
	data, err := encodeDelta(node, snapshot.Cluster, a, want.GetErrorDetail())
	if err != nil {
		t.Fatal(err)
	}
	var got discoveryv3.DeltaDiscoveryRequest
	if err := proto.Unmarshal(data, &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("%v\n%v\n%v", err, &got, want)
	}
}
