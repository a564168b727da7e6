package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

const redacted = "[private key]"

// PrivateKey holds key material in memory. However it is printed, logged or
// encoded, it shows only that it is one; PEM is the way to the material. The
// zero PrivateKey holds none.
type PrivateKey struct {
	// A function, since in an unexported field of some other type fmt cannot
	// call the methods below, and of all kinds only functions are never
	// looked into.
	reveal func() *material
}

type material struct {
	signer crypto.Signer
	pem    []byte
}

func keep(signer crypto.Signer, block *pem.Block) PrivateKey {
	m := &material{signer, slices.Clone(pem.EncodeToMemory(block))}
	return PrivateKey{func() *material { return m }}
}

// handedOut is the key as it is kept for a workload: nothing is signed with it
// here, and what is needed for that takes more than the text.
func (k PrivateKey) handedOut() PrivateKey {
	m := &material{pem: k.PEM()}
	return PrivateKey{func() *material { return m }}
}

// signer can sign with the key, which is neither the zero one nor handed out.
func (k PrivateKey) signer() crypto.Signer { return k.reveal().signer }

// newKey makes a key on the curve P-256.
func newKey() (PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("making a private key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("encoding a private key: %w", err)
	}
	return keep(key, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseKey reads the first private key of PEM text: PKCS #8, PKCS #1 or SEC 1.
// Its errors hold nothing of the text.
func parseKey(text []byte) (PrivateKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return PrivateKey{}, errors.New("the private key is encrypted: store it without a passphrase")
		default:
			continue
		}
		if err != nil {
			return PrivateKey{}, errors.New("the private key cannot be parsed as its PEM type says: want PKCS #8, PKCS #1 or SEC 1")
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return PrivateKey{}, errors.New("the private key cannot sign: want ECDSA, RSA or Ed25519")
		}
		return keep(signer, &pem.Block{Type: block.Type, Bytes: block.Bytes}), nil
	}
	return PrivateKey{}, errors.New("no private key in PEM form")
}

// PEM is the key itself. It may go to the workload that owns it, over an
// authenticated connection, and into the authority's Storage; nowhere else.
// The caller must not change it. Nil for the zero PrivateKey.
func (k PrivateKey) PEM() []byte {
	if k.reveal == nil {
		return nil
	}
	return k.reveal().pem
}

// String shows nothing of the key.
func (PrivateKey) String() string { return redacted }

// Format shows nothing of the key, whatever the verb.
func (PrivateKey) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue shows nothing of the key.
func (PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText shows nothing of the key; encoding/json uses it too.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
