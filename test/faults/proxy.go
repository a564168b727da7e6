package faults

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Proxy stands in front of one API server.
type Proxy struct {
	to     *rest.Config
	next   *httputil.ReverseProxy
	server *http.Server
	wire   *wire
	ca     []byte // PEM

	mu      sync.Mutex
	faults  []Fault
	added   []*addition   // in front of these, the last one first
	changed chan struct{} // closed when faults are others
	counts  map[request]int
}

// Start listens on a free port of loopback, and passes everything on until it
// is told otherwise.
func Start(to *rest.Config) (*Proxy, error) {
	target, err := url.Parse(to.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the API server: %w", err)
	}
	transport, err := rest.TLSConfigFor(to)
	if err != nil {
		return nil, fmt.Errorf("reading how the API server is reached: %w", err)
	}
	p := &Proxy{to: to, changed: make(chan struct{}), counts: map[request]int{}}
	p.next = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     &http.Transport{TLSClientConfig: transport, ForceAttemptHTTP2: true, DisableCompression: true},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		// An API server that is away is as if nobody listened here.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the port of the faulty link: %w", err)
	}
	p.wire = newWire(listener)
	certificate, err := p.certificate()
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	go func() { _ = p.server.ServeTLS(p.wire, "", "") }()
	return p, nil
}

// Close ends the proxy and every connection through it.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.faults, p.added = nil, nil
	p.change()
	p.mu.Unlock()
	p.Link(Passes)
	_ = p.server.Close()
	p.wire.closeAll()
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.wire.Addr().String() }

// REST is how the API server is reached through the proxy, as the same user.
func (p *Proxy) REST() *rest.Config {
	c := rest.CopyConfig(p.to)
	c.Host = "https://" + p.Address()
	c.TLSClientConfig.CAFile, c.TLSClientConfig.CAData, c.TLSClientConfig.Insecure = "", p.ca, false
	return c
}

// Set puts faults in place of those before; without any, all is well.
func (p *Proxy) Set(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
	p.change()
}

// Add puts faults in front of those that there are, until remove is called. Set leaves
// them as they are.
func (p *Proxy) Add(faults ...Fault) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := &addition{faults}
	p.added = append([]*addition{at}, p.added...)
	p.change()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.added = slices.DeleteFunc(p.added, func(a *addition) bool { return a == at })
		p.change()
	}
}

// addition is what one call of Add has added.
type addition struct{ faults []Fault }

// change says that faults are others now.
func (p *Proxy) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Link says what happens to the connections with the proxy, those that are open
// and those that are made.
func (p *Proxy) Link(state State) { p.wire.set(state) }

// Requests counts what was asked for so far; an empty resource stands for all.
func (p *Proxy) Requests(verb Verb, resource string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for r, c := range p.counts {
		if (verb == Any || r.verb == verb) && (resource == "" || r.resource == resource) {
			n += c
		}
	}
	return n
}

// fault is what befalls a request now, and a channel that is closed when that
// may be something else.
func (p *Proxy) fault(r request) (Fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.added {
		if f, ok := first(a.faults, r); ok {
			return f, p.changed
		}
	}
	if f, ok := first(p.faults, r); ok {
		return f, p.changed
	}
	return Fault{}, p.changed
}

// first is the first of faults that befalls a request.
func first(faults []Fault, r request) (Fault, bool) {
	for _, f := range faults {
		if f.befalls(r) {
			return f, true
		}
	}
	return Fault{}, false
}

// unhung waits while a request hangs.
func (p *Proxy) unhung(ctx context.Context, r request) (Fault, error) {
	for {
		f, changed := p.fault(r)
		if !f.Hang {
			return f, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
}

// certificate is a self-signed one for loopback.
func (p *Proxy) certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	p.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
