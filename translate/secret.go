package translate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// The names of the secrets of every workload.
const (
	WorkloadSecretName = "default" // its certificate and key
	RootSecretName     = "ROOTCA"  // the roots that sign identities of the mesh
)

// CASecretSuffix ends the name of the secret that holds the roots for the
// clients of a gateway, beside the one with the gateway's own certificate.
const CASecretSuffix = registry.CASecretSuffix

// WorkloadSecret is the certificate chain and the key of a workload, in PEM.
func WorkloadSecret(chain, key []byte) *tlsv3.Secret {
	return certificateSecret(WorkloadSecretName, chain, key)
}

// RootSecret is the roots that sign identities of the mesh, in PEM: several
// while one takes the place of another.
func RootSecret(bundle []byte) *tlsv3.Secret {
	return rootsSecret(RootSecretName, bundle, nil)
}

// GatewaySecret reads a Secret of type kubernetes.io/tls or a generic one with
// cert and key. The first result is the certificate under the name, the second
// the roots for clients under the name with CASecretSuffix (cacert or ca.crt,
// with crl or ca.crl); either is nil when the Secret does not hold it or
// holds something that cannot work, which a finding tells.
func GatewaySecret(name string, s *registry.Secret) (certificate, roots *tlsv3.Secret, findings []object.Finding) {
	found := func(field, format string, args ...any) {
		findings = append(findings, object.Finding{Object: s.Ref, Field: field, Code: object.CodeSecret, Message: fmt.Sprintf(format, args...)})
	}
	chain, chainField := either(s, "tls.crt", "cert")
	key, keyField := either(s, "tls.key", "key")
	switch {
	case len(chain) > 0 && len(key) > 0:
		if err := s.CheckPair(func() error { return keyPair(chain, key) }); err != nil {
			found("data["+keyField+"]", "%v; the secret is not used: put a certificate chain into %s and its key into %s, both in PEM", err, chainField, keyField)
		} else {
			certificate = certificateSecret(name, chain, key)
		}
	case len(chain) > 0:
		found("data", "a certificate without key; it is not used: add %s", map[string]string{"tls.crt": "tls.key", "cert": "key"}[chainField])
	case len(key) > 0:
		found("data", "a key without certificate; it is not used: add %s", map[string]string{"tls.key": "tls.crt", "key": "cert"}[keyField])
	}
	if ca, field := either(s, "cacert", "ca.crt"); len(ca) > 0 {
		crl, crlField := either(s, "crl", "ca.crl")
		if err := certificates(ca); err != nil {
			found("data["+field+"]", "%v; no client can be verified with it: put root certificates in PEM there", err)
		} else if err := revocations(crl); err != nil { // without the list, revoked certificates would be good
			found("data["+crlField+"]", "%v; no client can be verified with it: put a list of revoked certificates in PEM there", err)
		} else {
			roots = rootsSecret(name+CASecretSuffix, ca, crl)
		}
	}
	if certificate == nil && roots == nil && len(findings) == 0 {
		found("data", "neither tls.crt and tls.key, nor cert and key, nor cacert; there is nothing to serve")
	}
	return certificate, roots, findings
}

// either is the first entry that is not empty, with its name.
func either(s *registry.Secret, names ...string) ([]byte, string) {
	for _, n := range names {
		if len(s.Data[n]) > 0 {
			return s.Data[n], n
		}
	}
	return nil, names[0]
}

// keyPair says why a chain and a key do not go together. The reasons of
// crypto/tls hold nothing of the key.
func keyPair(chain, key []byte) error {
	if _, err := tls.X509KeyPair(chain, key); err != nil {
		return fmt.Errorf("certificate and key do not go together: %w", err)
	}
	return nil
}

// certificates says what is wrong with a bundle of certificates.
func certificates(bundle []byte) error {
	n := 0
	for rest := bundle; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("holds a %s", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %w", n, err)
		}
	}
	if n == 0 {
		return fmt.Errorf("holds no certificate in PEM")
	}
	return nil
}

// revocations says what is wrong with lists of revoked certificates; none are
// good.
func revocations(lists []byte) error {
	for rest, n := lists, 0; len(bytes.TrimSpace(rest)) > 0; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return fmt.Errorf("holds something that is no PEM")
		}
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil {
			return fmt.Errorf("list %d: %w", n, err)
		}
	}
	return nil
}

func certificateSecret(name string, chain, key []byte) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inlineBytes(chain), PrivateKey: inlineBytes(key),
	}}}
}

func rootsSecret(name string, bundle, crl []byte) *tlsv3.Secret {
	v := &tlsv3.CertificateValidationContext{TrustedCa: inlineBytes(bundle)}
	if len(crl) > 0 {
		v.Crl = inlineBytes(crl)
	}
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: v}}
}

func inlineBytes(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
