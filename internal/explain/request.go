package explain

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Request is what a client sends to the proxy.
type Request struct {
	Scheme string // "http", "https" or "tcp"
	Method string
	Host   string // as in the Host header, in lower case and without port; empty for tcp
	// Authority is the Host header as it is sent.
	Authority string
	Port      uint32 // that the client connects to
	Path      string // with the query; "/" at least
	Header    http.Header
	// Destination is the address that the client connects to. A sidecar's
	// listeners are chosen by it; zero means one that the mesh does not know.
	Destination netip.Addr
	// Source is the client's address; zero: nothing is known of it.
	Source netip.Addr
}

// NewRequest reads a URL: http://host[:port]/path, https:// or tcp://host:port.
// A Host header takes the place of the URL's host, as with curl.
func NewRequest(method, address string, header http.Header) (Request, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Request{}, fmt.Errorf("reading the URL: %w", err)
	}
	r := Request{Scheme: u.Scheme, Method: method, Host: strings.ToLower(u.Hostname()), Path: u.EscapedPath(), Header: http.Header{}}
	if r.Host == "" {
		return Request{}, fmt.Errorf("the URL %q names no host: write it as http://host:port/path", address)
	}
	switch u.Scheme {
	case "http":
		r.Port = 80
	case "https":
		r.Port = 443
	case "tcp":
	default:
		return Request{}, fmt.Errorf("the URL %q begins with neither http://, https:// nor tcp://", address)
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return Request{}, fmt.Errorf("the URL's port %q is none: %w", p, err)
		}
		r.Port = uint32(n)
	}
	if r.Port == 0 {
		return Request{}, fmt.Errorf("the URL %q names no port: write it as tcp://host:port", address)
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if u.RawQuery != "" {
		r.Path += "?" + u.RawQuery
	}
	if a, err := netip.ParseAddr(r.Host); err == nil {
		r.Destination = a.Unmap()
	}
	r.Authority = u.Host
	if p := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; p != "" { // as clients send it
		r.Authority = strings.TrimSuffix(r.Authority, p)
	}
	for name, values := range header {
		if strings.EqualFold(name, "host") {
			r.Authority, r.Host = values[0], strings.ToLower(values[0])
			if host, _, found := strings.Cut(r.Host, ":"); found && !strings.HasPrefix(r.Host, "[") {
				r.Host = host
			}
			continue
		}
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	return r, nil
}

// header is the value of a header as Envoy compares it: lines joined by commas.
func (r Request) header(name string) (string, bool) {
	switch name {
	case ":method":
		return r.Method, true
	case ":authority", "host":
		return r.Authority, true
	case ":path":
		return r.Path, true
	case ":scheme":
		return r.Scheme, true
	}
	values, ok := r.Header[http.CanonicalHeaderKey(name)]
	return strings.Join(values, ","), ok
}

// query is the value of a query parameter.
func (r Request) query(name string) (string, bool) {
	_, text, _ := strings.Cut(r.Path, "?")
	values, err := url.ParseQuery(text)
	if err != nil {
		return "", false
	}
	return values.Get(name), values.Has(name)
}
