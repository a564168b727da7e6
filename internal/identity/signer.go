package identity

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"slices"
	"time"
)

// backdate is how much earlier than now a certificate begins, for proxies whose
// clock is behind.
const backdate = 5 * time.Minute

// signer is a certificate authority that can sign.
type signer struct {
	cert *x509.Certificate
	key  PrivateKey
	// chain leads from cert (included) towards a root (excluded); it follows
	// every leaf. Empty when cert is itself a root.
	chain []*x509.Certificate
	// anchors are the roots that vouch for cert; any of them suffices.
	anchors []*x509.Certificate
}

// same says whether two signers are the same authority under the same key, and
// hand out the same chain.
func (s *signer) same(o *signer) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s == o || s.cert.Equal(o.cert) && slices.EqualFunc(s.chain, o.chain, (*x509.Certificate).Equal)
}

// sign makes a key and a certificate for it that lasts for life, or as long as
// the signer itself where that is shorter.
func (s *signer) sign(t *x509.Certificate, life time.Duration) (*Certificate, error) {
	now := time.Now()
	end := now.Add(life)
	if end.After(s.cert.NotAfter) {
		end = s.cert.NotAfter
	}
	if !end.After(now) {
		return nil, fmt.Errorf("the signing certificate %q has expired on %s: replace it", s.cert.Subject, s.cert.NotAfter.Format(time.RFC3339))
	}
	var err error
	if t.SerialNumber, err = newSerial(); err != nil {
		return nil, err
	}
	t.NotBefore, t.NotAfter = now.Add(-backdate), end
	t.KeyUsage, t.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, s.cert, key.signer().Public(), s.key.signer())
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	// Between 45 and 55 % of the life that is left, so that what began together
	// is not renewed together.
	half := time.Duration(float64(end.Sub(now)) * (0.45 + 0.1*mathrand.Float64()))
	return &Certificate{
		Chain: slices.Concat(chain, encodeCertificates(s.chain)), Key: key,
		NotBefore: t.NotBefore.Truncate(time.Second), NotAfter: t.NotAfter.Truncate(time.Second), RotateAt: now.Add(half), signer: s,
	}, nil
}

// workloadTemplate is a workload's certificate; see the package comment.
func workloadTemplate(w Workload) *x509.Certificate {
	t := &x509.Certificate{
		URIs:        []*url.URL{w.ID.url()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	t.Subject.CommonName = w.App
	if w.Name != "" {
		t.Subject.Organization = []string{w.Name}
	}
	if w.Revision != "" {
		t.Subject.OrganizationalUnit = []string{w.Revision}
	}
	return t
}

// serverTemplate is the certificate of one of our own ports. Names that are IP
// addresses become address SANs.
func serverTemplate(names []string) (*x509.Certificate, error) {
	if len(names) == 0 {
		return nil, errors.New("a server certificate needs at least one name")
	}
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	t.Subject.Organization = []string{"fairway"}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	return t, nil
}

// newRoot makes a self-signed root. Its name is unique, since chains are built
// by name and roots live side by side while one takes over.
func newRoot(life time.Duration) (*signer, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"fairway"}, CommonName: fmt.Sprintf("fairway root %08x", new(big.Int).Rsh(serial, 96))},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.signer().Public(), key.signer())
	if err != nil {
		return nil, fmt.Errorf("signing a root: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the root just made: %w", err)
	}
	return rootSigner(cert, key), nil
}

func rootSigner(cert *x509.Certificate, key PrivateKey) *signer {
	return &signer{cert: cert, key: key, anchors: []*x509.Certificate{cert}}
}

// newSerial is 128 random bits, the first of them 0, the second 1.
func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:]), nil
}
