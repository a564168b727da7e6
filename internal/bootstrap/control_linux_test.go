package bootstrap_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/internal/bootstrap"
)

// control is a control plane of an empty mesh. It remembers who connected.
type control struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer

	mu     sync.Mutex
	silent bool // do not answer
	ending bool // say that the pod's end has begun
	tokens []string
	nodes  []*corev3.Node
}

// serve answers on a listener of the pod's network namespace until the test
// ends, and returns a function that ends all streams.
func (c *control) serve(t *testing.T, l net.Listener, options ...grpc.ServerOption) (stop func()) {
	t.Helper()
	s := grpc.NewServer(options...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, c)
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	stop = func() { s.Stop(); <-done }
	t.Cleanup(stop)
	return stop
}

func (c *control) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	c.connected(s)
	answered := map[string]bool{}
	for {
		request, err := s.Recv()
		if err != nil {
			return err
		}
		c.mu.Lock()
		if request.Node != nil {
			c.nodes = append(c.nodes, request.Node)
		}
		skip := c.silent || answered[request.TypeUrl]
		c.mu.Unlock()
		if skip {
			continue
		}
		answered[request.TypeUrl] = true
		response := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: request.TypeUrl, Nonce: "1"}
		if request.TypeUrl == runtimeType {
			if response.Resources, err = c.runtime(); err != nil {
				return err
			}
		}
		if err := s.Send(response); err != nil {
			return err
		}
	}
}

const runtimeType = "type.googleapis.com/envoy.service.runtime.v3.Runtime"

// runtime is the layer that the control plane switches features of proxies by.
func (c *control) runtime() ([]*discoveryv3.Resource, error) {
	layer := &structpb.Struct{}
	c.mu.Lock()
	if c.ending {
		layer.Fields = map[string]*structpb.Value{bootstrap.DrainingKey: structpb.NewNumberValue(100)}
	}
	c.mu.Unlock()
	r, err := anypb.New(&runtimev3.Runtime{Name: bootstrap.RuntimeLayer, Layer: layer})
	return []*discoveryv3.Resource{{Name: bootstrap.RuntimeLayer, Version: "1", Resource: r}}, err
}

func (c *control) StreamAggregatedResources(s discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	c.connected(s)
	for {
		request, err := s.Recv()
		if err != nil {
			return err
		}
		if request.ResponseNonce != "" {
			continue
		}
		response := &discoveryv3.DiscoveryResponse{TypeUrl: request.TypeUrl, Nonce: "1", VersionInfo: "1"}
		if err := s.Send(response); err != nil {
			return err
		}
	}
}

func (c *control) connected(s grpc.ServerStream) {
	md, _ := metadata.FromIncomingContext(s.Context())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens = append(c.tokens, append(md.Get("authorization"), "")[0])
}

// lastToken is what the last stream bore, and how many there were.
func (c *control) lastToken() (string, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tokens) == 0 {
		return "", 0
	}
	return c.tokens[len(c.tokens)-1], len(c.tokens)
}

func (c *control) setSilent(silent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = silent
}

// authority signs server certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{Organization: []string{"test"}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// server is a gRPC server's identity for names and addresses.
func (a *authority) server(names []string, ips ...net.IP) grpc.ServerOption {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: names, IPAddresses: ips,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return grpc.Creds(credentials.NewServerTLSFromCert(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}))
}
