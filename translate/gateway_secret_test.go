package translate

import (
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
)

func TestRuleSecrets(t *testing.T) {
	policy := func(name string) *networking.TrafficPolicy {
		return &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{CredentialName: name}}
	}
	port := &networking.TrafficPolicy{PortLevelSettings: []*networking.TrafficPolicy_PortTrafficPolicy{{Tls: &networking.ClientTLSSettings{CredentialName: "b"}}}}
	rule := &mesh.DestinationRule{Policy: policy("a"), Subsets: []*mesh.Subset{{Policy: port}, {}}}
	want := []string{"kubernetes://a", "kubernetes://a-cacert", "kubernetes://b", "kubernetes://b-cacert"}
	if got := RuleSecrets(rule); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := RuleSecrets(nil); got != nil {
		t.Errorf("no rule asks for %q", got)
	}
}
