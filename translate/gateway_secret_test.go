package translate

import (
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func TestRuleSecrets(t *testing.T) {
	policy := func(name string) *networking.TrafficPolicy {
		return &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{CredentialName: name}}
	}
	port := &networking.TrafficPolicy{PortLevelSettings: []*networking.TrafficPolicy_PortTrafficPolicy{{Tls: &networking.ClientTLSSettings{CredentialName: "b"}}}}
	rule := &traffic.DestinationRule{Refs: []object.Ref{{Name: "rule"}}, Policy: policy("a"), Subsets: []*traffic.Subset{{Policy: port}, {}}}
	want := []string{"kubernetes://a", "kubernetes://a-cacert", "kubernetes://b", "kubernetes://b-cacert"}
	var got []string
	for _, use := range RuleSecrets(rule) {
		if got = append(got, use.Name); use.By.Name != "rule" {
			t.Errorf("%s is asked for by %s", use.Name, use.By)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := RuleSecrets(nil); got != nil {
		t.Errorf("no rule asks for %v", got)
	}
}
