package identity

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// pluggedIn is an intermediate authority that the user provides.
type pluggedIn struct {
	signer *signer
	roots  []*x509.Certificate
}

// plug is what was plugged in when it was last looked at, and what it came to.
// It holds until a certificate of it begins or ends.
type plug struct {
	data  map[string][]byte
	good  *pluggedIn
	until time.Time
}

// parsePluggedIn is parsePluggedIn unless nothing has changed.
func (a *Authority) parsePluggedIn(data map[string][]byte, now time.Time) (*pluggedIn, error) {
	if last := a.plug.Load(); last != nil && now.Before(last.until) && maps.EqualFunc(last.data, data, bytes.Equal) {
		return last.good, nil
	}
	p, err := parsePluggedIn(data)
	if err == nil {
		a.plug.Store(&plug{data, p, p.sameUntil(now)})
	}
	return p, err
}

// sameUntil is when the next of the certificates begins or ends to be valid.
func (p *pluggedIn) sameUntil(now time.Time) time.Time {
	until := p.signer.cert.NotAfter
	for _, c := range slices.Concat([]*x509.Certificate{p.signer.cert}, p.signer.chain, p.roots) {
		for _, t := range []time.Time{c.NotBefore, c.NotAfter} {
			if t.After(now) && t.Before(until) {
				until = t
			}
		}
	}
	return until
}

// parsePluggedIn reads Istio's form (ca-cert.pem, ca-key.pem, root-cert.pem and,
// optionally, cert-chain.pem) or that of a Secret of type kubernetes.io/tls
// (tls.crt with the chain, tls.key, ca.crt). What it returns can sign
// certificates that its roots vouch for; anything else is an error that names
// the entry and the remedy.
func parsePluggedIn(data map[string][]byte) (*pluggedIn, error) {
	certName, keyName, rootName := "ca-cert.pem", "ca-key.pem", "root-cert.pem"
	if len(data[certName]) == 0 && len(data["tls.crt"]) > 0 {
		certName, keyName, rootName = "tls.crt", "tls.key", "ca.crt"
	}
	certs, err := parseCertificates(data[certName])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certName, err)
	}
	key, err := parseKey(data[keyName])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyName, err)
	}
	roots, err := parseCertificates(data[rootName])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rootName, err)
	}
	chain := certs
	if text := data["cert-chain.pem"]; certName == "ca-cert.pem" && len(bytes.TrimSpace(text)) > 0 {
		more, err := parseCertificates(text)
		if err != nil {
			return nil, fmt.Errorf("cert-chain.pem: %w", err)
		}
		chain = append(chain, more...)
	}
	s := &signer{cert: certs[0], key: key, chain: withoutRoots(chain, roots)}
	if !samePublic(s.cert, key) {
		return nil, fmt.Errorf("%s is not the key of %s: store the two that belong together", keyName, certName)
	}
	if !s.cert.IsCA || s.cert.KeyUsage != 0 && s.cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("%s may not sign certificates: it needs CA:TRUE and the key usage keyCertSign", certName)
	}
	return &pluggedIn{s, roots}, s.findAnchors(roots, rootName)
}

// withoutRoots is the chain in its order, without roots and repetitions.
func withoutRoots(chain, roots []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range chain {
		if !contains(out, c) && !contains(roots, c) && !isRoot(c) {
			out = append(out, c)
		}
	}
	return out
}

func samePublic(c *x509.Certificate, key PrivateKey) bool {
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(key.signer().Public())
}

// findAnchors signs a certificate on trial and sees which roots vouch for it:
// that covers the chain's order, path lengths and dates as a proxy will see
// them.
func (s *signer) findAnchors(roots []*x509.Certificate, rootName string) error {
	trial, err := s.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, backdate)
	if err != nil {
		return err
	}
	leaf, err := parseCertificates(trial.Chain)
	if err != nil {
		return err
	}
	between := pool(s.chain)
	var why error
	for _, r := range roots {
		_, err := leaf[0].Verify(x509.VerifyOptions{Roots: pool([]*x509.Certificate{r}), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err == nil {
			s.anchors = append(s.anchors, r)
		}
		why = errors.Join(why, err)
	}
	if len(s.anchors) == 0 {
		return fmt.Errorf("no certificate of %s vouches for what this authority signs; the chain between must be complete: %w", rootName, why)
	}
	return nil
}

func pool(list []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range list {
		p.AddCert(c)
	}
	return p
}
