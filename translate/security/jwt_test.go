package security

import (
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
)

func TestCheckKeys(t *testing.T) {
	modulus := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 256)))
	ofBits := func(bits uint) string {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return base64.RawURLEncoding.EncodeToString(n.SetBit(n, 0, 1).Bytes())
	}
	const x, y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" // RFC 7515 A.3
	for text, want := range map[string]bool{
		`{"keys":[{"kty":"RSA","n":"` + modulus + `","e":"AQAB"}]}`:                    true,
		`{"keys":[{"kty":"RSA","alg":"RS256","n":"` + modulus + `","e":"AQAB"}]}`:      true,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}]}`:        true,
		`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`:                                      true,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"` + x + `"}]}`:                     true,
		`{"keys":[{"kty":"nope"},{"kty":"oct","k":"c2VjcmV0"}]}`:                       true,
		`{"keys":[1,{"kty":"oct","k":"c2VjcmV0"}]}`:                                    true,
		`{"keys":[{"kty":"RSA","n":"` + ofBits(8192) + `","e":"` + ofBits(33) + `"}]}`: true,
		`{"keys":[{"kty":"RSA","n":"` + ofBits(8193) + `","e":"AQAB"}]}`:               false,
		`{"keys":[{"kty":"RSA","n":"` + ofBits(16384) + `","e":"AQAB"}]}`:              false,
		`{"keys":[{"kty":"RSA","n":"` + ofBits(2048) + `","e":"` + ofBits(34) + `"}]}`: false,
		`{"keys":[{"kty":"RSA","n":"` + ofBits(2048) + `","e":"AQ"}]}`:                 false,
		`{"keys":[{"kty":"RSA","alg":"ES256","n":"` + modulus + `","e":"AQAB"}]}`:      false,
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`:                               false,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + x + `"}]}`:        false,
		`{"keys":[{"kty":"EC","crv":"P-384","x":"` + x + `","y":"` + y + `"}]}`:        false,
		`{"keys":[{"kty":"oct"}]}`:                                                     false,
		`{"keys":[]}`:                                                                  false,
		`{}`:                                                                           false,
		`[]`:                                                                           false,
		`nonsense`:                                                                     false,
	} {
		if wrong := checkKeys(text); (wrong == "") != want {
			t.Errorf("%s: %v", text, wrong)
		}
	}
}

func FuzzCheckKeys(f *testing.F) {
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`)
	f.Add(`{"keys":[{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if checkKeys(text) == "" && !strings.Contains(strings.ToLower(text), "keys") {
			t.Errorf("%q has no keys", text)
		}
	})
}
