package translate

import (
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Authorities that ConfigMaps hold reach clusters and listeners by secrets. What Envoy's
// library refuses, though Go's takes it, then costs nobody but those who named it, and what
// many clusters trust is sent once.

// trusting has common verify the other side by authorities of a secret, beside what v says.
func trusting(common *tlsv3.CommonTlsContext, v *tlsv3.CertificateValidationContext, secret string) {
	common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
		DefaultValidationContext: v, ValidationContextSdsSecretConfig: secretByADS(secret),
	}}
}

// AuthoritiesSecret is the SDS secret of authorities.
func AuthoritiesSecret(a *object.Authorities) *tlsv3.Secret {
	return rootsSecret(a.Name, []byte(strings.Join(a.Roots, "")), nil)
}

// ClusterSecrets are the SDS secrets that a cluster may ask for. kept is one that stays only
// because routes still lead to it.
func ClusterSecrets(in ClusterInput, kept bool) []SecretUse {
	uses := FileSecrets(in.Rule)
	if in.Rule != nil && (in.Router || len(in.Rule.Selector) > 0) { // a rule for everybody hands out no key
		uses = append(uses, RuleSecrets(in.Rule)...)
	}
	if in.overridden() && in.TLS.Authorities != nil {
		uses = append(uses, SecretUse{Name: in.TLS.Authorities.Name, By: in.TLS.Policy, Since: in.TLS.Created, Authorities: in.TLS.Authorities})
	}
	if in.overridden() && in.TLS.System && len(in.TLS.Names) > 0 {
		uses = append(uses, SecretUse{Name: systemRootsSecret, By: in.TLS.Policy, Since: in.TLS.Created})
	}
	if name := shownSecret(in.Certificate); in.overridden() && name != "" {
		uses = append(uses, SecretUse{Name: name, By: in.Certificate.By, Since: in.Certificate.Since})
	}
	for i := range uses {
		uses[i].Kept = kept
	}
	return uses
}
