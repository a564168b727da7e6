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

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/mesh"
)

// MaxRequest is the largest body that is read, in bytes: what etcd stores of one
// object at most, twice, with room for the rest of the review.
const MaxRequest = 3 << 20

// Config is what the webhooks stand on. All functions are required and safe for
// concurrent use.
type Config struct {
	// Certificate is that of the port, for crypto/tls.Config.GetCertificate.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Params are those of injection, as they are now.
	Params func() inject.Params
	// World is the newest one; nil before the first.
	World func() *mesh.World
	Log   *slog.Logger
}

// Handler serves /inject and /validate: POST of an AdmissionReview
// (admission.k8s.io/v1).
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /inject", review(c.Log, c.inject))
	mux.Handle("POST /validate", review(c.Log, c.validate))
	return mux
}

// Serve answers on l by HTTPS until ctx ends, and returns nil then, after the
// requests at hand have been answered.
func Serve(ctx context.Context, l net.Listener, c Config) error {
	s := &http.Server{
		Handler:           Handler(c),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.Certificate},
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), // handshakes that strangers broke off
	}
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
