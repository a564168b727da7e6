package discovery

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/internal/turns"
)

// Server serves ADS. It starts nothing until Serve is called.
type Server struct {
	config  Config
	metrics *metrics
	shared  *shared
	builds  *buildTable
	logged  *lru.Cache[uint64, struct{}] // hashes of what was said once
	joins   *turns.Queue[podKey]         // of places, see join
	ledger  *ledger
	losses  *losses

	said sync.Map // when each bound was last in the log

	mu      sync.Mutex
	streams map[*stream]struct{}
	away    chan struct{} // closed at its end; nil: this replica takes proxies in
}

// maxHeaders bounds the headers of a stream, in bytes: the token of a proxy is
// most of them.
const maxHeaders = 32 << 10

const loggedSize = 4096 // remarks that are not repeated

// New returns a server.
func New(config Config) *Server {
	logged, err := lru.New[uint64, struct{}](loggedSize)
	if err != nil { // only for a size below 1
		panic(err)
	}
	config = config.withDefaults()
	return &Server{
		config: config, metrics: newMetrics(config.Registerer), shared: newShared(config.CacheBytes),
		builds: newBuildTable(), logged: logged, joins: turns.New[podKey](maxJoins, config.MaxStreams), ledger: newLedger(), losses: newLosses(), streams: map[*stream]struct{}{},
	}
}

// Serve takes connections from listener until ctx ends, then lets streams end
// within DrainTimeout and closes what remains. It may be called for several
// listeners at a time. The error is that of the listener, nil when ctx ended.
func (s *Server) Serve(ctx context.Context, listener net.Listener, transport Transport) error {
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(newCodec()),
		grpc.Creds(newCredentials(s, transport.TLS)),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: s.config.KeepaliveTime, Timeout: s.config.KeepaliveTimeout,
			MaxConnectionIdle: 2 * s.config.HandshakeTimeout,
			MaxConnectionAge:  s.config.MaxConnectionAge, MaxConnectionAgeGrace: s.config.MaxConnectionAgeGrace,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.MaxConcurrentStreams(8), // of one connection; Envoy opens one
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxRecvMsgSize(s.config.MaxMessageBytes),
		grpc.ConnectionTimeout(s.config.HandshakeTimeout),
		// Buffers of idle connections would be most of what a stream costs.
		grpc.SharedWriteBuffer(true),
		grpc.WriteBufferSize(64<<10),
		grpc.ReadBufferSize(readBuffer),
		// Windows that adapt themselves cost a ping for every ACK.
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(1<<20),
	)
	v := &service{server: s, transport: transport}
	defer v.drain()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, v)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if err := s.watch(ctx, ended); err != nil {
		return fmt.Errorf("serving xDS on %s: %w", listener.Addr(), err)
	}
	v.drain()
	force := time.AfterFunc(s.config.DrainTimeout, server.Stop)
	defer force.Stop()
	server.GracefulStop()
	<-ended //nolint:errcheck // GracefulStop is what ended it
	return nil
}

// memory is how long steps are remembered that no stream asks for.
const memory = 5 * time.Second

// watch waits for the end of ctx, or for the error with which serving ended,
// and meanwhile forgets what is not needed any more and closes the connections
// of proxies that do not read.
func (s *Server) watch(ctx context.Context, ended <-chan error) error {
	tick := time.NewTicker(memory)
	defer tick.Stop()
	stuck := time.NewTicker(max(s.config.SendTimeout/4, time.Millisecond))
	defer stuck.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.shared.steps.forget(now.Add(-memory))
		case now := <-stuck.C:
			for _, st := range s.open() {
				st.closeStuck(now.Add(-s.config.SendTimeout))
			}
		}
	}
}

// service is the server as one listener's clients see it.
type service struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server    *Server
	transport Transport
	draining  atomic.Bool
}

var errDraining = status.Error(codes.Unavailable, "this control plane is going away; connect to another replica")

// drain ends the streams of the listener, and those that it would still open.
func (v *service) drain() {
	v.draining.Store(true)
	for _, st := range v.server.open() {
		if st.via == v {
			st.fail(errDraining)
		}
	}
}

// StreamAggregatedResources serves the state-of-the-world variant.
func (v *service) StreamAggregatedResources(str discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return v.serve(str, false)
}

