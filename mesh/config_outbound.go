package mesh

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// checkOutbound tells of TLS settings for unknown destinations that cannot be followed.
// Nothing is sent in plain text that was to be encrypted: such settings are replaced by
// ones that verify the server by the roots of the proxy's image.
func (c *Config) checkOutbound() (findings []object.Finding) {
	t := c.GetOutboundTrafficPolicy().GetTls()
	if t == nil {
		return nil
	}
	tell := func(field, message string) {
		findings = append(findings, object.Finding{Object: c.Ref, Field: "outboundTrafficPolicy.tls" + field, Code: object.CodeUnsupported, Message: message})
	}
	if !c.ResolvesUnknown() {
		tell("", "it is for mode ALLOW_ANY_DYNAMIC_DNS, in which proxies know the names of unknown destinations; it is ignored: set the mode, or take it out")
		return findings
	}
	plain := &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE, CaCertificates: "system"}
	switch {
	case t.CredentialName != "" || t.CaCertCredentialName != "":
		field := ".credentialName"
		if t.CredentialName == "" {
			field = ".caCertCredentialName"
		}
		tell(field, "sidecars get a Secret only by a rule with a workloadSelector; servers are verified by the roots of the proxy's image: name files, which are in the pods")
		c.OutboundTrafficPolicy.Tls = plain
	case t.Mode != networking.ClientTLSSettings_SIMPLE && t.Mode != networking.ClientTLSSettings_MUTUAL && t.Mode != networking.ClientTLSSettings_DISABLE:
		tell(".mode", "unknown destinations are not in the mesh and know no identity of it; servers are verified by the roots of the proxy's image: use SIMPLE or MUTUAL")
		c.OutboundTrafficPolicy.Tls = plain
	}
	return findings
}
