package mesh

import (
	"slices"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func TestConfigReplacesDefaults(t *testing.T) {
	c, findings, err := parseConfig(object.Ref{Name: "istio"}, []byte("connectTimeout: 500ms\nenableAutoMtls: false\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\ntrustDomain: example.org\n"))
	if err != nil || len(findings) != 0 {
		t.Fatal(err, findings)
	}
	if got := c.ConnectTimeout.AsDuration(); got != 500*time.Millisecond {
		t.Errorf("connectTimeout is %v, want 500ms", got)
	}
	if c.EnableAutoMtls.GetValue() {
		t.Error("enableAutoMtls is true, want false as given")
	}
	if !c.RegistryOnly() || c.TrustDomain != "example.org" || c.RootNamespace != "istio-system" || c.DnsRefreshRate.AsDuration() != time.Minute {
		t.Errorf("given and defaults are mixed up: %v", c.MeshConfig)
	}
}

func TestConfigSaysWhatIsUnknown(t *testing.T) {
	c, findings, err := parseConfig(object.Ref{Name: "istio"}, []byte("nonsense: 1\nprotocolDetectionTimeout: 100ms\ndefaultConfig: {concurrency: 1, more: 1, proxyMetadata: {ANY: key}}\nextensionProviders: [{name: a, prometheus: {}, other: 1}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range findings {
		got = append(got, f.Field)
	}
	if want := []string{"defaultConfig.more", "extensionProviders[0].other", "nonsense"}; !slices.Equal(got, want) {
		t.Errorf("unknown fields are %q, want %q", got, want)
	}
	if d := c.ProtocolDetectionTimeout.AsDuration(); d != 100*time.Millisecond {
		t.Errorf("protocolDetectionTimeout is %v", d)
	}
}

func TestConfigLeavesOutCiphers(t *testing.T) {
	c, findings, err := parseConfig(object.Ref{Name: "istio"}, []byte("meshMTLS: {cipherSuites: [NONSENSE, AES128-SHA], ecdhCurves: [P-256, P-9]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.MeshMTLS.CipherSuites, []string{"AES128-SHA"}) || !slices.Equal(c.MeshMTLS.EcdhCurves, []string{"P-256"}) || len(findings) != 2 {
		t.Errorf("got %v with %v", c.MeshMTLS, findings)
	}
}

func TestGatewayLeavesOutCiphers(t *testing.T) {
	o := &networkingv1.Gateway{}
	o.Spec.Servers = []*networking.Server{{
		Port: &networking.Port{Number: 443, Name: "https", Protocol: "HTTPS"}, Hosts: []string{"*"},
		Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_SIMPLE, CipherSuites: []string{"AES128-SHA", "TLS_AES_128_GCM_SHA256", "AES128-SHA"},
			EcdhCurves: []string{"P-256", "P-9"}, AlpnProtocols: []string{"http/1.1", ""}},
	}}
	g, findings := traffic.ParseGateway(o)
	if got := g.Servers[0].Spec.Tls.CipherSuites; !slices.Equal(got, []string{"AES128-SHA"}) {
		t.Errorf("cipher suites are %q", got)
	}
	if tls := g.Servers[0].Spec.Tls; !slices.Equal(tls.EcdhCurves, []string{"P-256"}) || !slices.Equal(tls.AlpnProtocols, []string{"http/1.1"}) {
		t.Errorf("key exchanges are %q, and ALPN %q", tls.EcdhCurves, tls.AlpnProtocols)
	}
	if len(findings) != 3 || findings[1].Field != "spec.servers[0].tls.ecdhCurves[1]" || findings[2].Field != "spec.servers[0].tls.alpnProtocols[1]" || findings[0].Field != "spec.servers[0].tls.cipherSuites[1]" || findings[0].Code != object.CodeUnsupported {
		t.Errorf("findings are %v", findings)
	}
	if len(o.Spec.Servers[0].Tls.CipherSuites) != 3 {
		t.Error("the object itself was changed")
	}
}
