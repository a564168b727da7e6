package registry

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Secret is a Secret with key material that a Gateway or DestinationRule
// names. It never changes. Its text forms hold no key material.
type Secret struct {
	Ref       object.Ref
	Data      map[string][]byte
	authority bool

	checked sync.Once // of the pair
	pair    error

	typed     sync.Once // of typedPair
	typedPair error
}

// TypedPair says what is wrong with the certificate and key of a Secret of type
// kubernetes.io/tls. It is looked at the first time only: statuses ask again in each pass.
func (s *Secret) TypedPair() error {
	s.typed.Do(func() { _, s.typedPair = tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"]) })
	return s.typedPair
}

// CheckPair says what check finds wrong with the certificate and key of the Secret, which
// is asked only the first time: each proxy that is made listeners for asks again.
func (s *Secret) CheckPair(check func() error) error {
	s.checked.Do(func() { s.pair = check() })
	return s.pair
}

// CASecretSuffix ends the name of a Secret with the roots that belong to the certificate
// in the Secret of the name before it.
const CASecretSuffix = "-cacert"

// String names the secret and nothing that it holds.
func (s *Secret) String() string { return s.Ref.String() }

// ParseSecret reads a Secret.
func ParseSecret(o *corev1.Secret) *Secret {
	return &Secret{Ref: object.Ref{Kind: object.KindSecret, Namespace: o.Namespace, Name: o.Name}, Data: o.Data, authority: AuthoritySecret(o.Name) || holdsAuthority(o)}
}

// HoldsAuthority tells whether the Secret is that of a certificate authority, which
// no proxy is ever given: whoever has its key is everybody.
func (s *Secret) HoldsAuthority() bool { return s != nil && s.authority }

// AuthoritySecret tells whether authorities of meshes keep their keys under the
// name: Fairway's own, Istio's, and those that are plugged in.
func AuthoritySecret(name string) bool {
	return slices.Contains([]string{"cacerts", "fairway-ca-secret", "istio-ca-secret"}, strings.TrimSuffix(name, CASecretSuffix))
}

// holdsAuthority tells whether a Secret of whatever name holds an authority's key:
// by entries that only those have, or since its certificate may sign others and is
// issued for that: named by nobody as a server.
func holdsAuthority(o *corev1.Secret) bool {
	if o.Type == "istio.io/ca-root" || len(o.Data["ca-key.pem"]) > 0 || len(o.Data["root-key.pem"]) > 0 || len(o.Data["next-key.pem"]) > 0 {
		return true
	}
	for _, name := range []string{"tls.crt", "cert"} {
		block, _ := pem.Decode(o.Data[name])
		if block == nil {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && c.IsCA && c.KeyUsage&x509.KeyUsageCertSign != 0 && !namesServer(c) {
			return true
		}
	}
	return false
}

// namesServer tells whether a certificate is for a server as well, as those are
// that sign themselves: it has names, or says what it is for.
func namesServer(c *x509.Certificate) bool {
	return len(c.DNSNames)+len(c.IPAddresses) > 0 || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
}

// Wanted is a Secret that an object names.
type Wanted struct {
	Ref   object.Ref
	By    object.Ref // the Gateway or DestinationRule
	Since time.Time  // when that was created
}
