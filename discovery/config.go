package discovery

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairway-mesh/fairway/snapshot"
)

// Config is what a Server is made of. Zero durations and limits stand for the
// defaults given with each.
type Config struct {
	// Attach shows a new client its layers. The view is closed when the
	// stream ends; ctx ends with the stream. An error with a gRPC status ends
	// the stream with that status, any other with Unavailable. Required.
	Attach func(ctx context.Context, client *snapshot.Client) (*snapshot.View, error)
	// Workload is the workload (Deployment, StatefulSet, ...) of a pod, or empty
	// when it is not known: what proxies of one workload refuse counts once. It is
	// called when a stream begins. Nil, or empty: each pod is its own workload.
	Workload func(namespace, pod string) string
	// OnReject is told what proxies refuse, once per version of a resource.
	// It is called from the streams' goroutines and must not block. May be nil.
	OnReject func(Rejection)
	// OnProgress is told when what proxies hold or refuse may have changed: see
	// Server.Refusals and Server.Deliveries. It is called from the streams'
	// goroutines and must not block. May be nil.
	OnProgress func()
	// Ready is closed when clients can be attached. Until then streams wait, and
	// nothing that their clients send is read: those that come back list all
	// that they hold. Nil: they can from the beginning.
	Ready      <-chan struct{}
	Log        *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: metrics are counted and not shown

	MaxConnectionAge      time.Duration // 30 minutes, give or take a tenth; then the client is asked to connect anew
	MaxConnectionAgeGrace time.Duration // 30 seconds that its streams may still last
	KeepaliveTime         time.Duration // 30 seconds of silence before a connection is tried
	KeepaliveTimeout      time.Duration // 10 seconds until a silent one is given up
	SendTimeout           time.Duration // 20 seconds that one message may take to be sent, or a quarter more
	PhaseTimeout          time.Duration // 5 seconds that one step of a change waits for the proxy, and up to a minute while the link loses packets
	HandshakeTimeout      time.Duration // 10 seconds until the first message of a stream
	ReadyTimeout          time.Duration // 30 seconds, or a tenth less, until a stream that waits for Ready is ended: another replica may serve it
	DrainTimeout          time.Duration // 5 seconds for streams to end when the server does
	MaxStreams            int           // 20000 streams at a time
	MaxMessageBytes       int           // 16 MiB: a reconnecting client lists all that it holds
	CacheBytes            int           // 64 MiB of encoded responses
}

func (c Config) withDefaults() Config {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.MaxConnectionAge = cmp.Or(c.MaxConnectionAge, 30*time.Minute)
	c.MaxConnectionAgeGrace = cmp.Or(c.MaxConnectionAgeGrace, 30*time.Second)
	c.KeepaliveTime = cmp.Or(c.KeepaliveTime, 30*time.Second)
	c.KeepaliveTimeout = cmp.Or(c.KeepaliveTimeout, 10*time.Second)
	c.SendTimeout = cmp.Or(c.SendTimeout, 20*time.Second)
	c.PhaseTimeout = cmp.Or(c.PhaseTimeout, 5*time.Second)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 10*time.Second)
	c.ReadyTimeout = cmp.Or(c.ReadyTimeout, 30*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 5*time.Second)
	c.MaxStreams = cmp.Or(c.MaxStreams, 20000)
	c.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, 16<<20)
	c.CacheBytes = cmp.Or(c.CacheBytes, 64<<20)
	return c
}

// Transport is how clients reach a server over one listener. The zero
// Transport is plaintext and believes what clients say; keep it on loopback.
type Transport struct {
	TLS *tls.Config // nil: plaintext
	// Authenticate proves who opens a stream, from the metadata and the peer
	// certificate in ctx (google.golang.org/grpc/metadata and peer). Its error
	// ends the stream with Unauthenticated, or with the status that it bears.
	// Nil: nobody is authenticated.
	Authenticate func(ctx context.Context) (snapshot.Identity, error)
}

// readBuffer is the size of the buffer, in bytes, that gRPC reads into. Every
// connection keeps its own.
const readBuffer = 2 << 10
