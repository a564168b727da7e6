package translate

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
	"github.com/fairway-mesh/fairway/translate/telemetry"
)

// Endpoints makes the endpoints of an outbound cluster, in groups of priority
// and locality and in a fixed order. Those that are not ready are sent as
// unhealthy, since Envoy weighs priorities by how many of their endpoints
// work; a service scaled to zero has an assignment without endpoints.
func Endpoints(in EndpointsInput) *endpointv3.ClusterLoadAssignment {
	b := endpointsBuilder{EndpointsInput: in, policy: effectivePolicy(in.Config, in.Rule, in.Subset, in.Port)}
	subset := ""
	if in.Subset != nil {
		subset = in.Subset.Name
	}
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: resource.OutboundCluster(in.Service.Host, in.Port, subset),
		Endpoints:   b.groups(),
	}
}

type endpointsBuilder struct {
	EndpointsInput
	policy policy
	auto   bool // every endpoint says whether it takes mutual TLS
	index  int  // of the port
}

// group is the place of an endpoint in the assignment.
type group struct {
	priority uint32
	locality registry.Locality
}

func compareGroups(a, b group) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.locality.Region, b.locality.Region),
		cmp.Compare(a.locality.Zone, b.locality.Zone), cmp.Compare(a.locality.SubZone, b.locality.SubZone))
}

func (b *endpointsBuilder) groups() []*endpointv3.LocalityLbEndpoints {
	b.auto = autoMutualTLS(b.Config, b.policy, b.Service)
	used := b.members()
	weights := distribute(distribution(b.EndpointsInput, b.policy), used)
	rank := ranking(b.EndpointsInput, b.policy)
	members := map[group][]*registry.Endpoint{}
	for _, e := range used {
		if weights != nil && weights[e.Locality] == 0 {
			continue
		}
		g := group{locality: e.Locality}
		if rank != nil {
			g.priority = rank(e)
		}
		members[g] = append(members[g], e)
	}
	order := make([]group, 0, len(members))
	for g := range members {
		order = append(order, g)
	}
	slices.SortFunc(order, compareGroups)
	out := make([]*endpointv3.LocalityLbEndpoints, 0, len(order))
	priority := uint32(0) // Envoy wants them without gaps
	for i, g := range order {
		if i > 0 && g.priority != order[i-1].priority {
			priority++
		}
		l := &endpointv3.LocalityLbEndpoints{Priority: priority, Locality: envoyLocality(g.locality)}
		if w := weights[g.locality]; w > 0 {
			l.LoadBalancingWeight = wrapperspb.UInt32(w)
		}
		given := make([]uint64, len(members[g]))
		for n, e := range members[g] {
			given[n] = uint64(max(e.Weight, 1))
		}
		weights := scaledWeights(given)
		for n, e := range members[g] {
			l.LbEndpoints = append(l.LbEndpoints, b.endpoint(e, weights[n]))
		}
		out = append(out, l)
	}
	return out
}

// members are the endpoints that the cluster has: of the subset, with the
// port, and on the client's node where the service keeps traffic there.
func (b *endpointsBuilder) members() []*registry.Endpoint {
	b.index = b.Service.PortIndex(b.Port)
	if b.Endpoints == nil || b.index < 0 {
		return nil
	}
	onlyHealthy := b.policy.outlier.GetMinHealthPercent() > 0
	var out []*registry.Endpoint
	for i := range b.Endpoints.Endpoints {
		e := &b.Endpoints.Endpoints[i]
		switch {
		case b.index >= len(e.Ports) || e.Ports[b.index] == 0 && !isPipe(e.Address):
		case b.Subset != nil && !carries(e.Workload.Labels, b.Subset.Labels):
		case onlyHealthy && !e.Healthy:
		case b.Service.LocalOnly && b.Client.Node != "" && e.Workload.Node != b.Client.Node:
		default:
			out = append(out, e)
		}
	}
	return out
}

func carries(labels, all map[string]string) bool {
	for k, v := range all {
		if l, ok := labels[k]; !ok || l != v {
			return false
		}
	}
	return true
}

// endpoint makes one endpoint of the weight, if it was given one.
func (b *endpointsBuilder) endpoint(e *registry.Endpoint, weight uint32) *endpointv3.LbEndpoint {
	port := e.Ports[b.index]
	out := &endpointv3.LbEndpoint{
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: endpointAddress(e.Address, port), AdditionalAddresses: b.additional(e, port),
		}},
		Metadata: b.endpointMetadata(e.Workload, port),
	}
	switch {
	case e.Draining:
		out.HealthStatus = corev3.HealthStatus_DRAINING
	case !e.Healthy:
		out.HealthStatus = corev3.HealthStatus_UNHEALTHY
	}
	if e.Weight > 0 {
		out.LoadBalancingWeight = wrapperspb.UInt32(weight)
	}
	return out
}

// additional are the endpoint's addresses of the family that is not the
// service's first, for services of both.
func (b *endpointsBuilder) additional(e *registry.Endpoint, port uint32) []*endpointv3.Endpoint_AdditionalAddress {
	var v4, v6 bool
	for _, p := range b.Service.Addresses {
		v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
	}
	if !v4 || !v6 || len(e.Workload.Addresses) < 2 {
		return nil
	}
	first, err := netip.ParseAddr(e.Address)
	if err != nil {
		return nil
	}
	for _, a := range e.Workload.Addresses {
		if a.Is4() != first.Is4() {
			return []*endpointv3.Endpoint_AdditionalAddress{{Address: endpointAddress(a.String(), port)}}
		}
	}
	return nil
}

// endpointMetadata tells which transport socket the endpoint takes and, for telemetry,
// which workload it is. All stands under the one name that Envoy matches transport sockets
// by: another would take an Envoy 2 kB an endpoint. What is not known is said to be unknown,
// as in Istio's metrics.
func (b *endpointsBuilder) endpointMetadata(w *registry.Workload, port uint32) *corev3.Metadata {
	known := func(s string) string { return cmp.Or(s, telemetry.Unknown) }
	m := structValue("workload", known(w.Owner), "namespace", known(w.Namespace), "app", known(w.Labels["app"]), "version", known(w.Labels["version"]),
		"service", known(w.CanonicalName()), "revision", known(w.CanonicalRevision())).GetStructValue()
	if b.auto && w.MutualTLS && mesh.MutualTLSOf(b.PeerAuthentications, b.Config.GetRootNamespace(), w, port) != mesh.Disabled {
		m.Fields[tlsModeKey] = structpb.NewStringValue(tlsModeIstio)
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{resource.TransportSocketMatch: m}}
}

// clusterID is the name of the one Kubernetes cluster that a mesh has, as in
// Istio where nobody gave another.
const clusterID = "Kubernetes"

const pipeScheme = "unix://"

func isPipe(address string) bool { return strings.HasPrefix(address, pipeScheme) }

// endpointAddress is an IP address, a DNS name or the path of a Unix socket.
func endpointAddress(address string, port uint32) *corev3.Address {
	if path, ok := strings.CutPrefix(address, pipeScheme); ok {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
	}
	return socketAddress(address, port)
}

func envoyLocality(l registry.Locality) *corev3.Locality {
	if l == (registry.Locality{}) {
		return nil
	}
	return &corev3.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
}
