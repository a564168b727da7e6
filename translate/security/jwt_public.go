package security

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// maxIssuerKeys is how many keys of an issuer are taken, and maxIssuerText how much
	// they may be together: every workload that they guard has them in its listener.
	maxIssuerKeys = 100
	maxIssuerText = 64 << 10
)

// publicKey is what proxies need of a public key of RFC 7517 and 7518; certificates and
// other things beside it are left out.
type publicKey struct {
	Kty string `json:"kty"`
	Kid string `json:"kid,omitempty"`
	Alg string `json:"alg,omitempty"`
	Use string `json:"use,omitempty"`
	Crv string `json:"crv,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

// PublicKeys are the keys of a JSON Web Key Set that an issuer shows to everybody, as far
// as proxies can use them, as a set again. Symmetric keys are none: whoever reads one could
// sign with it.
func PublicKeys(text []byte) (string, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil {
		return "", errors.New("its keys are no JSON Web Key Set (RFC 7517)")
	}
	var out struct {
		Keys []publicKey `json:"keys"`
	}
	for _, raw := range set.Keys {
		var k publicKey
		if json.Unmarshal(raw, &k) != nil || k.Use == "enc" || k.Kty == "oct" ||
			!(jsonWebKey{Kty: k.Kty, Alg: k.Alg, Crv: k.Crv, N: k.N, E: k.E, X: k.X, Y: k.Y}).usable() {
			continue
		}
		out.Keys = append(out.Keys, k)
	}
	if len(out.Keys) == 0 {
		return "", errors.New("it has no public key of type RSA, EC or OKP that proxies can use (RFC 7518)")
	}
	// In whatever order one of the issuer's servers has them, what proxies get is the same.
	slices.SortFunc(out.Keys, func(a, b publicKey) int {
		return cmp.Or(strings.Compare(a.Kid, b.Kid), strings.Compare(fmt.Sprintf("%q", a), fmt.Sprintf("%q", b)))
	})
	keys, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("writing the keys: %w", err)
	}
	if len(out.Keys) > maxIssuerKeys || len(keys) > maxIssuerText {
		return "", fmt.Errorf("it has %d keys of %d bytes together, and %d of %d bytes are taken", len(out.Keys), len(keys), maxIssuerKeys, maxIssuerText)
	}
	return string(keys), nil
}
