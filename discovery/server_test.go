package discovery

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/snapshot"
	"github.com/fairway-mesh/fairway/test/wire"
)

// attempt runs a client until its stream ends and returns how.
func attempt(t *testing.T, addr string, o wire.Options) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return wire.New(o).Run(ctx, addr)
}

func TestNodeIDs(t *testing.T) {
	h := serve(t, small(t), nil, Transport{})
	for id, want := range map[string]string{
		"":                         "expected ROLE~IP~POD.NAMESPACE",
		"envoy-1":                  "1 parts",
		"waypoint~10.0.0.1~a.b~c":  `unknown role "waypoint"`,
		"sidecar~nowhere~a.b~c":    `"nowhere" is no IP address`,
		"sidecar~10.0.0.1~app~c":   `"app" is not POD.NAMESPACE`,
		"sidecar~10.0.0.1~.b~c":    `".b" is not POD.NAMESPACE`,
		"sidecar~10.0.0.1~a.b~c~d": "5 parts",
	} {
		for _, delta := range []bool{true, false} {
			err := attempt(t, h.addr, wire.Options{NodeID: id, Delta: delta})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
				t.Errorf("node id %q: %v, want InvalidArgument with %q", id, err, want)
			}
		}
	}
	other, err := structpb.NewStruct(map[string]any{"NAMESPACE": "other"})
	if err != nil {
		t.Fatal(err)
	}
	if err := attempt(t, h.addr, wire.Options{NodeID: nodeID, Metadata: other}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("metadata of another namespace: %v", err)
	}
}

func TestClientOf(t *testing.T) {
	meta, err := structpb.NewStruct(map[string]any{"NAMESPACE": "ns", "LABELS": map[string]any{"app": "x"}, "SERVICE_ACCOUNT": "sa",
		"CLUSTER_ID": "east", "NODE_NAME": "n1", "UNKNOWN": 3})
	if err != nil {
		t.Fatal(err)
	}
	builds := newBuildTable()
	node := wire.New(wire.Options{NodeID: "router~fd00::1~gw-0.v1.ns~ns.svc.cluster.local", Metadata: meta}).Node()
	node.Locality = &corev3.Locality{Region: "r", Zone: "z", SubZone: "s"}
	node.Extensions = []*corev3.Extension{{Name: "envoy.a"}, {Name: "envoy.b"}}
	c, err := clientOf(node, builds)
	if err != nil {
		t.Fatal(err)
	}
	if c.Role != snapshot.RoleRouter || c.IP != "fd00::1" || c.Pod != "gw-0.v1" || c.Namespace != "ns" || c.Domain != "ns.svc.cluster.local" ||
		c.Labels["app"] != "x" || c.ServiceAccount != "sa" || c.ClusterID != "east" || c.NodeName != "n1" ||
		c.Locality != (snapshot.Locality{Region: "r", Zone: "z", SubZone: "s"}) || !c.Version.AtLeast(1, 40) || c.Version.AtLeast(1, 41) {
		t.Errorf("%+v", c)
	}
	if !c.HasExtension("envoy.a") || c.HasExtension("envoy.c") {
		t.Error("extensions are not those of the node")
	}
}

func FuzzClientOf(f *testing.F) {
	f.Add("sidecar~10.0.0.1~a.b~c", "NAMESPACE", "b")
	f.Add("~~~", "LABELS", "")
	f.Fuzz(func(t *testing.T, id, key, value string) {
		node := &corev3.Node{Id: id, UserAgentName: value, Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			key: structpb.NewStringValue(value), "LABELS": nil}}}
		c, err := clientOf(node, newBuildTable())
		if err == nil && (c.Pod == "" || c.Namespace == "" || strings.Contains(c.Namespace, ".")) {
			t.Errorf("%q became %+v", id, c)
		}
	})
}

