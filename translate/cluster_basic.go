package translate

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// BasicClusters are the clusters that every sidecar has beside those of
// services: PassthroughCluster, which connects to the address that the client
// chose, and BlackHoleCluster, which has no endpoint.
func BasicClusters(config *mesh.Config) []*clusterv3.Cluster {
	timeout := policy{}.connectTimeout(config)
	black := &clusterv3.Cluster{
		Name: resource.BlackHoleCluster, ConnectTimeout: timeout, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
	}
	pass := &clusterv3.Cluster{
		Name: resource.PassthroughCluster, ConnectTimeout: timeout, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST},
		LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED,
		// Addresses that nobody connects to any more are forgotten.
		CleanupInterval: durationpb.New(originalCleanup),
		CircuitBreakers: policy{}.circuitBreakers(),
		// What the client speaks is spoken to the server, which is not known.
		TypedExtensionProtocolOptions: protocolOptions(downstreamProtocol(nil)),
		UpstreamConnectionOptions:     keepaliveOptions(config.GetTcpKeepalive()),
	}
	for _, c := range []*clusterv3.Cluster{pass, black} { // for the metrics, as Istio names them
		c.Metadata = ofNobody(c.Name)
	}
	return []*clusterv3.Cluster{pass, black}
}

// ofNobody is the metadata of a cluster that is no service's.
func ofNobody(name string) *corev3.Metadata {
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		resource.MeshMetadata: structValue(append(telemetry.UnknownServer(), "host", telemetry.Unknown, "name", name, "namespace", telemetry.Unknown)...).GetStructValue(),
	}}
}