// DeltaAggregatedResources serves the incremental variant.
func (v *service) DeltaAggregatedResources(str discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return v.serve(str, true)
}

func (v *service) serve(str grpc.ServerStream, delta bool) error {
	ctx, info, addr := openConn(str.Context())
	st := newStream(v, str, info, delta)
	st.client.Peer = addr
	st.payer = podKey{pod: hostOf(addr)}
	if v.transport.Authenticate != nil {
		id, err := v.transport.Authenticate(ctx)
		if err != nil {
			return asStatus(err, codes.Unauthenticated)
		}
		st.client.Identity = id
		if id.Pod != "" {
			st.payer = podKey{id.Namespace, id.Pod}
			if err := st.charge(); err != nil {
				return err
			}
		}
	}
	defer st.discharge()
	st.meter.began(cmp.Or(st.account, &account{key: st.payer}))
	defer st.meter.ended()
	defer st.tellSilence()
	if !v.server.enter(st) {
		v.server.reached("streams")
		return status.Errorf(codes.ResourceExhausted, "this control plane serves %d streams already; another replica may have room", v.server.config.MaxStreams)
	}
	defer v.server.leave(st)
	if v.draining.Load() {
		return errDraining
	}
	if v.server.isAway() {
		st.sendAway()
		return errAway
	}
	return st.run(ctx)
}

// hostOf is an address without its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// charge takes a place for the stream among those of its pod.
func (st *stream) charge() error {
	if st.account = st.via.server.ledger.open(st.payer); st.account == nil {
		st.via.server.reached("streams of a pod")
		return status.Errorf(codes.ResourceExhausted, "pod %s/%s has %d streams already", st.payer.namespace, st.payer.pod, maxPodStreams)
	}
	return nil
}

// discharge takes back a charge.
func (st *stream) discharge() {
	if st.account != nil {
		st.via.server.ledger.close(st.account)
	}
}

// asStatus keeps the status that err bears, or gives it one.
func asStatus(err error, code codes.Code) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(code, err.Error())
}

func (s *Server) enter(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) >= s.config.MaxStreams && !s.makeRoom(st) {
		return false
	}
	s.streams[st] = struct{}{}
	return true
}

// makeRoom ends the newest stream of the namespace that has the most, when it
// has more than its share and that of the newcomer has less.
func (s *Server) makeRoom(newcomer *stream) bool {
	if newcomer.account == nil || s.ledger.crowded(newcomer.payer.namespace, s.config.MaxStreams) {
		return false
	}
	most := s.ledger.largest()
	if !s.ledger.crowded(most, s.config.MaxStreams) {
		return false
	}
	var newest *stream
	for st := range s.streams {
		if st.payer.namespace == most && st.account != nil && (newest == nil || st.since.After(newest.since)) {
			newest = st
		}
	}
	if newest == nil {
		return false
	}
	newest.fail(status.Errorf(codes.ResourceExhausted, "this control plane serves as many streams as it may, and namespace %s has more than its share", most))
	s.reached("streams of a namespace")
	return true
}

// reached says that a bound is reached: each time in the metrics, now and then
// in the log.
func (s *Server) reached(bound string) {
	s.metrics.bounds.WithLabelValues(bound).Inc()
	now := time.Now()
	if last, loaded := s.said.LoadOrStore(bound, now); loaded {
		if now.Sub(last.(time.Time)) < sayEvery || !s.said.CompareAndSwap(bound, last, now) {
			return
		}
	}
	s.config.Log.Warn("a bound is reached; what is beyond it waits or is refused (docs/security.md; counted by fairway_xds_bound_reached_total)", "bound", bound)
}

// sayEvery is how often one bound is in the log.
const sayEvery = time.Minute

func (s *Server) leave(st *stream) {
	s.mu.Lock()
	delete(s.streams, st)
	s.mu.Unlock()
	s.progress()
}

// progress tells who listens that what proxies hold may have changed.
func (s *Server) progress() {
	if s.config.OnProgress != nil {
		s.config.OnProgress()
	}
}

// open are the streams that are served.
func (s *Server) open() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.streams))
}

// once reports whether a remark is made for the first time.
func (s *Server) once(remark string) bool {
	seen, _ := s.logged.ContainsOrAdd(xxhash.Sum64String(remark), struct{}{})
	return !seen
}
