package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// echo is the application of every pod: it answers what it was asked. It looks at
// the first bytes of a connection for what is spoken: TLS, HTTP, or lines.
//
// Headers of a request make it behave, at all workloads or, with "@WORKLOAD" at the
// end of the value, at one: echo-status (answer this), echo-delay (wait first),
// echo-fail (answer the first N copies of a request with 503), echo-set (a
// response header, "name=value"), echo-close (cut the connection), echo-grpc-status.
type echo struct {
	workload, pod string
	ledger        *ledger
}

// answer is the body of a response.
type answer struct {
	Workload string            `json:"workload"`
	Pod      string            `json:"pod"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Host     string            `json:"host"`
	Protocol string            `json:"protocol"`
	Peer     string            `json:"peer"`
	Client   string            `json:"client"` // of the client's certificate
	Headers  map[string]string `json:"headers"`
}

// idHeader tells requests apart, however often they are copied.
const idHeader = "Conformance-Id"

// ledger counts who received which request, and keeps what was reported of them.
type ledger struct {
	mu       sync.Mutex
	received map[string]map[string]int // by id and workload
	reports  []*report
}

// report is what a proxy has sent to a collector of spans so far: some send on
// one stream for as long as they run.
type report struct {
	ledger *ledger
	body   []byte
}

func (l *ledger) newReport() *report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &report{ledger: l}
	l.reports = append(l.reports, r)
	return r
}

// Write implements io.Writer.
func (r *report) Write(p []byte) (int, error) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.body = append(r.body, p...)
	return len(p), nil
}

// reported tells whether some report holds all the texts. In each of the formats
// (JSON, protobuf, MessagePack) text stands as it is.
func (l *ledger) reported(texts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.reports, func(r *report) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return !bytes.Contains(r.body, []byte(text)) })
	})
}

// collects are the paths on which collectors take spans: Zipkin's, OpenTelemetry's
// over HTTP and gRPC, Datadog's, SkyWalking's; and access logs: OpenTelemetry's, Envoy's.
var collects = []string{
	"/api/v2/spans", "/v1/traces", "/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v0.4/traces",
	"/skywalking.v3.TraceSegmentReportService/collect",
	"/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
}

func (l *ledger) add(id, workload string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.received[id] == nil {
		l.received[id] = map[string]int{}
	}
	l.received[id][workload]++
	n := 0
	for _, c := range l.received[id] {
		n += c
	}
	return n
}

// copies is how often each workload received the requests, for each of them.
func (l *ledger) copies(ids []string) map[string]float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]float64{}
	for _, id := range ids {
		for workload, n := range l.received[id] {
			out[workload] += float64(n) / float64(len(ids))
		}
	}
	return out
}

// serve answers on a listener until it is closed. With greet it speaks first.
func (e *echo) serve(l net.Listener, greet bool) {
	web := newConnections(l.Addr())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: e, Protocols: protocols, ReadHeaderTimeout: time.Minute, ConnContext: withClient}
	go server.Serve(web)
	defer server.Close()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go e.connection(c, web, greet)
	}
}

func (e *echo) connection(c net.Conn, web *connections, greet bool) {
	if greet {
		fmt.Fprintf(c, "%s %s\n", e.workload, e.pod)
	}
	r := bufio.NewReader(c)
	first, err := r.Peek(3)
	if err != nil {
		c.Close()
		return
	}
	c = peeked{c, r}
	if first[0] == 22 { // a TLS handshake
		secure := tls.Server(c, &tls.Config{NextProtos: []string{"http/1.1"}, ClientAuth: tls.RequestClientCert, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := tls.X509KeyPair(issuer().certificate(h.ServerName))
			return &cert, err
		}})
		e.connection(secure, web, false)
		return
	}
	switch string(first) {
	case "GET", "POS", "PUT", "DEL", "PRI", "OPT", "HEA", "CON", "PAT":
		web.give(c)
	default:
		defer c.Close()
		for lines := bufio.NewScanner(c); lines.Scan(); {
			fmt.Fprintf(c, "%s %s %s\n", e.workload, e.pod, lines.Text())
		}
	}
}

// ServeHTTP implements http.Handler.
func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect || r.Method == http.MethodPost && strings.HasPrefix(r.Host, "tunnel.") {
		e.tunnel(w, r)
		return
	}
	n := e.ledger.add(r.Header.Get(idHeader), e.workload)
	body := io.LimitReader(r.Body, 1<<20)
	if slices.Contains(collects, r.URL.Path) {
		body = io.TeeReader(body, e.ledger.newReport())
	}
	_, _ = io.Copy(io.Discard, body)
	if d, err := time.ParseDuration(e.told(r, "echo-delay")); err == nil {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
			return
		}
	}
	if e.told(r, "echo-close") != "" {
		panic(http.ErrAbortHandler)
	}
	if name, value, ok := strings.Cut(e.told(r, "echo-set"), "="); ok {
		w.Header().Set(name, value)
	}
	status := http.StatusOK
	if s, err := strconv.Atoi(e.told(r, "echo-status")); err == nil {
		status = s
	}
	if fails, err := strconv.Atoi(e.told(r, "echo-fail")); err == nil && n <= fails {
		status = http.StatusServiceUnavailable
	}
	if strings.HasPrefix(r.Header.Get("content-type"), "application/grpc") {
		grpcAnswer(w, e.told(r, "echo-grpc-status"), e.workload+" "+e.pod)
		return
	}
	if strings.EqualFold(r.Header.Get("upgrade"), "websocket") {
		e.upgrade(w)
		return
	}
	client, _ := r.Context().Value(clientKey{}).(string)
	a := answer{e.workload, e.pod, r.Method, r.RequestURI, r.Host, r.Proto, r.RemoteAddr, client, map[string]string{}}
	for name, values := range r.Header {
		a.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a)
}

type clientKey struct{}

// withClient remembers whose certificate came with a connection.
func withClient(ctx context.Context, c net.Conn) context.Context {
	outer, _ := c.(peeked)
	if secure, ok := outer.Conn.(*tls.Conn); ok && len(secure.ConnectionState().PeerCertificates) > 0 {
		return context.WithValue(ctx, clientKey{}, strings.Join(secure.ConnectionState().PeerCertificates[0].DNSNames, ","))
	}
	return ctx
}

// told is what a request says that this workload is to do.
func (e *echo) told(r *http.Request, header string) string {
	value, only, some := strings.Cut(r.Header.Get(header), "@")
	if some && only != e.workload {
		return ""
	}
	return value
}

// grpcAnswer is a unary response; its message is the text, not a protobuf. An error
// comes without one, as gRPC servers send it.
func grpcAnswer(w http.ResponseWriter, status, text string) {
	w.Header().Set("content-type", "application/grpc")
	if status != "" && status != "0" {
		w.Header().Set("grpc-status", status)
		return
	}
	w.Header().Set("trailer", "grpc-status")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(grpcFrame([]byte(text)))
	w.Header().Set("grpc-status", "0")
}

func grpcFrame(message []byte) []byte {
	n := len(message)
	return append([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, message...)
}

// upgrade says yes to a web socket and then speaks lines.
func (e *echo) upgrade(w http.ResponseWriter) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	rw.Flush()
	for lines := bufio.NewScanner(rw); lines.Scan(); {
		fmt.Fprintf(c, "%s %s %s\n", e.workload, e.pod, lines.Text())
	}
}

// tunnel says yes to a proxy's client and then speaks lines, as what it was asked
// to connect to would. Hosts that begin with "tunnel." are asked for by POST.
func (e *echo) tunnel(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if r.ProtoMajor == 1 && control.EnableFullDuplex() != nil {
		return
	}
	in, out := io.Reader(r.Body), io.Writer(w)
	if r.ProtoMajor == 1 && r.Method == http.MethodConnect {
		c, rw, err := control.Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
		in, out = rw, c
	} else if control.Flush() != nil {
		return
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		fmt.Fprintf(out, "%s %s %s %s %s\n", e.workload, e.pod, r.Method, r.Host, lines.Text())
		if out == io.Writer(w) && control.Flush() != nil {
			return
		}
	}
}

// peeked is a connection whose first bytes have been looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// connections is a net.Listener of connections that were accepted elsewhere.
type connections struct {
	address net.Addr
	queue   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newConnections(a net.Addr) *connections {
	return &connections{address: a, queue: make(chan net.Conn), closed: make(chan struct{})}
}

func (c *connections) give(conn net.Conn) {
	select {
	case c.queue <- conn:
	case <-c.closed:
		conn.Close()
	}
}

func (c *connections) Accept() (net.Conn, error) {
	select {
	case conn := <-c.queue:
		return conn, nil
	case <-c.closed:
		return nil, net.ErrClosed
	}
}

func (c *connections) Close() error   { c.once.Do(func() { close(c.closed) }); return nil }
func (c *connections) Addr() net.Addr { return c.address }