// TestOldEnvoyGetsWholeTables and is told so once.
func TestOldEnvoyGetsWholeTables(t *testing.T) {
	var log lockedBuffer
	h := serve(t, meshOf(t, 3), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }, Transport{})
	for range 2 {
		c, stop := connect(t, h.addr, wire.Options{Delta: true, Version: snapshot.Version{Major: 1, Minor: 36}})
		eventually(t, "the route table", func() bool { return c.Len(snapshot.RouteConfig) == 1 })
		if c.Len(snapshot.VirtualHost) != 0 {
			t.Error("an old Envoy got virtual hosts")
		}
		if p := h.server.Proxies(); len(p) != 1 || !p[0].TooOld {
			t.Errorf("state %+v", p)
		}
		first, _ := c.Version(snapshot.RouteConfig, "80")
		h.publish(with(h.stack, []*snapshot.Resource{virtualHost(t, "80", "more", fmt.Sprint(first))}))
		eventually(t, "a changed table", func() bool { v, _ := c.Version(snapshot.RouteConfig, "80"); return v != first })
		stop()
		eventually(t, "the stream is gone", func() bool { return len(h.server.Proxies()) == 0 })
	}
	if n := strings.Count(log.String(), "too old"); n != 1 {
		t.Errorf("it was told %d times:\n%s", n, log.String())
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestAttachErrors(t *testing.T) {
	h := serve(t, small(t), func(c *Config) {
		c.Attach = func(_ context.Context, client *snapshot.Client) (*snapshot.View, error) {
			if client.Delta {
				return nil, status.Error(codes.PermissionDenied, "not yours")
			}
			return nil, errors.New("not ready")
		}
	}, Transport{})
	if err := attempt(t, h.addr, wire.Options{NodeID: nodeID, Delta: true}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v", err)
	}
	if err := attempt(t, h.addr, wire.Options{NodeID: nodeID}); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

// selfSigned is a certificate for 127.0.0.1 and a pool that trusts it.
func selfSigned(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pool
}

type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}
func (bearer) RequireTransportSecurity() bool { return true }

func TestTLSAndAuthentication(t *testing.T) {
	cert, pool := selfSigned(t)
	var seen snapshot.Client
	stack := small(t)
	h := serve(t, stack, func(c *Config) {
		attach := c.Attach
		c.Attach = func(ctx context.Context, client *snapshot.Client) (*snapshot.View, error) {
			seen = *client
			return attach(ctx, client)
		}
	}, Transport{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		Authenticate: func(ctx context.Context) (snapshot.Identity, error) {
			p, _ := peer.FromContext(ctx)
			if _, ok := p.AuthInfo.(credentials.TLSInfo); !ok {
				return snapshot.Identity{}, fmt.Errorf("AuthInfo is %T", p.AuthInfo)
			}
			md, _ := metadata.FromIncomingContext(ctx)
			if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer good" {
				return snapshot.Identity{}, errors.New("no valid token")
			}
			return snapshot.Identity{Namespace: "default", ServiceAccount: "app", Pod: "app-1"}, nil
		},
	})
	creds := credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
	if err := attempt(t, h.addr, wire.Options{NodeID: nodeID, Creds: creds, PerRPC: bearer("bad")}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a bad token: %v", err)
	}
	if err := attempt(t, h.addr, wire.Options{NodeID: nodeID}); err == nil {
		t.Error("plaintext was served")
	}
	c, _ := connect(t, h.addr, wire.Options{Delta: true, Creds: creds, PerRPC: bearer("good")})
	eventually(t, "all", func() bool { return holds(c, stack, false) })
	if seen.Identity.Pod != "app-1" || seen.Peer == "" {
		t.Errorf("attached as %+v", seen)
	}
}

func TestMaxStreams(t *testing.T) {
	h := serve(t, small(t), func(c *Config) { c.MaxStreams = 1 }, Transport{})
	c, _ := connect(t, h.addr, wire.Options{Delta: true})
	eventually(t, "the first", func() bool { return c.Len(snapshot.Listener) > 0 })
	if err := attempt(t, h.addr, wire.Options{NodeID: nodeID}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the second: %v", err)
	}
}

