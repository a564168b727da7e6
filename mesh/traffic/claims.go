package traffic

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// claimPrefix begins the names of headers that are claims of a token.
const claimPrefix = "@request.auth.claims"

// claims are where the rules match claims of tokens, for requests that come by the gateway
// ("namespace/name", or MeshGateway).
func (v *VirtualService) claims(gateway string) (fields []string) {
	of := func(headers map[string]*networking.StringMatch) bool {
		for name := range headers {
			if strings.HasPrefix(name, claimPrefix) {
				return true
			}
		}
		return false
	}
	for i, r := range v.Spec.GetHttp() {
		for j, m := range r.Match {
			bound := len(m.GetGateways()) == 0 || slices.ContainsFunc(m.Gateways, func(g string) bool { return ResolveGateway(g, v.Namespace) == gateway })
			if bound && (of(m.Headers) || of(m.WithoutHeaders)) {
				fields = append(fields, fmt.Sprintf("%s.match[%d].headers", v.HTTPOrigin(i).Field, j))
			}
		}
	}
	return fields
}

// Claimless tells of rules for sidecars that match claims: those of requests that go out
// are not known.
func (v *VirtualService) Claimless() (findings []object.Finding) {
	if !v.On(object.MeshGateway) {
		return nil
	}
	for _, field := range v.claims(object.MeshGateway) {
		findings = append(findings, object.Finding{Object: v.Ref, Field: field, Code: object.CodeClaimUnknown,
			Message: "sidecars read no tokens of the requests that they send, so that no claim is known there and the match takes no request; where nothing else matches they get 404: bind the rules to a Gateway, or match the claim in an AuthorizationPolicy"})
	}
	return findings
}

// Unauthenticated tells of rules bound to the Gateway that match claims, for routers that
// read no tokens.
func (v *VirtualService) Unauthenticated(gateway string) (findings []object.Finding) {
	for _, field := range v.claims(gateway) {
		findings = append(findings, object.Finding{Object: v.Ref, Field: field, Code: object.CodeClaimUnknown,
			Message: fmt.Sprintf("no RequestAuthentication applies to pods of Gateway %s, so that no claim is known there and the match takes no request; where nothing else matches they get 404: add one for these pods", gateway)})
	}
	return findings
}
