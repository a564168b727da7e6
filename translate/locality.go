package translate

import (
	"cmp"
	"math"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// The labels that stand for where a workload runs.
const (
	labelRegion  = "topology.kubernetes.io/region"
	labelZone    = "topology.kubernetes.io/zone"
	labelSubZone = "topology.istio.io/subzone"
	labelNetwork = "topology.istio.io/network"
	labelCluster = "topology.istio.io/cluster"
	labelNode    = "kubernetes.io/hostname"
)

// localitySetting is what is in force of the rule's locality setting, the
// service's trafficDistribution and the mesh's setting, in this order: the
// first that exists counts alone. nearest is set for a distribution, which
// needs nobody to detect outliers.
func localitySetting(in EndpointsInput, p policy) (setting *networking.LocalityLoadBalancerSetting, nearest []string) {
	if s := p.loadBalancer.GetLocalityLbSetting(); s != nil {
		return enabled(s), nil
	}
	if d := distributionLabels(in.Service.Distribution); d != nil {
		return nil, d
	}
	if s := in.Config.GetLocalityLbSetting(); s != nil {
		return enabled(s), nil
	}
	return &networking.LocalityLoadBalancerSetting{}, nil
}

func enabled(s *networking.LocalityLoadBalancerSetting) *networking.LocalityLoadBalancerSetting {
	if s.Enabled != nil && !s.Enabled.Value {
		return nil
	}
	return s
}

// distributionLabels are what an endpoint should share with the client under a
// Service's trafficDistribution, from the most to the least important.
func distributionLabels(distribution string) []string {
	switch distribution {
	case "PreferClose":
		return []string{labelNetwork, labelRegion, labelZone, labelSubZone}
	case "PreferSameZone":
		return []string{labelNetwork, labelRegion, labelZone}
	case "PreferSameNode":
		return []string{labelNetwork, labelRegion, labelZone, labelSubZone, labelNode}
	case "PreferSameNetwork":
		return []string{labelNetwork}
	}
	return nil
}

// distribution is the entry of localityLbSetting.distribute for the client's
// locality; nil: weights are not by locality.
func distribution(in EndpointsInput, p policy) map[string]uint32 {
	setting, _ := localitySetting(in, p)
	if in.Client.Locality == (registry.Locality{}) {
		return nil
	}
	for _, d := range setting.GetDistribute() {
		if localityMatches(d.GetFrom(), in.Client.Locality) && len(d.GetTo()) > 0 {
			return d.To
		}
	}
	return nil
}

// localityMatches tells whether the locality is covered by the pattern
// "region/zone/subzone", of which each part may be "*" and the last ones left
// out.
func localityMatches(pattern string, l registry.Locality) bool {
	parts := strings.SplitN(pattern, "/", 3)
	for i, v := range []string{l.Region, l.Zone, l.SubZone} {
		if i >= len(parts) || parts[i] == "*" {
			continue
		}
		if parts[i] != v && !(parts[i] == "" && i > 0) {
			return false
		}
	}
	return true
}

// distribute gives each locality that has endpoints its weight under the
// distribution: a pattern's share is divided among the localities that it
// covers by the weight of their endpoints, a locality under several patterns
// belongs to the longest. Localities without a weight get nothing. nil without
// a distribution.
func distribute(to map[string]uint32, endpoints []*registry.Endpoint) map[registry.Locality]uint32 {
	if len(to) == 0 {
		return nil
	}
	patterns := make([]string, 0, len(to))
	for p := range to {
		patterns = append(patterns, p)
	}
	slices.SortFunc(patterns, func(a, b string) int {
		return cmp.Or(cmp.Compare(specificity(b), specificity(a)), cmp.Compare(a, b))
	})
	size, under, total := map[registry.Locality]uint64{}, map[registry.Locality]string{}, map[string]uint64{}
	for _, e := range endpoints {
		size[e.Locality] += uint64(max(e.Weight, 1))
	}
	for l, n := range size {
		for _, p := range patterns {
			if localityMatches(p, l) {
				under[l] = p
				total[p] += n
				break
			}
		}
	}
	var places []registry.Locality
	var given []uint64
	for l, p := range under {
		if share := uint64(to[p]); share > 0 {
			places = append(places, l)
			given = append(given, uint64(math.Ceil(float64(share)*distributionScale*float64(size[l])/float64(total[p]))))
		}
	}
	weights := make(map[registry.Locality]uint32, len(places))
	for i, w := range scaledWeights(given) {
		weights[places[i]] = w
	}
	return weights
}

// distributionScale makes a percent of a distribution divisible: its part in a
// locality is not rounded to a whole one.
const distributionScale = 100

// specificity is how many parts a locality pattern names.
func specificity(pattern string) int {
	n := 0
	for part := range strings.SplitSeq(pattern, "/") {
		if part != "" && part != "*" {
			n++
		}
	}
	return n
}

// ranking tells how far an endpoint is from the client, 0 for the nearest;
// nil: all are alike. Envoy leaves a priority only when it knows its endpoints
// to fail, so settings count only beside outlier detection.
func ranking(in EndpointsInput, p policy) func(*registry.Endpoint) uint32 {
	setting, nearest := localitySetting(in, p)
	client := clientLabels(in.Client)
	if nearest != nil {
		if client(labelNetwork) == "" { // not known: it tells nothing
			nearest = slices.DeleteFunc(nearest, func(l string) bool { return l == labelNetwork })
		}
		return byLabels(nearest, client, in.Client.Locality)
	}
	if setting == nil || p.outlier == nil || len(setting.Distribute) > 0 {
		return nil
	}
	if len(setting.FailoverPriority) > 0 {
		return byLabels(setting.FailoverPriority, client, in.Client.Locality)
	}
	if in.Client.Locality == (registry.Locality{}) {
		return nil
	}
	return func(e *registry.Endpoint) uint32 {
		return byLocality(in.Client.Locality, located(e.Locality, in.Client.Locality), setting.Failover)
	}
}

// byLabels ranks endpoints by how many of the labels, from the first on, they
// share with the client; "key=value" wants that value whatever the client has.
func byLabels(labels []string, client func(string) string, near registry.Locality) func(*registry.Endpoint) uint32 {
	return func(e *registry.Endpoint) uint32 {
		place := located(e.Locality, near)
		for i, l := range labels {
			key, want, given := strings.Cut(l, "=")
			if !given {
				want = client(key)
			}
			if endpointLabel(e, place, key) != want {
				return uint32(len(labels) - i)
			}
		}
		return 0
	}
}

// located is the locality of an endpoint of which perhaps only the zone is known
// (from an EndpointSlice): that of the client is in the client's region.
func located(endpoint, client registry.Locality) registry.Locality {
	if endpoint.Region == "" && endpoint.Zone != "" && endpoint.Zone == client.Zone {
		endpoint.Region = client.Region
	}
	return endpoint
}

// byLocality ranks endpoints by how near they are; the region that failover
// names for the client's comes before the other regions.
func byLocality(client, endpoint registry.Locality, failover []*networking.LocalityLoadBalancerSetting_Failover) uint32 {
	switch {
	case client == endpoint:
		return 0
	case client.Region == endpoint.Region && client.Zone == endpoint.Zone:
		return 1
	case client.Region == endpoint.Region:
		return 2
	}
	for _, f := range failover {
		if f.GetFrom() == client.Region {
			if f.GetTo() != endpoint.Region {
				return 4
			}
			break
		}
	}
	return 3
}

// clientLabels looks up labels of the client, which its place has as well.
func clientLabels(c Client) func(string) string {
	labels := mesh.Scope{Labels: c.Labels}.LabelMap()
	return func(key string) string { return placeLabel(key, c.Locality, c.Node, labels[labelNetwork], labels) }
}

func endpointLabel(e *registry.Endpoint, place registry.Locality, key string) string {
	return placeLabel(key, place, e.Workload.Node, e.Workload.Network, e.Workload.Labels)
}

func placeLabel(key string, l registry.Locality, node, network string, labels map[string]string) string {
	switch key {
	case labelRegion:
		return l.Region
	case labelZone:
		return l.Zone
	case labelSubZone:
		return l.SubZone
	case labelNode:
		return node
	case labelNetwork:
		return network
	case labelCluster:
		return clusterID
	}
	return labels[key]
}

// comparesNodes tells whether the rule (which may be nil) or the mesh ranks
// endpoints by the node that they share with the client.
func comparesNodes(config *mesh.Config, rule *traffic.DestinationRule) bool {
	has := func(l *networking.LocalityLoadBalancerSetting) bool {
		return slices.Contains(l.GetFailoverPriority(), labelNode)
	}
	in := func(p *networking.TrafficPolicy) bool {
		return has(p.GetLoadBalancer().GetLocalityLbSetting()) ||
			slices.ContainsFunc(p.GetPortLevelSettings(), func(l *networking.TrafficPolicy_PortTrafficPolicy) bool {
				return has(l.GetLoadBalancer().GetLocalityLbSetting())
			})
	}
	if has(config.GetLocalityLbSetting()) {
		return true
	}
	return rule != nil && (in(rule.Policy) || slices.ContainsFunc(rule.Subsets, func(s *traffic.Subset) bool { return in(s.Policy) }))
}
