package identity

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Certificate is a certificate with its key. It never changes. However it is
// printed, logged or encoded, the key does not show.
type Certificate struct {
	// Chain is PEM, the leaf first, then intermediates; never a root.
	Chain []byte
	Key   PrivateKey
	// Name is whom it is about: a SPIFFE id, or a server's first name.
	Name      string
	NotBefore time.Time
	NotAfter  time.Time
	// RotateAt is when a new one is due: half of its life, with jitter.
	RotateAt time.Time

	signer *signer // that signed it
}

// SecretPEM is what an Envoy TlsCertificate carries (SDS): the chain and the
// private key. The caller must change neither, nor let the key into anything
// but the response to the proxy that owns it.
func (c *Certificate) SecretPEM() (chain, key []byte) { return c.Chain, c.Key.PEM() }

// String says whose it is and until when.
func (c *Certificate) String() string {
	return fmt.Sprintf("certificate of %s until %s", c.Name, c.NotAfter.UTC().Format(time.RFC3339))
}

// Format is String for every verb.
func (c *Certificate) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue is String.
func (c *Certificate) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String; encoding/json uses it too.
func (c *Certificate) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
