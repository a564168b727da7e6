package replicas

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// forward connects to a port of a pod through the API server: over a web socket, or SPDY
// where the server or a proxy on the way knows no web sockets.
func forward(config *rest.Config, client kubernetes.Interface, namespace, pod string, port int32) (net.Conn, error) {
	url := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("reaching %s: %w", config.Host, err)
	}
	socket, err := portforward.NewSPDYOverWebsocketDialer(url, config)
	if err != nil {
		return nil, fmt.Errorf("reaching %s: %w", config.Host, err)
	}
	dialer := portforward.NewFallbackDialer(socket, spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url),
		func(err error) bool { return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) })
	conn, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, fmt.Errorf("forwarding port %d of pod %s/%s: %w", port, namespace, pod, err)
	}
	s, err := open(conn, port)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("forwarding port %d of pod %s/%s: %w", port, namespace, pod, err)
	}
	return s, nil
}

// open makes the two streams of a forwarded connection: what goes wrong, and the data.
func open(conn httpstream.Connection, port int32) (*stream, error) {
	header := http.Header{}
	header.Set(corev1.StreamType, corev1.StreamTypeError)
	header.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	header.Set(corev1.PortForwardRequestIDHeader, "0")
	wrong, err := conn.CreateStream(header)
	if err != nil {
		return nil, err
	}
	_ = wrong.Close() // nothing is written to it
	header.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(header)
	if err != nil {
		return nil, err
	}
	s := &stream{Stream: data, conn: conn, wrong: make(chan error, 1)}
	go func() {
		text, err := io.ReadAll(io.LimitReader(wrong, maxError))
		if err == nil && len(text) > 0 {
			s.wrong <- errors.New(string(text))
			_ = conn.Close() // which ends reads of the data
		}
	}()
	return s, nil
}

// maxError bounds what is read of what went wrong, in bytes.
const maxError = 4 << 10

// stream is a forwarded connection.
type stream struct {
	httpstream.Stream
	conn  httpstream.Connection
	wrong chan error
}

// Read implements net.Conn.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if err != nil {
		select {
		case wrong := <-s.wrong:
			err = wrong
		default:
		}
	}
	return n, err
}

// Close implements net.Conn.
func (s *stream) Close() error { return s.conn.Close() }

// There are neither addresses nor deadlines: whoever asks closes the connection in time.
type nowhere struct{}

func (nowhere) Network() string { return "forwarded" }
func (nowhere) String() string  { return "pod" }

func (s *stream) LocalAddr() net.Addr              { return nowhere{} }
func (s *stream) RemoteAddr() net.Addr             { return nowhere{} }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }
