package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairway-mesh/fairway/internal/local/network"
)

// result is what one request met.
type result struct {
	id         string
	err        error // no answer at all
	status     int
	header     http.Header
	body       string
	seen       answer
	grpc       string
	took       time.Duration
	serverName []string
}

func (r result) String() string {
	if r.err != nil {
		return "error: " + r.err.Error()
	}
	return fmt.Sprintf("%d by %q (%s %s, host %q) in %v, body %.200q", r.status, r.seen.Pod, r.seen.Method, r.seen.Path, r.seen.Host, r.took.Round(time.Millisecond), r.body)
}

// client is where requests come from.
type client struct {
	world     *world
	namespace string // of Kubernetes
	network   *network.Namespace
}

func (w *world) client(from string) (client, error) {
	if from == "outside" {
		return client{w, "", w.outside.Namespace}, nil
	}
	if from == "" {
		from = "sleep"
	}
	if !strings.Contains(from, "/") {
		from = "default/" + from
	}
	for _, p := range w.pods {
		if p.namespace+"/"+p.workload == from {
			return client{w, p.namespace, p.wire.Namespace}, nil
		}
	}
	return client{}, fmt.Errorf("no pod of %s", from)
}

// resolve asks the world's DNS as a pod's resolver does.
func (c client) resolve(ctx context.Context, host string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.String(), nil
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, n, _ string) (net.Conn, error) {
		return c.world.router.Namespace.Dial(ctx, n, netip.AddrPortFrom(routerAddress, 53).String())
	}}
	names := []string{strings.TrimSuffix(host, ".") + "."}
	if !strings.HasSuffix(host, ".") && c.namespace != "" {
		names = []string{host + "." + c.namespace + ".svc.cluster.local.", host + ".svc.cluster.local.", host + ".cluster.local.", host + "."}
	}
	for _, name := range names {
		if ips, err := resolver.LookupNetIP(ctx, "ip4", name); err == nil && len(ips) > 0 {
			return ips[rand.IntN(len(ips))].String(), nil
		}
	}
	return "", fmt.Errorf("no such host: %s", host)
}

// do makes a request as often as it says.
func (w *world) do(r request) ([]result, error) {
	c, err := w.client(r.From)
	if err != nil {
		return nil, err
	}
	one := c.http
	if r.TCP != "" {
		one = c.tcp
	}
	transport, err := c.transport(r)
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	out := make([]result, max(1, r.Count))
	var group sync.WaitGroup
	slots := make(chan struct{}, 8)
	if r.Keep {
		slots = make(chan struct{}, 1)
	}
	for i := range out {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			begun := time.Now()
			out[i] = one(transport, r)
			out[i].took = time.Since(begun)
		})
	}
	group.Wait()
	return out, nil
}

// transport makes connections from the client's namespace.
func (c client) transport(r request) (*http.Transport, error) {
	t := &http.Transport{DisableKeepAlives: !r.Keep, DisableCompression: true, Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: r.SNI}}
	t.Protocols.SetHTTP1(!r.HTTP2 && !r.GRPC)
	t.Protocols.SetHTTP2(r.HTTP2 || r.GRPC)
	t.Protocols.SetUnencryptedHTTP2(r.HTTP2 || r.GRPC)
	if r.Certificate != "" {
		pair, err := tls.X509KeyPair(issuer().certificate(r.Certificate))
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	t.DialContext = func(ctx context.Context, n, address string) (net.Conn, error) { return c.dial(ctx, n, address, r) }
	return t, nil
}

func (c client) dial(ctx context.Context, n, address string, r request) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if r.Via != "" {
		host = r.Via
	}
	ip, err := c.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	conn, err := c.network.Dial(ctx, n, net.JoinHostPort(ip, port))
	if err == nil && r.Proxied != "" {
		_, err = fmt.Fprintf(conn, "PROXY TCP4 %s %s 50000 %s\r\n", r.Proxied, ip, port)
	}
	return conn, err
}

// longest is how long a request may take.
const longest = 25 * time.Second

func (c client) http(transport *http.Transport, r request) (out result) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	out.id = strconv.FormatUint(rand.Uint64(), 36)
	target, err := url.Parse(r.URL)
	if err != nil {
		return result{err: err}
	}
	method, body := r.Method, io.Reader(strings.NewReader(r.Body))
	if method == "" {
		method = http.MethodGet
	}
	if r.GRPC {
		method, body = http.MethodPost, bytes.NewReader(grpcFrame([]byte(r.Body)))
	}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return result{err: err}
	}
	request.Header.Set(idHeader, out.id)
	request.Header.Set("user-agent", "conformance")
	if r.GRPC {
		request.Header.Set("content-type", "application/grpc")
		request.Header.Set("te", "trailers")
	}
	if r.Token != nil {
		request.Header.Set("authorization", "Bearer "+issuer().token(r.Token))
	}
	for name, value := range r.Headers {
		if strings.EqualFold(name, "host") {
			request.Host = value
		}
		request.Header.Set(name, value)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		out.err = err
		return out
	}
	defer response.Body.Close()
	out.status, out.header = response.StatusCode, response.Header
	if response.TLS != nil {
		out.serverName = response.TLS.PeerCertificates[0].DNSNames
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		out.websocket(response)
		return out
	}
	text, err := io.ReadAll(response.Body)
	out.body = string(text)
	if err != nil {
		out.err = fmt.Errorf("the answer breaks off: %w", err)
	}
	_ = json.Unmarshal(text, &out.seen) // not all answers come from the application
	if r.GRPC {
		out.readGRPC(response, text)
	}
	return out
}

func (r *result) readGRPC(response *http.Response, text []byte) {
	r.grpc = response.Trailer.Get("grpc-status")
	if s := response.Header.Get("grpc-status"); s != "" {
		r.grpc = s
	}
	if len(text) > 5 {
		r.seen.Workload, r.seen.Pod, _ = strings.Cut(string(text[5:]), " ")
	}
}

func (r *result) websocket(response *http.Response) {
	line, err := speak(response.Body.(io.ReadWriter), "over a web socket")
	r.body, r.err = line, err
	r.seen.Workload, line, _ = strings.Cut(line, " ")
	r.seen.Pod, _, _ = strings.Cut(line, " ")
}

func speak(c io.ReadWriter, text string) (string, error) {
	if _, err := fmt.Fprintf(c, "%s\n", text); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// tcp sends a line and reads one, with TLS when there is an SNI.
func (c client) tcp(transport *http.Transport, r request) (out result) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", r.TCP, r)
	if err != nil {
		return result{err: err}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(longest))
	if r.SNI != "" {
		secure := tls.Client(conn, transport.TLSClientConfig)
		if err := secure.Handshake(); err != nil {
			return result{err: err}
		}
		out.serverName, conn = secure.ConnectionState().PeerCertificates[0].DNSNames, secure
	}
	var line string
	if r.Body == "-" { // the server speaks first
		line, err = bufio.NewReader(conn).ReadString('\n')
	} else {
		line, err = speak(conn, "hello")
	}
	if err != nil {
		return result{err: err}
	}
	out.status, out.body = http.StatusOK, line
	parts := strings.Fields(line)
	if len(parts) < 2 {
		return result{err: errors.New("an answer that is not the application's: " + line)}
	}
	out.seen.Workload, out.seen.Pod = parts[0], parts[1]
	return out
}
