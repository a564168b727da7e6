package attack

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// Stranger reaches ports and has proven nothing.
type Stranger struct {
	// From is the address that it calls from.
	From net.IP
	// Secure is the port for proxies over TLS, Debug that of metrics and pages.
	Secure, Debug string
}

func (s Stranger) dial(address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: s.From}, Timeout: 5 * time.Second}
	return d.Dial("tcp", address)
}

// tls is the secure port, with a token.
func (s Stranger) tls(token string) Target {
	return Target{Token: token, Dial: func() (net.Conn, error) {
		c, err := s.dial(s.Secure)
		if err != nil {
			return nil, err
		}
		secured := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}) //nolint:gosec // it does not care whom it attacks
		_ = secured.SetDeadline(time.Now().Add(10 * time.Second))
		if err := secured.Handshake(); err != nil {
			c.Close()
			return nil, err
		}
		return secured, nil
	}}
}

// Strangers are what strangers do.
var Strangers = []Misuse[Stranger]{
	{"half a handshake", func(ctx context.Context, s Stranger, r *rand.Rand) {
		hello := []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3}
		for range size(r, 200) {
			c, err := s.dial(s.Secure)
			if err != nil {
				break
			}
			defer c.Close()
			_, _ = c.Write(hello[:r.IntN(len(hello)+1)])
		}
		pause(ctx, 5*time.Second)
	}},
	{"handshakes", func(ctx context.Context, s Stranger, r *rand.Rand) {
		for i := 0; i < size(r, 100) && ctx.Err() == nil; i++ {
			if c, err := s.tls("").Dial(); err == nil {
				c.Close()
			}
		}
	}},
	{"endless headers", func(ctx context.Context, s Stranger, r *rand.Rand) {
		for range size(r, 8) {
			if c, _, _ := EndlessHeaders(s.tls("x"), 4<<20); c != nil {
				defer c.Close()
			}
		}
		pause(ctx, time.Second)
	}},
	{"nonsense tokens", func(ctx context.Context, s Stranger, r *rand.Rand) {
		for range size(r, 10) {
			c, err := s.tls(strings.Repeat("nonsense.", size(r, 500))).Connect()
			if err != nil {
				return
			}
			defer c.Close()
			for i := 0; i < 100 && ctx.Err() == nil && !c.Closed(); i++ {
				if c.Open(uint32(2*i+1)) != nil { //nolint:gosec // few
					break
				}
			}
		}
		pause(ctx, time.Second)
	}},
	{"noise", func(ctx context.Context, s Stranger, r *rand.Rand) {
		for _, address := range []string{s.Secure, s.Debug} {
			if c, err := s.dial(address); err == nil {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(3 * time.Second))
				noise := make([]byte, size(r, 1<<16))
				for i := range noise {
					noise[i] = byte(r.Uint32()) //nolint:gosec // noise
				}
				_, _ = c.Write(noise)
				_, _ = io.Copy(io.Discard, c)
			}
		}
	}},
	{"slow requests to the debug port", func(ctx context.Context, s Stranger, r *rand.Rand) {
		for range size(r, 300) {
			c, err := s.dial(s.Debug)
			if err != nil {
				break
			}
			defer c.Close()
			fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: x\r\n", []string{"metrics", "debug/world", "healthz"}[r.IntN(3)])
		}
		pause(ctx, 5*time.Second)
	}},
}
