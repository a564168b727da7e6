package translate

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// Discovery is where a cluster gets its endpoints from.
type Discovery uint8

// The ways.
const (
	DiscoverByEDS    Discovery = iota // from the control plane
	DiscoverOriginal                  // the address that the client chose
	DiscoverByDNS                     // the proxy resolves names, all addresses are endpoints
	DiscoverOneByDNS                  // the proxy resolves one name, one address per connection
	DiscoverByHost                    // the proxy resolves the name that the request carries
)

// Discovery tells where the cluster gets its endpoints from. A gateway's
// connections have no original destination, so its clusters ask the control
// plane where those of sidecars would use it.
func (in ClusterInput) Discovery() Discovery {
	return in.discovery(effectivePolicy(in.Config, in.Rule, in.Subset, in.Port))
}

func (in ClusterInput) discovery(p policy) Discovery {
	if !in.Router && (in.OriginalDestination || in.Service.Resolution == registry.ResolutionNone ||
		p.loadBalancer.GetSimple() == networking.LoadBalancerSettings_PASSTHROUGH) {
		return DiscoverOriginal
	}
	switch in.Service.Resolution {
	case registry.ResolutionDNS:
		return DiscoverByDNS
	case registry.ResolutionDNSRoundRobin:
		return DiscoverOneByDNS
	case registry.ResolutionDynamicDNS:
		return DiscoverByHost
	}
	return DiscoverByEDS
}

// Name is the cluster's name.
func (in ClusterInput) Name() string {
	if in.OriginalDestination {
		return resource.OriginalDestinationCluster(in.Service.Host, in.Port)
	}
	return resource.OutboundCluster(in.Service.Host, in.Port, in.subset())
}

func (in ClusterInput) subset() string {
	if in.Subset == nil {
		return ""
	}
	return in.Subset.Name
}

// clusterBuilder is one cluster in the making.
type clusterBuilder struct {
	ClusterInput
	policy
	sockets  *Sockets
	port     *registry.Port // of the service; zero when it has no such port
	cluster  *clusterv3.Cluster
	findings []object.Finding
}

// Cluster makes the outbound cluster of one port of a service or subset. The
// findings tell what of its DestinationRule could not be followed. What it has in common
// with other clusters is in sockets.
func Cluster(in ClusterInput, sockets *Sockets) (*clusterv3.Cluster, []object.Finding) {
	b := &clusterBuilder{
		ClusterInput: in, sockets: sockets, policy: effectivePolicy(in.Config, in.Rule, in.Subset, in.Port), port: in.Service.Port(in.Port),
		cluster: &clusterv3.Cluster{Name: in.Name()},
	}
	if b.port == nil {
		b.port = &registry.Port{Number: in.Port}
	}
	b.cluster.ConnectTimeout = b.connectTimeout(in.Config)
	b.cluster.Metadata = b.metadata()
	b.setDiscovery()
	b.setBalancing()
	b.setOutlierDetection()
	b.setCircuitBreakers()
	b.setKeepalive()
	b.setTransport()
	b.setHTTP()
	return b.cluster, b.findings
}

// unfollowed reports a part of the rule that has no effect in this cluster.
func (b *clusterBuilder) unfollowed(field, message string) {
	if b.Rule == nil {
		return
	}
	if b.Subset != nil {
		message = "subset " + b.Subset.Name + ": " + message
	}
	b.findings = append(b.findings, object.Finding{Object: b.Rule.Ref(), Field: "spec.trafficPolicy." + field, Code: object.CodeUnsupported, Message: message})
}

func (b *clusterBuilder) setDiscovery() {
	c := b.cluster
	switch b.discovery(b.policy) {
	case DiscoverOriginal:
		b.setOriginal()
	case DiscoverByDNS:
		b.setDNS(false)
	case DiscoverOneByDNS:
		b.setDNS(true)
	case DiscoverByHost:
		b.setByHost()
	default:
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: resource.ADS(), ServiceName: c.Name}
		if b.loadBalancer.GetSimple() == networking.LoadBalancerSettings_PASSTHROUGH {
			b.unfollowed("loadBalancer.simple", "PASSTHROUGH has no meaning on a gateway, whose clients do not connect to the service's address; requests are balanced: use another policy for gateways")
		}
	}
}

// setOriginal connects to the address that the client chose; a ServiceEntry
// may change the port (ports[].targetPort).
func (b *clusterBuilder) setOriginal() {
	c := b.cluster
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	if t := b.port.Target; b.Service.Resolution == registry.ResolutionNone && t != 0 && t != b.Port {
		c.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{UpstreamPortOverride: wrapperspb.UInt32(t)}}
	}
}

// metadata says which service the cluster stands for, to telemetry and to people, and of
// which rule and subset it was made, in the form that istioctl reads. Istio names the service
// there too, for the filters of its own proxies; stock Envoy has none of them.
func (b *clusterBuilder) metadata() *corev3.Metadata {
	s := b.Service
	service := []string{"host", s.Host, "name", s.Name, "namespace", s.Namespace}
	if d := b.discovery(b.policy); d == DiscoverOriginal || d == DiscoverByHost {
		service = append(service, telemetry.UnknownServer()...)
	}
	m := map[string]*structpb.Struct{resource.MeshMetadata: structValue(service...).GetStructValue()}
	rule := ""
	if b.Rule != nil {
		r := b.Rule.Ref()
		rule = "/apis/networking.istio.io/v1/namespaces/" + r.Namespace + "/destination-rule/" + r.Name
	}
	if of := structValue("config", rule, "subset", b.subset()).GetStructValue(); len(of.Fields) > 0 {
		m["istio"] = of
	}
	return &corev3.Metadata{FilterMetadata: m}
}

// structValue is a struct of text fields, given as names and values in turn;
// empty values are left out.
func structValue(pairs ...string) *structpb.Value {
	fields := make(map[string]*structpb.Value, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fields[pairs[i]] = structpb.NewStringValue(pairs[i+1])
		}
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}
