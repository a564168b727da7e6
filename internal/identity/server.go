package identity

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Server is the certificate of one of our own TLS ports, renewed when a client
// connects and it is due, or the authority signs by another root. Safe for use
// by several goroutines.
type Server struct {
	authority *Authority
	names     []string
	log       *slog.Logger

	mu     sync.Mutex
	issued *Certificate
	pair   *tls.Certificate
	retry  time.Time // no attempt to renew before
}

// ServerCertificate is a certificate for the DNS names and IP addresses; at
// least one.
func (a *Authority) ServerCertificate(names ...string) (*Server, error) {
	s := &Server{authority: a, names: slices.Clone(names), log: a.options.Log}
	if err := s.renew(); err != nil {
		return nil, err
	}
	return s, nil
}

// GetCertificate is for tls.Config. When renewing fails, the certificate at
// hand is used on.
func (s *Server) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	due := !now.Before(s.issued.RotateAt) || s.issued.misdated(now) || !s.issued.signer.same(s.authority.trust.Load().signer)
	if due && !now.Before(s.retry) {
		if err := s.renew(); err != nil {
			s.retry = now.Add(time.Minute)
			s.log.Error("a server certificate could not be renewed", "name", s.names[0], "until", s.issued.NotAfter, "err", err)
		}
	}
	return s.pair, nil
}

// TLS is the configuration of a port for proxies that shows the certificate:
// HTTP/2, TLS 1.2 or newer. A client certificate is asked for and none is refused
// here: the Authenticator decides what it proves, and a token counts whatever
// certificate came with it.
func TLS(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2"},
		GetCertificate: certificate,
		ClientAuth:     tls.RequestClientCert,
		// A first configuration is megabytes, which would begin in records of 1 kB.
		DynamicRecordSizingDisabled: true,
	}
}

func (s *Server) renew() error {
	t, err := serverTemplate(s.names)
	if err != nil {
		return err
	}
	issued, err := s.authority.trust.Load().signer.sign(t, s.authority.options.LeafLifetime)
	if err != nil {
		return fmt.Errorf("issuing the server certificate of %s: %w", s.names[0], err)
	}
	issued.Name = s.names[0]
	pair, err := tls.X509KeyPair(issued.SecretPEM())
	if err != nil {
		return fmt.Errorf("using the server certificate of %s: %w", s.names[0], err)
	}
	s.issued, s.pair, s.retry = issued, &pair, time.Time{}
	return nil
}
