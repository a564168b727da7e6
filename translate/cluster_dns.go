package translate

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	dnscommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	dfpclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	dfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// setDNS lets the proxy resolve the names of the endpoints, which stand in the
// cluster itself. one: a single name, of whose addresses every connection uses
// the current one.
func (b *clusterBuilder) setDNS(one bool) {
	c := b.cluster
	refresh := resource.Positive(b.Config.GetDnsRefreshRate())
	if refresh == nil || refresh.AsDuration() < time.Millisecond {
		refresh = durationpb.New(60 * time.Second)
	}
	c.ClusterDiscoveryType = resource.CustomCluster("envoy.clusters.dns", &dnsv3.DnsCluster{
		DnsRefreshRate:               refresh,
		DnsFailureRefreshRate:        &dnsv3.DnsCluster_RefreshRate{BaseInterval: durationpb.New(resource.DNSRetry), MaxInterval: durationpb.New(resource.DNSRetryMax)},
		RespectDnsTtl:                true,
		DnsLookupFamily:              dnscommonv3.DnsLookupFamily_V4_PREFERRED,
		AllAddressesInSingleEndpoint: one,
	})
	c.LoadAssignment = Endpoints(b.endpointsInput())
	if one {
		b.keepOne()
	}
}

// keepOne leaves one endpoint in the cluster, which is all that this sort of
// cluster takes; without any there is no name to resolve.
func (b *clusterBuilder) keepOne() {
	a := b.cluster.LoadAssignment
	n := 0
	for _, l := range a.Endpoints {
		n += len(l.LbEndpoints)
	}
	switch n {
	case 0:
		b.cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		return
	case 1:
		return
	}
	b.findings = append(b.findings, object.Finding{Object: b.Service.Ref, Field: "spec.endpoints", Code: object.CodeInvalid,
		Message: "resolution DNS_ROUND_ROBIN takes one endpoint; the others are not used: use resolution DNS"})
	first := a.Endpoints[0]
	first.LbEndpoints, first.Priority = first.LbEndpoints[:1], 0
	a.Endpoints = []*endpointv3.LocalityLbEndpoints{first}
}

// endpointsInput is what endpoints in the cluster itself are made of.
func (in ClusterInput) endpointsInput() EndpointsInput {
	return EndpointsInput{
		Service: in.Service, Port: in.Port, Subset: in.Subset, Rule: in.Rule, Config: in.Config,
		Endpoints: in.Endpoints, Client: in.Client, PeerAuthentications: in.PeerAuthentications,
	}
}

// setByHost lets the proxy resolve the name in the request's Host header, or
// the server name of a TLS connection.
func (b *clusterBuilder) setByHost() {
	c := b.cluster
	c.ClusterDiscoveryType = resource.CustomCluster("envoy.clusters.dynamic_forward_proxy", &dfpclusterv3.ClusterConfig{
		ClusterImplementationSpecifier: &dfpclusterv3.ClusterConfig_DnsCacheConfig{DnsCacheConfig: HostCache()},
		// Names are verified only where a rule asks for TLS, as for every cluster.
		AllowInsecureClusterOptions: true,
	})
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
}

// HostCache is the cache of names that all clusters of ResolutionDynamicDNS
// share, and with them the filter that looks names up for them.
func HostCache() *dfpv3.DnsCacheConfig {
	return &dfpv3.DnsCacheConfig{Name: "hosts", DnsLookupFamily: clusterv3.Cluster_V4_PREFERRED}
}
