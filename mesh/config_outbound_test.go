package mesh

import (
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestTLSForUnknownDestinations: what cannot be followed of it is told, and nothing is sent
// in plain text for it.
func TestTLSForUnknownDestinations(t *testing.T) {
	for text, c := range map[string]struct {
		field string
		mode  networking.ClientTLSSettings_TLSmode
	}{
		"{mode: ALLOW_ANY}":                                                           {},
		"{mode: ALLOW_ANY_DYNAMIC_DNS}":                                               {},
		"{mode: ALLOW_ANY, tls: {mode: SIMPLE}}":                                      {"outboundTrafficPolicy.tls", networking.ClientTLSSettings_SIMPLE},
		"{mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}":                          {"", networking.ClientTLSSettings_SIMPLE},
		"{mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: DISABLE}}":                         {"", networking.ClientTLSSettings_DISABLE},
		"{mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: ISTIO_MUTUAL}}":                    {"outboundTrafficPolicy.tls.mode", networking.ClientTLSSettings_SIMPLE},
		"{mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE, credentialName: c}}":       {"outboundTrafficPolicy.tls.credentialName", networking.ClientTLSSettings_SIMPLE},
		"{mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: MUTUAL, caCertCredentialName: c}}": {"outboundTrafficPolicy.tls.caCertCredentialName", networking.ClientTLSSettings_SIMPLE},
	} {
		got, findings, err := parseConfig(object.Ref{Name: "istio"}, []byte("outboundTrafficPolicy: "+text))
		if err != nil || len(findings) != map[bool]int{true: 0, false: 1}[c.field == ""] || len(findings) == 1 && findings[0].Field != c.field {
			t.Errorf("%s: %v, findings %v", text, err, findings)
			continue
		}
		if tls := got.OutboundTrafficPolicy.Tls; tls.GetMode() != c.mode || tls.GetCredentialName() != "" {
			t.Errorf("%s: %v", text, tls)
		}
	}
}
