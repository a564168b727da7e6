package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/listen"
	"github.com/fairway-mesh/fairway/mesh"
)

// MaxRequest is the largest body that is read, in bytes: what etcd stores of one
// object at most, twice, with room for the rest of the review.
const MaxRequest = 3 << 20

// How many connections the port has, in all and of one address; an API server uses one
// or a few.
const (
	maxConnections     = 512
	maxConnectionsEach = 64
)

// Config is what the webhooks stand on. All functions but Answered are required,
// and all are safe for concurrent use.
type Config struct {
	// Certificate is that of the port, for crypto/tls.Config.GetCertificate.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Params are those of injection, as they are now.
	Params func() inject.Params
	// World is the newest one; nil before the first.
	World func() *mesh.World
	Log   *slog.Logger
	// Answered hears of every answer of "inject" and "validate"; may be nil.
	Answered func(webhook string, allowed bool)
}

// Handler serves /inject and /validate: POST of an AdmissionReview
// (admission.k8s.io/v1).
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	a := newAdmission()
	mux.Handle("POST /inject", a.review(c.Log, c.counted("inject", c.inject)))
	mux.Handle("POST /validate", a.review(c.Log, c.counted("validate", c.validate)))
	return mux
}

// counted tells of the answers.
func (c Config) counted(webhook string, answer answer) answer {
	if c.Answered == nil {
		return answer
	}
	return func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		response := answer(ctx, r)
		c.Answered(webhook, response.Allowed)
		return response
	}
}

// Serve answers on l by HTTPS until ctx ends, and returns nil then, after the
// requests at hand have been answered.
func Serve(ctx context.Context, l net.Listener, c Config) error {
	s := &http.Server{
		Handler:           Handler(c),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.Certificate},
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: 64, MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 64 << 10, PingTimeout: 15 * time.Second, SendPingTimeout: 30 * time.Second},
		ErrorLog:       slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), // handshakes that strangers broke off
	}
	l = listen.Bounded(l, maxConnections, maxConnectionsEach)
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- s.Shutdown(grace)
	})
	defer stop()
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving webhooks: %w", err)
	}
	return <-stopped
}
