package translate

import (
	"math/big"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	utilizationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3"
	commonlbv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	wrrv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/wrr_locality/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// The bounds of consistent hashing: what is used where the rule does not say,
// and Envoy's own limits.
const (
	defaultRingSize = 1024
	maxRingSize     = 8 << 20
	// usualRingSize bounds rings that weights far apart would blow up: Envoy makes
	// the ring so large that the lightest endpoint has a place, in each worker.
	usualRingSize = 1 << 16
	maxMaglevSize = 5000011
)

// setBalancing sets how an endpoint is picked. Without a word from the rule it
// is the one of two random ones that has the fewest requests in flight.
func (b *clusterBuilder) setBalancing() {
	c := b.cluster
	// Panic mode sends requests to endpoints that are known not to work. Here
	// the control plane knows; only outlierDetection.minHealthPercent asks for it.
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{}}
	if c.LbPolicy == clusterv3.Cluster_CLUSTER_PROVIDED {
		return
	}
	if kind, _ := b.Service.Session(); kind != registry.SessionNone {
		c.CommonLbConfig.OverrideHostStatus = overridable()
	}
	weighted := len(distribution(b.endpointsInput(), b.policy)) > 0
	if u := b.loadBalancer.GetBackendUtilization(); u != nil {
		c.LoadBalancingPolicy = byUtilization(u, slowStart(b.loadBalancer), weighted)
		return
	}
	if hash := b.consistentHash(); hash != nil {
		setHash(c, hash)
	} else {
		b.setSimple()
	}
	if weighted {
		c.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
			LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
		}
	}
}

// byUtilization weighs endpoints by the load that they report with their answers (ORCA).
// Envoy takes this policy in a form that no other setting of the cluster is part of.
func byUtilization(u *networking.LoadBalancerSettings_BackendUtilizationLB, start *clusterv3.Cluster_SlowStartConfig, localities bool) *clusterv3.LoadBalancingPolicy {
	p := &utilizationv3.ClientSideWeightedRoundRobin{
		BlackoutPeriod: notNegative(u.WeightStabilizationPeriod), WeightExpirationPeriod: notNegative(u.WeightExpirationPeriod), WeightUpdatePeriod: resource.Positive(u.WeightUpdatePeriod),
		ErrorUtilizationPenalty:            wrapperspb.Float(float32(u.ErrorUtilizationPenaltyPercent) / 100),
		MetricNamesForComputingUtilization: u.MetricNamesForComputingUtilization,
	}
	if start != nil {
		p.SlowStartConfig = &commonlbv3.SlowStartConfig{SlowStartWindow: start.SlowStartWindow, Aggression: start.Aggression, MinWeightPercent: start.MinWeightPercent}
	}
	policy := policyOf("client_side_weighted_round_robin", p)
	if localities {
		policy = policyOf("wrr_locality", &wrrv3.WrrLocality{EndpointPickingPolicy: policy})
	}
	return policy
}

// notNegative is a duration that Envoy takes, zero included; nil for anything else.
func notNegative(d *durationpb.Duration) *durationpb.Duration {
	if d == nil || !resource.Countable(d) {
		return nil
	}
	return d
}

func policyOf(name string, m proto.Message) *clusterv3.LoadBalancingPolicy {
	return &clusterv3.LoadBalancingPolicy{Policies: []*clusterv3.LoadBalancingPolicy_Policy{{
		TypedExtensionConfig: &corev3.TypedExtensionConfig{Name: "envoy.load_balancing_policies." + name, TypedConfig: resource.Pack(m)},
	}}}
}

func (b *clusterBuilder) setSimple() {
	c := b.cluster
	start := slowStart(b.loadBalancer)
	switch b.loadBalancer.GetSimple() {
	case networking.LoadBalancerSettings_ROUND_ROBIN:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		if start != nil {
			c.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: start}}
		}
	case networking.LoadBalancerSettings_RANDOM:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	default:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if start != nil {
			c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{SlowStartConfig: start}}
		}
	}
}

// slowStart lets new endpoints warm up; nil: they get their share at once.
func slowStart(lb *networking.LoadBalancerSettings) *clusterv3.Cluster_SlowStartConfig {
	window, aggression, least := lb.GetWarmupDurationSecs(), 1.0, 10.0
	if w := lb.GetWarmup(); w != nil {
		window = w.Duration
		if a := w.Aggression; a != nil && a.Value >= 1 {
			aggression = a.Value
		}
		least = percentOr(w.MinimumPercent, least)
	}
	if resource.Positive(window) == nil {
		return nil
	}
	return &clusterv3.Cluster_SlowStartConfig{
		SlowStartWindow:  window,
		Aggression:       &corev3.RuntimeDouble{DefaultValue: aggression, RuntimeKey: "upstream.slow_start.aggression"},
		MinWeightPercent: &typev3.Percent{Value: least},
	}
}

func setHash(c *clusterv3.Cluster, hash *networking.LoadBalancerSettings_ConsistentHashLB) {
	if m := hash.GetMaglev(); m != nil {
		c.LbPolicy = clusterv3.Cluster_MAGLEV
		if n := m.TableSize; n > 1 && n <= maxMaglevSize && new(big.Int).SetUint64(n).ProbablyPrime(0) { // exact below 2^64
			c.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(n)}}
		}
		return
	}
	size := hash.MinimumRingSize //nolint:staticcheck // people's rules carry the field that ringHash replaced
	if r := hash.GetRingHash(); r != nil {
		size = r.MinimumRingSize
	}
	if size == 0 || size > maxRingSize {
		size = defaultRingSize
	}
	c.LbPolicy = clusterv3.Cluster_RING_HASH
	c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{
		MinimumRingSize: wrapperspb.UInt64(size), MaximumRingSize: wrapperspb.UInt64(max(size, usualRingSize)),
	}}
}
