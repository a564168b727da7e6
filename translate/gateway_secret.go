package translate

import (
	"cmp"
	"strings"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// SecretRefs are the Secrets of the namespace that an SDS name
// ("kubernetes://NAME" or "kubernetes://NAME-cacert") may be made of.
func SecretRefs(name, namespace string) []object.Ref {
	if FileSecret(name) != nil {
		return nil
	}
	if rest, ok := strings.CutPrefix(name, gatewayapi.GatewaySecretScheme); ok { // of the Gateway API, which names the namespace
		namespace, name, _ = strings.Cut(rest, "/")
	}
	name = strings.TrimPrefix(name, secretScheme)
	refs := []object.Ref{{Kind: object.KindSecret, Namespace: namespace, Name: name}}
	if base, ok := strings.CutSuffix(name, CASecretSuffix); ok { // the CA may stand in the Secret of the certificate
		refs = append(refs, object.Ref{Kind: object.KindSecret, Namespace: namespace, Name: base})
	}
	return refs
}

// SecretUse is an SDS secret that something asks for.
type SecretUse struct {
	Name  string
	By    object.Ref // the object that names it
	Since time.Time  // when that was created: of too many the oldest are served
	// Authorities are what the secret is made of, where that is no Secret.
	Authorities *object.Authorities
	Kept        bool // only what is kept for a while asks for it in this form
}

// Refs are the Secrets of the namespace that the secret may be made of.
func (u SecretUse) Refs(namespace string) []object.Ref {
	if u.Authorities != nil { // what the ConfigMaps hold is known
		return nil
	}
	return SecretRefs(u.Name, namespace)
}

// RuleSecrets are the SDS secrets that clusters under the rule ask for and that
// are made of Secrets (ClientTLSSettings.credentialName and caCertCredentialName);
// none without a rule.
func RuleSecrets(rule *traffic.DestinationRule) (uses []SecretUse) {
	eachClientTLS(rule, func(t *networking.ClientTLSSettings) {
		if c := t.GetCredentialName(); c != "" {
			uses = append(uses, SecretUse{Name: secretScheme + c, By: rule.Ref(), Since: rule.Created})
		}
		if c := cmp.Or(t.GetCaCertCredentialName(), t.GetCredentialName()); c != "" {
			uses = append(uses, SecretUse{Name: secretScheme + c + CASecretSuffix, By: rule.Ref(), Since: rule.Created})
		}
	})
	return uses
}

// eachClientTLS calls f with all TLS settings of a rule, which may be nil.
func eachClientTLS(rule *traffic.DestinationRule, f func(*networking.ClientTLSSettings)) {
	policy := func(p *networking.TrafficPolicy) {
		if p.GetTls() != nil {
			f(p.Tls)
		}
		for _, port := range p.GetPortLevelSettings() {
			if port.GetTls() != nil {
				f(port.Tls)
			}
		}
	}
	if rule == nil {
		return
	}
	policy(rule.Policy)
	for _, s := range rule.Subsets {
		policy(s.Policy)
	}
}

// NamedSecret makes the SDS secret of the name from the Secrets of the
// namespace; nil when there is none that serves.
func NamedSecret(w *mesh.World, name, namespace string) (*tlsv3.Secret, []object.Finding) {
	if files := FileSecret(name); files != nil {
		return files, nil
	}
	var findings []object.Finding
	for i, ref := range SecretRefs(name, namespace) {
		s := w.Secret(ref.Namespace, ref.Name)
		if s == nil {
			continue
		}
		if s.HoldsAuthority() {
			return nil, []object.Finding{{Object: ref, Code: object.CodeSecret, Message: "the Secret holds the key of a certificate authority and is given to no proxy: name the Secret of a server's or client's certificate"}}
		}
		if !strings.HasSuffix(name, CASecretSuffix) {
			certificate, _, found := GatewaySecret(name, s)
			return certificate, found
		}
		_, roots, found := GatewaySecret(strings.TrimSuffix(name, CASecretSuffix), s)
		if roots != nil {
			roots.Name = name
			return roots, nil
		}
		if i == 0 {
			findings = append(findings, found...)
		}
	}
	if findings == nil {
		findings = []object.Finding{{Object: SecretRefs(name, namespace)[0], Code: object.CodeSecret,
			Message: "a Gateway or a DestinationRule names the Secret and it does not exist in the namespace of the proxy's Pod; connections that need it fail until it does: create it there"}}
	}
	return nil, findings
}
