package security

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
)

// jsonWebKey is the part of a key of RFC 7517 and 7518 that tells whether
// Envoy can use it.
type jsonWebKey struct {
	Kty, Alg, Crv string
	N, E          string // RSA
	X, Y          string // EC and OKP
	K             string // oct
}

// checkKeys says why Envoy would find no key in a set, "" when it finds one: it refuses a
// whole listener then, while it passes over single keys that it cannot read.
func checkKeys(text string) string {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return "jwks is no JSON Web Key Set (RFC 7517)"
	}
	for _, raw := range set.Keys {
		var k jsonWebKey
		if json.Unmarshal(raw, &k) == nil && k.usable() {
			return ""
		}
	}
	return "jwks has no key of type RSA, EC, OKP or oct that can be read (RFC 7518)"
}

// maxModulus and maxExponent are how many bits the numbers of an RSA key may have: what is
// more the proxy's library of cryptography refuses.
const (
	maxModulus  = 8192
	maxExponent = 33
)

func (k jsonWebKey) usable() bool {
	switch k.Kty {
	case "RSA":
		n, e := decoded(k.N), decoded(k.E)
		exponent := new(big.Int).SetBytes(e)
		return (k.Alg == "" || strings.HasPrefix(k.Alg, "RS") || strings.HasPrefix(k.Alg, "PS")) &&
			len(n) >= 128 && new(big.Int).SetBytes(n).BitLen() <= maxModulus && n[len(n)-1]&1 == 1 &&
			exponent.BitLen() <= maxExponent && exponent.Bit(0) == 1 && exponent.BitLen() > 1
	case "EC":
		curve := map[string]ecdh.Curve{"P-256": ecdh.P256(), "P-384": ecdh.P384(), "P-521": ecdh.P521()}[k.Crv]
		if curve == nil || k.Alg != "" && k.Alg != map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[k.Crv] {
			return false
		}
		_, err := curve.NewPublicKey(slices.Concat([]byte{4}, decoded(k.X), decoded(k.Y)))
		return err == nil
	case "OKP":
		return k.Crv == "Ed25519" && (k.Alg == "" || k.Alg == "EdDSA") && len(decoded(k.X)) == 32
	case "oct":
		return (k.Alg == "" || strings.HasPrefix(k.Alg, "HS")) && len(decoded(k.K)) > 0
	}
	return false
}

func decoded(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}
