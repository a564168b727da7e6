package issuers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/security"
)

const (
	// maxBytes bounds each of the two documents of an issuer.
	maxBytes = 1 << 20
	// smallBytes is how much a document may have without waiting for a place, and maxLarge
	// how many places there are.
	smallBytes = 64 << 10
	maxLarge   = 8
	// maxHeader bounds the header of an answer.
	maxHeader = 64 << 10
	// maxRedirects is how many redirects of one request are followed.
	maxRedirects = 3
	// askTime is how long both requests may take together.
	askTime = 5 * time.Second
	// discoveryPath is where an issuer says where its keys are (OpenID Connect Discovery
	// 1.0, section 4).
	discoveryPath = "/.well-known/openid-configuration"
)

// asker asks issuers.
type asker struct {
	client *http.Client
	large  chan struct{} // places of those that say more than smallBytes
	// patience is how long both requests may take together: askTime, save in tests.
	patience time.Duration
}

// newAsker dials no address about which refuse says something. It uses no HTTP proxy, which
// would dial in its place, and keeps no connection: names are looked up, and addresses
// looked at, for each request anew.
func newAsker(refuse func(netip.Addr) string, roots *x509.CertPool) *asker {
	dialer := &net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return refusedError("no address of the internet")
		}
		if why := refuse(at.Addr()); why != "" {
			return refusedError(why)
		}
		return nil
	}}
	client := &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return redirectError(fmt.Sprintf("it redirects more than %d times", maxRedirects))
			}
			if err := checkURL(r.URL); err != nil {
				return redirectError(err.Error())
			}
			return nil
		},
	}
	return &asker{client, make(chan struct{}, maxLarge), askTime}
}

// refusedError is why an address is not dialled.
type refusedError string

func (e refusedError) Error() string { return string(e) }

// redirectError is why a redirect is not followed.
type redirectError string

func (e redirectError) Error() string { return string(e) }

// ask is what the issuer says that its keys are. What it says must be of itself (OpenID
// Connect Discovery 1.0, section 4.3): else whoever answers under one of its paths could
// have the keys of another stand for it.
func (a *asker) ask(ctx context.Context, issuer string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	text, err := a.get(ctx, strings.TrimSuffix(issuer, "/")+discoveryPath)
	if err != nil {
		return "", err
	}
	var says struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &says); err != nil || says.Keys == "" {
		return "", fmt.Errorf("what it has at %s names no jwks_uri", discoveryPath)
	}
	if says.Issuer != issuer {
		return "", fmt.Errorf("what it has at %s is of another issuer, or of none: write the issuer as it calls itself there, to the last slash, or set jwksUri", discoveryPath)
	}
	if text, err = a.get(ctx, says.Keys); err != nil {
		return "", fmt.Errorf("its jwks_uri: %w", err)
	}
	return security.PublicKeys(text)
}

func checkURL(u *url.URL) error {
	if u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return errors.New("it leads to what is no https URL")
	}
	return nil
}

// get reads a document. Errors say nothing that differs from one attempt to the next, and
// nothing of what was answered: they are told to whoever wrote the name of the issuer.
func (a *asker) get(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "fairway")
	answer, err := a.client.Do(r)
	if err != nil {
		return nil, plain(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %d", answer.StatusCode)
	}
	text, err := a.read(ctx, answer.Body)
	switch {
	case err != nil:
		return nil, plain(ctx, err)
	case len(text) > maxBytes:
		return nil, fmt.Errorf("it answers more than %d bytes", maxBytes)
	}
	return text, nil
}

// read reads a document. One that is large waits for a place, so that many at a time take
// no more memory than few.
func (a *asker) read(ctx context.Context, body io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, smallBytes+1))
	if err != nil || len(text) <= smallBytes {
		return text, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a.large <- struct{}{}:
		defer func() { <-a.large }()
	}
	rest, err := io.ReadAll(io.LimitReader(body, int64(maxBytes+1-len(text))))
	return append(text, rest...), err
}

// plain is an error without ports and addresses of the control plane's own.
func plain(ctx context.Context, err error) error {
	var refused refusedError
	var name *net.DNSError
	var invalid x509.CertificateInvalidError
	var certificate *tls.CertificateVerificationError
	var dial *net.OpError
	var redirect redirectError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("it is at %s, which the control plane dials only where the mesh setting issuerAddresses allows it", string(refused))
	case ctx.Err() != nil:
		return fmt.Errorf("it does not answer within %s", askTime)
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Errorf("its name %s is not known to DNS", name.Name)
	case errors.As(err, &name):
		return fmt.Errorf("its name %s cannot be looked up", name.Name)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired: // whose text has the time
		return errors.New("its certificate is not verified: it has expired or is not yet valid")
	case errors.As(err, &certificate):
		return fmt.Errorf("its certificate is not verified: %s", object.Shortened(certificate.Err.Error()))
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("it cannot be reached: %w", dial.Err)
	case errors.As(err, &redirect):
		return redirect
	}
	return errors.New("the connection broke, or it does not speak HTTP over TLS")
}
