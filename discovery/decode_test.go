package discovery

import (
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-mesh/fairway/snapshot"
)

func deltaRequest() *discoveryv3.DeltaDiscoveryRequest {
	return &discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: "sidecar~10.0.0.1~a.b~b.svc.cluster.local", UserAgentName: "envoy"}, TypeUrl: snapshot.Endpoint.TypeURL(),
		ResourceNamesSubscribe: []string{"a", "*"}, ResourceNamesUnsubscribe: []string{"é"},
		InitialResourceVersions: map[string]string{"a": "1", "b": "", "": "2"}, ResponseNonce: "7",
		ErrorDetail: &rpcstatus.Status{Code: 3, Message: "because"},
	}
}

func TestDecodeDeltaRefusesText(t *testing.T) {
	for field := range protowire.Number(fieldDeltaError) {
		text := protowire.AppendString(protowire.AppendTag(nil, fieldMapKey, protowire.BytesType), "\xff")
		if field+1 != fieldDeltaInitial {
			text = []byte("\xff")
		}
		_, err := decodeDelta(protowire.AppendBytes(protowire.AppendTag(nil, field+1, protowire.BytesType), text))
		if err == nil {
			t.Errorf("field %d may hold what is not UTF-8", field+1)
		}
	}
}

// FuzzDecodeDelta compares what is read of a message with what protobuf reads.
func FuzzDecodeDelta(f *testing.F) {
	for _, m := range []*discoveryv3.DeltaDiscoveryRequest{deltaRequest(), {}, {TypeUrl: "strange"}} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m discoveryv3.DeltaDiscoveryRequest
		want := proto.Unmarshal(data, &m)
		got, err := decodeDelta(data)
		if want != nil { // perhaps in a field that is not read
			return
		}
		if err != nil {
			t.Fatalf("the error is %v, protobuf has none", err)
		}
		if got.url != m.GetTypeUrl() || got.nonce != m.GetResponseNonce() || !proto.Equal(got.node, m.GetNode()) {
			t.Errorf("%q %q %v, want %v", got.url, got.nonce, got.node, &m)
		}
		if !slices.Equal(got.subscribe, m.GetResourceNamesSubscribe()) || !slices.Equal(got.unsubscribe, m.GetResourceNamesUnsubscribe()) {
			t.Errorf("subscribes %q, unsubscribes %q, want %v", got.subscribe, got.unsubscribe, &m)
		}
		held := got.held.versions()
		for name, version := range m.GetInitialResourceVersions() {
			if v, ok := held[name]; !ok || v != version {
				t.Errorf("holds %q of %q, want %q", v, name, version)
			}
		}
		if len(held) != len(m.GetInitialResourceVersions()) {
			t.Errorf("holds %v, want %v", held, m.GetInitialResourceVersions())
		}
		if detail := m.GetErrorDetail(); got.nack != (detail != nil) || got.refuse != wordsOf([]byte(detail.GetMessage())) {
			t.Errorf("refuses: %v %q, want %v", got.nack, got.refuse, detail)
		}
	})
}