// silent opens a stream, sends requests or none, and reads no answer.
func silent(t *testing.T, addr string, send bool) (ended <-chan error) {
	t.Helper()
	conn, err := wire.Dial(addr, wire.Options{}, grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	str, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	if !send {
		go func() { _, err := str.Recv(); done <- err }()
		return done
	}
	for _, typ := range []snapshot.Type{snapshot.Cluster, snapshot.Listener} {
		if err := str.Send(&discoveryv3.DeltaDiscoveryRequest{Node: wire.New(wire.Options{NodeID: nodeID}).Node(), TypeUrl: typ.TypeURL()}); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		<-str.Context().Done()
		done <- str.Context().Err()
	}()
	return done
}

// TestProxyThatDoesNotRead is cut off, and nobody else notices.
func TestProxyThatDoesNotRead(t *testing.T) {
	big := small(t)
	for i := range 40 {
		big = with(big, []*snapshot.Resource{edsCluster(t, fmt.Sprint("big", i), strings.Repeat("x", 100<<10))})
	}
	h := serve(t, big, func(c *Config) { c.SendTimeout = 300 * time.Millisecond }, Transport{})
	_ = silent(t, h.addr, true)
	eventually(t, "the stream is open", func() bool { return len(h.server.Proxies()) == 1 })
	c, _ := connect(t, h.addr, wire.Options{Delta: true, NodeID: "sidecar~10.0.0.2~other.default~default.svc.cluster.local"})
	eventually(t, "another client is served", func() bool { return c.Len(snapshot.Cluster) == 41 })
	eventually(t, "the stream is cut", func() bool { return len(h.server.Proxies()) == 1 })
}

func TestClientThatSaysNothing(t *testing.T) {
	h := serve(t, small(t), func(c *Config) { c.HandshakeTimeout = 200 * time.Millisecond }, Transport{})
	select {
	case err := <-silent(t, h.addr, false):
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the stream stays")
	}
}

// TestJoin: a stream waits for a place and gives it back; one that is not taken
// in yet ends with its client.
func TestJoin(t *testing.T) {
	var attached atomic.Int32
	h := serve(t, small(t), func(c *Config) {
		attach := c.Attach
		c.Attach = func(ctx context.Context, client *snapshot.Client) (*snapshot.View, error) {
			attached.Add(1)
			return attach(ctx, client)
		}
	}, Transport{})
	for range maxJoins {
		if err := h.server.joins.Enter(t.Context(), podKey{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	taken := func() int { return maxJoins - h.server.joins.Free() }
	_, stop := connect(t, h.addr, wire.Options{NodeID: nodeID, Delta: true})
	eventually(t, "one waits", func() bool { return len(h.server.open()) == 1 })
	stop()
	eventually(t, "it has gone", func() bool { return len(h.server.open()) == 0 })
	c, _ := connect(t, h.addr, wire.Options{NodeID: nodeID, Delta: true})
	eventually(t, "another waits", func() bool { return len(h.server.open()) == 1 })
	time.Sleep(50 * time.Millisecond)
	if n := attached.Load(); n != 0 {
		t.Fatalf("%d were taken in without a place", n)
	}
	h.server.joins.Leave()
	eventually(t, "it has everything", func() bool { return holds(c, small(t), false) })
	eventually(t, "its place is free", func() bool { return taken() == maxJoins-1 })
	_ = silent(t, h.addr, false)
	eventually(t, "one that says nothing is there", func() bool { return len(h.server.open()) == 2 })
	time.Sleep(50 * time.Millisecond)
	if n := taken(); n != maxJoins-1 {
		t.Errorf("%d places are taken, one by who says nothing", n)
	}
	_ = silent(t, h.addr, true)
	eventually(t, "one that says no more has its place for a while", func() bool { return taken() == maxJoins-1 && len(h.server.open()) == 3 })
}

func TestDrain(t *testing.T) {
	stack := small(t)
	server := New(Config{Registerer: prometheus.NewRegistry(), DrainTimeout: 20 * time.Second,
		Attach: func(context.Context, *snapshot.Client) (*snapshot.View, error) {
			return snapshot.NewView(stack, nil), nil
		}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, Transport{}) }()
	ended := make(chan error, 1)
	c := wire.New(wire.Options{NodeID: nodeID, Delta: true})
	go func() { ended <- c.Run(context.Background(), listener.Addr().String()) }()
	eventually(t, "the client is served", func() bool { return holds(c, stack, false) })
	start := time.Now()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := <-ended; status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	if time.Since(start) > 10*time.Second {
		t.Error("streams did not end by themselves")
	}
	if err := server.Serve(context.Background(), listener, Transport{}); err == nil {
		t.Error("serving a closed listener is no error")
	}
}

func TestUnknownTypeIsPassedOver(t *testing.T) {
	h := serve(t, small(t), nil, Transport{})
	conn, err := wire.Dial(h.addr, wire.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	str, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	node := wire.New(wire.Options{NodeID: nodeID}).Node()
	for _, url := range []string{"type.googleapis.com/envoy.service.runtime.v3.Runtime", snapshot.Cluster.TypeURL()} {
		if err := str.Send(&discoveryv3.DiscoveryRequest{Node: node, TypeUrl: url}); err != nil {
			t.Fatal(err)
		}
	}
	m, err := str.Recv()
	if err != nil || m.GetTypeUrl() != snapshot.Cluster.TypeURL() {
		t.Errorf("%v %v", m.GetTypeUrl(), err)
	}
}

func TestRefusalIsReportedOnceWithOwners(t *testing.T) {
	variants(t, func(t *testing.T, delta bool) {
		h := serve(t, meshOf(t, 3), nil, Transport{})
		refuse := func(r wire.Response) error {
			for _, p := range r.Put {
				if r.Type == snapshot.Cluster && p.Name == "bad" {
					return errors.New("Error adding/updating cluster(s) bad: nonsense")
				}
			}
			return nil
		}
		for i := range 3 {
			c, _ := connect(t, h.addr, wire.Options{Delta: delta, OnResponse: refuse, NodeID: fmt.Sprintf("sidecar~10.0.0.%d~app-%d.default~x", i+1, i)})
			eventually(t, "a client", func() bool { return c.Len(snapshot.Listener) == 1 })
		}
		h.publish(with(h.stack, []*snapshot.Resource{edsCluster(t, "bad", ""), endpoints(t, "bad", 1), edsCluster(t, "good", ""), endpoints(t, "good", 1)}))
		// Proxies that are served after the first refusal are spared.
		eventually(t, "the refusal is reported, and seen on a proxy", func() bool {
			return len(h.rejections()) > 0 && slices.ContainsFunc(h.server.Proxies(), func(p ProxyState) bool {
				return p.Types[snapshot.Cluster].LastNack != "" && p.Types[snapshot.Cluster].State == Stale
			})
		})
		got := h.rejections()
		if len(got) != 1 || len(got[0].Names) != 1 || got[0].Names[0] != "bad" || len(got[0].Owners) != 1 || got[0].Owners[0].Name != "bad" {
			t.Errorf("reported: %+v", got)
		}
		// A newcomer is spared.
		c, _ := connect(t, h.addr, wire.Options{Delta: delta, OnResponse: refuse, NodeID: "sidecar~10.0.0.9~new.default~x"})
		eventually(t, "a newcomer", func() bool { _, ok := c.Version(snapshot.Cluster, "good"); return ok && c.Len(snapshot.Listener) == 1 })
		if _, ok := c.Version(snapshot.Cluster, "bad"); ok {
			t.Error("the newcomer got what all refuse")
		}
	})
}

// TestOneOddProxy refuses what the others take; newcomers get it all the same.
func TestOneOddProxy(t *testing.T) {
	h := serve(t, meshOf(t, 3), nil, Transport{})
	fine, _ := connect(t, h.addr, wire.Options{Delta: true})
	eventually(t, "a client", func() bool { return fine.Len(snapshot.Listener) == 1 })
	odd, _ := connect(t, h.addr, wire.Options{Delta: true, NodeID: "sidecar~10.0.0.2~odd.default~x", OnResponse: func(r wire.Response) error {
		if r.Type == snapshot.Cluster {
			return errors.New("I take nothing")
		}
		return nil
	}})
	eventually(t, "the odd one has refused everything", func() bool { return len(h.rejections()) == 3 })
	_ = odd
	c, _ := connect(t, h.addr, wire.Options{Delta: true, NodeID: "sidecar~10.0.0.3~new.default~x"})
	eventually(t, "a newcomer gets all", func() bool { return holds(c, h.stack, false) })
}

// TestStreamEndsWithItsCredential says that a stream outlives neither the time of
// its proof nor what it was proven of.
func TestStreamEndsWithItsCredential(t *testing.T) {
	for _, c := range []struct {
		name    string
		expires time.Duration // 0: without end
		end     error
		want    codes.Code
	}{
		{"the credential expires", 2 * time.Second, nil, codes.Unavailable},
		{"the pod is deleted", time.Hour, status.Error(codes.Unauthenticated, "deleted"), codes.Unauthenticated},
		{"without end, until the pod is deleted", 0, status.Error(codes.Unauthenticated, "deleted"), codes.Unauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			stack := small(t)
			h := serve(t, stack, nil, Transport{Authenticate: func(context.Context) (snapshot.Identity, error) {
				id := snapshot.Identity{Namespace: "default", Pod: "app-1"}
				if c.expires > 0 {
					id.Expires = time.Now().Add(c.expires)
				}
				return id, nil
			}})
			ended := make(chan error, 1)
			client := wire.New(wire.Options{NodeID: nodeID, Delta: true})
			go func() { ended <- client.Run(t.Context(), h.addr) }()
			eventually(t, "the client is served", func() bool { return holds(client, stack, false) })
			if c.end != nil {
				select {
				case err := <-ended:
					t.Fatalf("ended by itself: %v", err)
				case <-time.After(200 * time.Millisecond):
				}
				h.mu.Lock()
				for v := range h.views {
					v.End(c.end)
				}
				h.mu.Unlock()
			}
			select {
			case err := <-ended:
				if status.Code(err) != c.want {
					t.Errorf("ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the stream goes on")
			}
		})
	}
}
