package mesh

import (
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// FuzzParseConfig: any text is a mesh configuration or an error that says why
// not, and what is read is the same each time.
func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		"", "a", "[]", "{}", "---\n", "trustDomain: td.example\nrootNamespace: \"\"", "connectTimeout: 1.5s", "connectTimeout: 10", "enableAutoMtls: null", "defaultConfig: {proxyMetadata: {A: b}}", "nonsense: {a: [1]}",
		"extensionProviders: [{name: a, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {a: '%START_TIME%'}}}}, null]", "localityLbSetting: {distribute: [{from: a, to: {b: 100}}]}",
		"meshMTLS: {minProtocolVersion: TLSV1_3, cipherSuites: [x]}", "discoverySelectors: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]", "outboundTrafficPolicy: {mode: 7}", "serviceSettings: [{}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ref := object.Ref{Kind: object.KindMeshConfigFile, Name: "mesh"}
		c, findings, err := parseConfig(ref, text)
		again, _, _ := parseConfig(ref, text)
		switch {
		case err != nil && c != nil:
			t.Error("there is a configuration and an error")
		case err == nil && (c.RootNamespace == "" || c.OutboundTrafficPolicy == nil || !c.equal(again)):
			t.Errorf("defaults are missing, or it is another the next time: %v", c)
		}
		for _, x := range findings {
			if x.Object != ref || x.Message == "" {
				t.Errorf("a finding about nothing: %v", x)
			}
		}
		Build([]Change{{Ref: ref, Object: text}})
	})
}

// FuzzLocality: what is read of a locality was written.
func FuzzLocality(f *testing.F) {
	for _, seed := range []string{"region/zone", "a.b.c", "", "/", "a/b/c/d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, a string) {
		if l := registry.ParseLocality(a); l.Region != "" && !strings.HasPrefix(a, l.Region) {
			t.Errorf("%q is in region %q", a, l.Region)
		}
	})
}
