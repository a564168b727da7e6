package security

import (
	"slices"
	"strings"
	"testing"
	"time"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

const aKey = `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

// TestIssuersAlone: keys of an issuer that was asked are written down; without any its
// tokens are refused, and a finding says since when and why.
func TestIssuersAlone(t *testing.T) {
	const issuer = "https://login.example"
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	policy := &mesh.RequestAuthentication{
		Ref:  object.Ref{Kind: object.KindRequestAuthentication, Namespace: "x", Name: "a"},
		Spec: &securityapi.RequestAuthentication{JwtRules: []*securityapi.JWTRule{{Issuer: issuer}}},
	}
	for _, c := range []struct {
		what  string
		known []*mesh.IssuerKeys
		local string // the keys; "": none
		code  object.Code
		says  []string
	}{
		{"not asked", nil, "", object.CodeNotLookedUp, []string{"has not been asked", "is refused until then"}},
		{"another was asked", []*mesh.IssuerKeys{{Issuer: issuer + "/", Keys: `{"keys":[]}`}}, "", object.CodeNotLookedUp, nil},
		{"known", []*mesh.IssuerKeys{{Issuer: issuer, Keys: `{"keys":[1]}`}}, `{"keys":[1]}`, "", nil},
		{"failed", []*mesh.IssuerKeys{{Issuer: issuer, Problem: "it sleeps", Since: since}}, "", object.CodeKeysUnknown, []string{"since 2026-01-02T03:04:05Z", "it sleeps", "every token of issuer \"https://login.example\" is refused"}},
		{"failed later", []*mesh.IssuerKeys{{Issuer: issuer, Keys: `{"keys":[1]}`, Problem: "it sleeps", Since: since}}, `{"keys":[1]}`, object.CodeKeysUnknown, []string{"those that it had stay in force"}},
	} {
		in := JWTInput{Policies: mesh.ListOf(policy), Issuers: mesh.ListOf(c.known...), Config: mesh.DefaultConfig()}
		provider, cluster, err := jwtProvider(policy.Spec.JwtRules[0], in)
		if cluster != nil || provider.GetLocalJwks().GetInlineString() != c.local || (c.local == "") != (provider.GetRemoteJwks().GetHttpUri().GetCluster() == resource.BlackHoleCluster) {
			t.Errorf("%s: %v, %v, %v", c.what, provider, cluster, err)
		}
		found := JWTFilters(in).Findings
		if c.code == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || found[0].Code != c.code {
			t.Fatalf("%s: %v", c.what, found)
		}
		for _, s := range c.says {
			if !strings.Contains(found[0].Message, s) {
				t.Errorf("%s: %s\ndoes not say %q", c.what, found[0].Message, s)
			}
		}
		if c.local != "" && strings.Contains(found[0].Message, "refused") {
			t.Errorf("%s: %s", c.what, found[0].Message)
		}
	}
}

func TestPublicKeys(t *testing.T) {
	for text, want := range map[string]string{
		`{"keys":[` + aKey + `]}`: `"kid":"a"`,
		`{"keys":[{"kty":"oct","k":"c2VjcmV0"},7,{"kty":"OKP"},` + strings.Replace(aKey, "{", `{"x5c":["long"],"d":"secret",`, 1) + `]}`: `"kid":"a"`,
		`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`:                                                        "",
		`{"keys":[` + strings.Replace(aKey, "{", `{"use":"enc",`, 1) + `]}`:                              "",
		`{"keys":[` + strings.Repeat(aKey+",", maxIssuerKeys) + aKey + `]}`:                              "",
		`{"keys":[` + strings.Replace(aKey, `"a"`, `"`+strings.Repeat("a", maxIssuerText)+`"`, 1) + `]}`: "",
		"<html>": "",
	} {
		got, err := PublicKeys([]byte(text))
		if (err == nil) != (want != "") || !strings.Contains(got, want) || strings.Contains(got, "secret") || strings.Contains(got, "x5c") || strings.Contains(got, "oct") {
			t.Errorf("%.200s: %.200s, %v", text, got, err)
		}
	}
}

// TestPublicKeysInOneOrder: an issuer's servers may have its keys in different orders, and
// several without a name.
func TestPublicKeysInOneOrder(t *testing.T) {
	nameless := strings.Replace(aKey, `"kid":"a",`, "", 1)
	keys := []string{aKey, strings.Replace(aKey, `"a"`, `"b"`, 1), nameless, strings.Replace(nameless, "{", `{"alg":"EdDSA",`, 1)}
	want, err := PublicKeys([]byte(`{"keys":[` + strings.Join(keys, ",") + `]}`))
	if err != nil || strings.Count(want, "OKP") != len(keys) {
		t.Fatalf("%s, %v", want, err)
	}
	slices.Reverse(keys)
	if got, err := PublicKeys([]byte(`{"keys":[` + strings.Join(keys, ",") + `]}`)); got != want || err != nil {
		t.Errorf("%s, %v, want\n%s", got, err, want)
	}
}

// FuzzPublicKeys: of whatever an issuer says, what is taken is a set that proxies take.
func FuzzPublicKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[` + aKey + `]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := PublicKeys(text)
		if err != nil {
			return
		}
		if wrong := checkKeys(keys); wrong != "" || len(keys) > maxIssuerText {
			t.Errorf("%s: %v", keys, wrong)
		}
	})
}
