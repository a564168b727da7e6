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

func TestOwnSecret(t *testing.T) {
	for name, want := range map[string]string{
		"cert": "cert", "edge/cert": "cert", "kubernetes://cert": "cert", "kubernetes://edge/cert": "cert", "cert-cacert": "cert-cacert",
		"shop/cert": "", "kubernetes://shop/cert": "", "kubernetes-gateway://edge/cert": "", "kubernetes-gateway://shop/cert": "", "edge/shop/cert": "", "/cert": "", "edge/": "", "builtin://": "", "file:/etc/cert": "",
	} {
		own, problem := ownSecret(name, "edge")
		if problem == "" && own != want || (problem != "") != (want == "") {
			t.Errorf("%q in namespace edge is %q, %q; want %q", name, own, problem, want)
		}
	}
	if own, problem := ownSecret("shop/cert", ""); own != "cert" || problem != "" {
		t.Errorf("where the namespace is not known, shop/cert is %q, %q", own, problem)
	}
}
