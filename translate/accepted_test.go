package translate

import (
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/security"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// TestValidAndWithoutEffect: what Istio's API allows and is not served is told, and no
// reason to refuse the object.
func TestValidAndWithoutEffect(t *testing.T) {
	for _, c := range []struct{ what, object, code, field, message string }{
		{"an issuer alone", `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a, namespace: x}, spec: {jwtRules: [{issuer: "https://login.example"}]}}`,
			"NotLookedUp", "spec.jwtRules[0]", "a running control plane does by itself; every token of issuer \"https://login.example\" is refused until then"},
		{"an issuer alone that is no address", `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a, namespace: x}, spec: {jwtRules: [{issuer: login}]}}`,
			"Unsupported", "spec.jwtRules[0]", "no https URL that could be asked for its keys"},
		{"keys that are none", `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a, namespace: x}, spec: {jwtRules: [{issuer: i, jwks: "none"}]}}`,
			"Invalid", "spec.jwtRules[0].jwks", `every token of issuer "i" is refused: write the set that the issuer publishes`},
		{"a network filter", `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a, namespace: x}, spec: {action: DENY, rules: [{when: [{key: "experimental.envoy.filters.network.mysql_proxy[db.table]", values: [update]}]}]}}`,
			"Unsupported", "spec.rules[0].when[0].key", "metadata of envoy.filters.network.mysql_proxy; the values never match"},
		{"a filter without a key", `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a, namespace: x}, spec: {action: DENY, rules: [{when: [{key: "experimental.envoy.filters.network.mysql_proxy", values: [update]}]}]}}`,
			"Invalid", "spec.rules[0].when[0].key", "counts as matching everything"},
		{"a tracing provider of nobody", `{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: a, namespace: x}, spec: {tracing: [{providers: [{name: nobody}]}]}}`,
			"ProviderNotFound", "spec.tracing[0].providers", "no spans are reported"},
	} {
		w := parsedWorld(t, c.object)
		var found []object.Finding
		for _, p := range w.RequestAuthentications.In("x") {
			found = append(found, security.JWTFilters(security.JWTInput{Policies: mesh.ListOf(p), Config: w.Config}).Findings...)
		}
		for _, p := range w.AuthorizationPolicies.In("x") {
			_, findings := security.AuthorizationHTTP(security.AuthorizationInput{Policies: mesh.ListOf(p), Config: w.Config})
			found = append(found, findings...)
		}
		for _, p := range w.Telemetries.In("x") {
			found = append(found, telemetry.Findings(telemetry.Reporting{Telemetries: mesh.ListOf(p)}, w.Config)...)
		}
		if len(found) != 1 || string(found[0].Code) != c.code || found[0].Field != c.field || !strings.Contains(found[0].Message, c.message) {
			t.Errorf("%s: %v", c.what, found)
		}
	}
}

// TestPortsOfTheProxy: whatever its protocol, who cannot be served at a port of the proxy
// hears of it.
func TestPortsOfTheProxy(t *testing.T) {
	for _, protocol := range []string{"HTTP", `""`, "TCP"} {
		for _, port := range []string{"15001", "15006", "15090"} {
			v := routeWorld(t, strings.Replace(entryDoc("a", "x", protocol, ""), "number: 81", "number: "+port, 1), "client", "")
			plan := ResolveHost(v, "a.example")
			found := plan.Findings
			for _, c := range plan.Claims {
				if c.Kind == ClaimHTTP {
					t.Errorf("%s %s: claimed", protocol, port)
				}
				_, more := OutboundListener(ListenerInput{Key: c.Key, Claims: []Claim{c}, Config: v.Config})
				found = append(found, more...)
			}
			if len(found) == 0 || found[0].Object.Name != "a" || !strings.Contains(found[0].Message, "the proxy's own") {
				t.Errorf("%s %s: findings %v", protocol, port, found)
			}
		}
	}
}
