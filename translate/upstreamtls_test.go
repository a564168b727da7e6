package translate

import (
	"strings"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// TestTLSFiles is about row 62: keys and roots from files of the proxy.
func TestTLSFiles(t *testing.T) {
	service := &registry.Service{Host: "a.example.com", External: true, Ports: []registry.Port{{Number: 443, Protocol: object.ProtocolTCP}}}
	rule := &traffic.DestinationRule{Refs: []object.Ref{{Name: "a"}}, Policy: &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{
		Mode: networking.ClientTLSSettings_MUTUAL, ClientCertificate: "/c.pem", PrivateKey: "/k.pem", CaCertificates: "/ca.pem", CaCrl: "/crl.pem",
	}}}
	c, findings := Cluster(ClusterInput{Service: service, Port: 443, Rule: rule, Config: mesh.DefaultConfig()}, nil)
	if len(findings) > 0 {
		t.Errorf("unexpected: %v", findings)
	}
	if err := c.ValidateAll(); err != nil {
		t.Error(err)
	}
	var up tlsv3.UpstreamTlsContext
	if err := c.TransportSocket.GetTypedConfig().UnmarshalTo(&up); err != nil {
		t.Fatal(err)
	}
	got := asYAML(t, &up)
	if strings.Contains(got, "filename") {
		t.Errorf("a file that is not there would cost the cluster:\n%s", got)
	}
	for _, use := range FileSecrets(rule) {
		got += asYAML(t, FileSecret(use.Name))
	}
	for _, want := range []string{"filename: /c.pem", "filename: /k.pem", "filename: /ca.pem", "filename: /crl.pem", "sni: a.example.com"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestTLSNeverUnverified: unless verification is turned off in so many words,
// a server's certificate is checked against roots. Envoy accepts every
// certificate when none are given.
func TestTLSNeverUnverified(t *testing.T) {
	service := &registry.Service{Host: "a.example.com", External: true, Ports: []registry.Port{{Number: 80, Protocol: object.ProtocolHTTP}}}
	for _, s := range []*networking.ClientTLSSettings{
		{Mode: networking.ClientTLSSettings_SIMPLE},
		{Mode: networking.ClientTLSSettings_SIMPLE, CaCertificates: "system"},
		{Mode: networking.ClientTLSSettings_SIMPLE, CaCertificates: "/ca.pem"},
		{Mode: networking.ClientTLSSettings_SIMPLE, CredentialName: "a"},
		{Mode: networking.ClientTLSSettings_MUTUAL},
		{Mode: networking.ClientTLSSettings_MUTUAL, CredentialName: "a", SubjectAltNames: []string{"b"}},
		{Mode: networking.ClientTLSSettings_ISTIO_MUTUAL},
	} {
		for _, router := range []bool{false, true} {
			rule := &traffic.DestinationRule{Refs: []object.Ref{{Name: "a"}}, Policy: &networking.TrafficPolicy{Tls: s}}
			c, _ := Cluster(ClusterInput{Service: service, Port: 80, Rule: rule, Config: mesh.DefaultConfig(), Router: router}, nil)
			var up tlsv3.UpstreamTlsContext
			if err := c.TransportSocket.GetTypedConfig().UnmarshalTo(&up); err != nil {
				t.Fatal(err)
			}
			common := up.CommonTlsContext
			if common.GetValidationContext().GetTrustedCa() == nil && common.GetCombinedValidationContext().GetValidationContextSdsSecretConfig() == nil {
				t.Errorf("%v accepts every certificate:\n%s", s, asYAML(t, &up))
			}
		}
	}
}

// TestManyIdentities: a server of any account of the namespace is trusted where accounts are
// too many to be listed, and no other.
func TestManyIdentities(t *testing.T) {
	service := &registry.Service{Host: "a.shop.svc.cluster.local", Ports: []registry.Port{{Number: 80, Protocol: object.ProtocolHTTP}}}
	c, findings := Cluster(ClusterInput{Service: service, Port: 80, Config: mesh.DefaultConfig(), Identities: "ns/shop" + registry.AnyAccount, MutualTLS: true}, nil)
	if len(findings) != 1 || findings[0].Object != service.Ref {
		t.Errorf("found %v", findings)
	}
	got := asYAML(t, c)
	var up tlsv3.UpstreamTlsContext
	if err := c.TransportSocketMatches[0].GetTransportSocket().GetTypedConfig().UnmarshalTo(&up); err != nil {
		t.Fatal(err)
	}
	names := up.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames()
	if len(names) != 1 || names[0].GetMatcher().GetPrefix() != "spiffe://cluster.local/ns/shop/sa/" {
		t.Errorf("trusts %v:\n%s", names, got)
	}
}
