package translate

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// TestLeanPoliciesKeepTLS: of a policy that is said too often, each port speaks TLS as it did,
// also one that has settings and none of TLS, which takes none of the rule's.
func TestLeanPoliciesKeepTLS(t *testing.T) {
	settings := []*networking.ClientTLSSettings{nil, {Mode: networking.ClientTLSSettings_DISABLE}, {Mode: networking.ClientTLSSettings_SIMPLE, Sni: "a.example"}, {Mode: networking.ClientTLSSettings_ISTIO_MUTUAL}}
	for _, whole := range settings {
		for _, ofPort := range settings {
			p := &networking.TrafficPolicy{Tls: whole, PortLevelSettings: []*networking.TrafficPolicy_PortTrafficPolicy{{
				Port: &networking.PortSelector{Number: 8443}, Tls: ofPort, OutlierDetection: &networking.OutlierDetection{ConsecutiveErrors: 3, Consecutive_5XxErrors: wrapperspb.UInt32(4)},
			}}}
			for _, port := range []uint32{80, 8443} {
				want := effectivePolicy(mesh.DefaultConfig(), &traffic.DestinationRule{Policy: p}, nil, port).tls
				got := effectivePolicy(mesh.DefaultConfig(), &traffic.DestinationRule{Policy: bounds.LeanPolicy(p)}, nil, port).tls
				if !proto.Equal(got, want) {
					t.Errorf("rule %v, port %v: port %d speaks %v, and spoke %v", whole, ofPort, port, got, want)
				}
			}
		}
	}
}
