package translate

import (
	"fmt"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// Sockets keeps what the TLS settings of clusters have in common, in encoded form: a policy
// with a long list of names is encoded once, however many clusters follow it. Nil keeps
// nothing. Safe for concurrent use.
type Sockets struct {
	mu    sync.Mutex
	known map[socketKey][]byte
}

// NewSockets keeps nothing yet. What it keeps, it keeps for as long as it lives.
func NewSockets() *Sockets { return &Sockets{known: map[socketKey][]byte{}} }

// socketKey is everything that shapes the part of TLS settings that does not depend on the
// cluster. The objects behind its pointers never change.
type socketKey struct {
	config     *mesh.Config
	tls        *networking.ClientTLSSettings // nil: the mesh's mutual TLS, which no rule asks for
	names      *string                       // the first of the service's subjectAltNames
	identities string                        // of its endpoints, where they count
	alpn       string
	own, roots string // Secrets
	inline     bool   // files are named in the cluster itself
	policy     *gatewayapi.BackendTLS
	shown      object.Ref // the Secret of the client's certificate, under the policy
}

// firstOf tells lists apart that never change.
func firstOf(names []string) *string {
	if len(names) == 0 {
		return nil
	}
	return &names[0]
}

// common is the encoded UpstreamTlsContext that holds nothing but what make makes, which
// follows from the key.
func (s *Sockets) common(key socketKey, make func() *tlsv3.CommonTlsContext) []byte {
	if s == nil {
		return encodedCommon(make())
	}
	s.mu.Lock()
	known := s.known[key]
	s.mu.Unlock()
	if known == nil {
		known = encodedCommon(make())
		s.mu.Lock()
		s.known[key] = known
		s.mu.Unlock()
	}
	return known
}

func encodedCommon(c *tlsv3.CommonTlsContext) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&tlsv3.UpstreamTlsContext{CommonTlsContext: c})
	if err != nil {
		panic(fmt.Sprintf("encoding TLS settings: %v", err))
	}
	return b
}

const fieldSNI = 2 // UpstreamTlsContext.sni, which comes after all that is common

// upstreamSocket is TLS with the common part and a name of the server's.
func upstreamSocket(common []byte, sni string) *corev3.TransportSocket {
	value := make([]byte, len(common), len(common)+len(sni)+8)
	copy(value, common)
	if sni != "" {
		value = protowire.AppendString(protowire.AppendTag(value, fieldSNI, protowire.BytesType), sni)
	}
	return &corev3.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: &anypb.Any{
		TypeUrl: upstreamURL, Value: value,
	}}}
}

var upstreamURL = resource.Pack(&tlsv3.UpstreamTlsContext{}).GetTypeUrl()
