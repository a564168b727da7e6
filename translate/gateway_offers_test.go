package translate

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/test/freeport"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// TestServerOffers asks a real Envoy what a gateway's server offers that lists protocols
// (ServerTLSSettings.alpnProtocols) and key exchanges (ecdhCurves).
func TestServerOffers(t *testing.T) {
	s := &traffic.Server{Protocol: object.ProtocolHTTPS, Gateway: &traffic.Gateway{}, Spec: &networking.Server{Tls: &networking.ServerTLSSettings{
		Mode: networking.ServerTLSSettings_SIMPLE, ServerCertificate: "/c", PrivateKey: "/k", AlpnProtocols: []string{"acme-tls/1", "http/1.1"}, EcdhCurves: []string{"P-384"}}}}
	socket, _, problem := serverSocket(mesh.DefaultConfig(), s, "")
	if problem != "" {
		t.Fatal(problem)
	}
	var c tlsv3.DownstreamTlsContext
	if err := socket.GetTypedConfig().UnmarshalTo(&c); err != nil {
		t.Fatal(err)
	}
	certificate, key := selfSigned(t)
	c.CommonTlsContext.TlsCertificateSdsSecretConfigs = nil // what SDS would bring
	c.CommonTlsContext.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: resource.FileSource(certificate), PrivateKey: resource.FileSource(key)}}
	port, lines := freeport.TCP(t), lineServer(t, "")
	behind := &clusterv3.Cluster{Name: "lines", ConnectTimeout: durationpb.New(1e9), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: "lines", Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: localAddress(lines)}}}}}}}}
	runEnvoy(t, map[string]any{"listeners": []json.RawMessage{inboundJSON(t, &listenerv3.Listener{
		Name: "server", Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: inboundSocket(netip.MustParseAddr("127.0.0.1"), port)}},
		FilterChains: []*listenerv3.FilterChain{{TransportSocket: downstreamSocket(&c), Filters: told(telemetry.Caller{}, TCPFilters(TCPProxyInput{Direction: resource.Gateway, Clusters: []WeightedCluster{{Cluster: "lines"}}, Config: mesh.DefaultConfig()}))}},
	})}, "clusters": []json.RawMessage{inboundJSON(t, behind)}}, nil)
	handshake := func(curves []tls.CurveID, protocols ...string) (string, error) {
		conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(port), 10)),
			&tls.Config{InsecureSkipVerify: true, NextProtos: protocols, CurvePreferences: curves}) //nolint:gosec // the certificate is not what this is about
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return conn.ConnectionState().NegotiatedProtocol, nil
	}
	for offered, want := range map[string]string{"acme-tls/1": "acme-tls/1", "http/1.1": "http/1.1", "h2": ""} {
		if got, err := handshake(nil, offered); err != nil || got != want {
			t.Errorf("a client of %s gets %q, %v; want %q", offered, got, err, want)
		}
	}
	if _, err := handshake([]tls.CurveID{tls.CurveP256}); err == nil {
		t.Error("a key exchange that is not listed is taken")
	}
}

// selfSigned are files with a certificate and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	c, k := pair(t)
	for file, text := range map[string][]byte{certificate: c, key: k} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}
