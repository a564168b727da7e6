package discovery

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/iotest"
)

// FuzzRecords reads whatever a peer may send: the bytes are what the peer sent,
// and no Read holds bytes of two records.
func FuzzRecords(f *testing.F) {
	record := func(body int) []byte {
		b := append([]byte{23, 3, 3}, binary.BigEndian.AppendUint16(nil, uint16(body))...)
		return append(b, bytes.Repeat([]byte{byte(body)}, body)...)
	}
	f.Add(bytes.Join([][]byte{record(1), record(600), record(0), record(16401), record(16401), record(30)}, nil), uint16(4096))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint16(3))
	f.Fuzz(func(t *testing.T, sent []byte, size uint16) {
		for _, peer := range []io.Reader{bytes.NewReader(sent), iotest.OneByteReader(bytes.NewReader(sent)), iotest.DataErrReader(bytes.NewReader(sent))} {
			c := &recordConn{Conn: readConn{Reader: peer}}
			var got []byte
			p := make([]byte, max(1, int(size)))
			ends := ends(sent)
			for {
				n, err := c.Read(p)
				for len(ends) > 0 && ends[0] <= len(got) {
					ends = ends[1:]
				}
				if len(ends) > 0 && len(got)+n > ends[0] {
					t.Fatalf("a read of %d bytes at %d goes past the end of a record at %d", n, len(got), ends[0])
				}
				got = append(got, p[:n]...)
				if err != nil {
					break
				}
			}
			if !bytes.Equal(got, sent) {
				t.Fatalf("read %d bytes that are not the %d that were sent", len(got), len(sent))
			}
		}
	})
}

// ends are where the records of what was sent end.
func ends(sent []byte) (all []int) {
	for at := 0; at+recordHeader <= len(sent); {
		at += recordHeader + int(binary.BigEndian.Uint16(sent[at+3:]))
		all = append(all, at)
	}
	return all
}

type readConn struct {
	net.Conn
	io.Reader
}

func (c readConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// TestTLSBuffer holds that full records, which is what Envoy sends when it has
// much to say, do not have crypto/tls keep more than one of them takes. (Go's
// own clients send ever larger ones at first, and it doubles its buffer.)
func TestTLSBuffer(t *testing.T) {
	cert, pool := selfSigned(t)
	near, far := socketPair(t)
	widest := &widestRead{Conn: &recordConn{Conn: near}}
	const sent = 1 << 20
	go func() {
		c := tls.Client(far, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true})
		for i := range sent / (64 << 10) {
			_, _ = c.Write(bytes.Repeat([]byte{byte(i)}, 64<<10))
		}
		_ = c.Close()
	}()
	got, err := io.ReadAll(tls.Server(widest, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}))
	if err != nil || len(got) != sent {
		t.Fatalf("read %d bytes: %v", len(got), err)
	}
	if room := 18 << 10; widest.size > room {
		t.Errorf("crypto/tls reads into a buffer of %d bytes; one record needs %d", widest.size, room)
	}
}

// TestServerReadsRecords holds that connections of the server are read record
// by record.
func TestServerReadsRecords(t *testing.T) {
	cert, pool := selfSigned(t)
	near, far := socketPair(t)
	widest := &widestRead{Conn: near}
	go func() {
		c := tls.Client(far, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true})
		_, _ = c.Write(make([]byte, 256<<10))
		_ = c.Close()
	}()
	conn, _, err := newCredentials(New(Config{}), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}).ServerHandshake(widest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	if record := 16<<10 + 256; widest.size > record { // what TLS adds to 16 kB included
		t.Errorf("%d bytes are read at once, more than a record has", widest.size)
	}
}

// socketPair are the two ends of a TCP connection, where a read may bring more
// than one write of the peer.
func socketPair(t *testing.T) (near, far net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	return near, far
}

type widestRead struct {
	net.Conn
	size int
}

func (c *widestRead) Read(p []byte) (int, error) {
	c.size = max(c.size, len(p))
	return c.Conn.Read(p)
}
