package resource

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// SystemRootsFile is where Envoy's images and Debian's have the certificates of
// public authorities. Envoy reads the file; its field system_root_certs, which
// sounds like it, is for gRPC's clients, and under Envoy accepts every
// certificate.
const SystemRootsFile = "/etc/ssl/certs/ca-certificates.crt"

// TransportSocketMatch is the name of the metadata by which Envoy picks the
// transport socket of an endpoint. All that Fairway says about an endpoint
// stands there, since each further name costs every Envoy memory.
const TransportSocketMatch = "envoy.transport_socket_match"

// MeshMetadata is the name of the metadata by which a cluster says which service it
// stands for: its host, name and namespace.
const MeshMetadata = "mesh"

// Pack wraps a message for a typed_config, always in the same bytes.
// Messages hold only text that Kubernetes or a YAML parser let through, which
// is valid UTF-8: nothing else can make encoding fail.
func Pack(m proto.Message) *anypb.Any {
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(fmt.Sprintf("encoding %s: %v", m.ProtoReflect().Descriptor().FullName(), err))
	}
	return a
}

// HTTPFilter is a filter of an HTTP connection manager.
func HTTPFilter(name string, config proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: Pack(config)}}
}

// NetworkFilter is a filter of a filter chain.
func NetworkFilter(name string, config proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: Pack(config)}}
}

// CustomCluster is the type of a cluster that an extension of Envoy discovers.
func CustomCluster(name string, config proto.Message) *clusterv3.Cluster_ClusterType {
	return &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{Name: name, TypedConfig: Pack(config)}}
}

// FileSource is a file of the proxy's own file system.
func FileSource(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}

// MetadataKey is a step of a path into metadata.
func MetadataKey(k string) *matcherv3.MetadataMatcher_PathSegment {
	return &matcherv3.MetadataMatcher_PathSegment{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: k}}
}

// ADS asks for a resource on the stream that everything comes by.
func ADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}
