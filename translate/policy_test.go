package translate

import (
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

func poolOf(n int32) *networking.ConnectionPoolSettings {
	return &networking.ConnectionPoolSettings{Tcp: &networking.ConnectionPoolSettings_TCPSettings{MaxConnections: n}}
}

func simply(s networking.LoadBalancerSettings_SimpleLB) *networking.LoadBalancerSettings {
	return &networking.LoadBalancerSettings{LbPolicy: &networking.LoadBalancerSettings_Simple{Simple: s}}
}

func forPort(n uint32, p *networking.TrafficPolicy_PortTrafficPolicy) []*networking.TrafficPolicy_PortTrafficPolicy {
	p.Port = &networking.PortSelector{Number: n}
	return []*networking.TrafficPolicy_PortTrafficPolicy{p}
}

// TestEffectivePolicy is about rows 49, 50 and 128: which block counts.
func TestEffectivePolicy(t *testing.T) {
	random, robin := simply(networking.LoadBalancerSettings_RANDOM), simply(networking.LoadBalancerSettings_ROUND_ROBIN)
	mtls := &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_ISTIO_MUTUAL}
	type want struct {
		pool int32
		lb   networking.LoadBalancerSettings_SimpleLB
		tls  bool
	}
	for _, c := range []struct {
		name         string
		rule, subset *networking.TrafficPolicy
		want         want
	}{
		{"nobody says anything", nil, nil, want{pool: 1}},
		{"the rule sets one block", &networking.TrafficPolicy{LoadBalancer: random}, nil, want{1, networking.LoadBalancerSettings_RANDOM, false}},
		{"the rule's block replaces the mesh's", &networking.TrafficPolicy{ConnectionPool: poolOf(2)}, nil, want{pool: 2}},
		{"the subset overrides block by block", &networking.TrafficPolicy{ConnectionPool: poolOf(2), LoadBalancer: random, Tls: mtls},
			&networking.TrafficPolicy{ConnectionPool: poolOf(3)}, want{3, networking.LoadBalancerSettings_RANDOM, true}},
		{"an empty block is a block", &networking.TrafficPolicy{ConnectionPool: poolOf(2)},
			&networking.TrafficPolicy{ConnectionPool: &networking.ConnectionPoolSettings{}}, want{pool: 0}},
		{"the port replaces all four: what it leaves out is the mesh's", &networking.TrafficPolicy{ConnectionPool: poolOf(2), LoadBalancer: random, Tls: mtls,
			PortLevelSettings: forPort(80, &networking.TrafficPolicy_PortTrafficPolicy{LoadBalancer: robin})}, nil, want{1, networking.LoadBalancerSettings_ROUND_ROBIN, false}},
		{"another port does not", &networking.TrafficPolicy{ConnectionPool: poolOf(2),
			PortLevelSettings: forPort(81, &networking.TrafficPolicy_PortTrafficPolicy{LoadBalancer: robin})}, nil, want{pool: 2}},
		{"the subset overrides the rule's port", &networking.TrafficPolicy{PortLevelSettings: forPort(80, &networking.TrafficPolicy_PortTrafficPolicy{LoadBalancer: robin, Tls: mtls})},
			&networking.TrafficPolicy{LoadBalancer: random}, want{1, networking.LoadBalancerSettings_RANDOM, true}},
		{"the subset's port replaces everything", &networking.TrafficPolicy{ConnectionPool: poolOf(2), LoadBalancer: random, Tls: mtls},
			&networking.TrafficPolicy{ConnectionPool: poolOf(3), PortLevelSettings: forPort(80, &networking.TrafficPolicy_PortTrafficPolicy{LoadBalancer: robin})},
			want{1, networking.LoadBalancerSettings_ROUND_ROBIN, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := &mesh.Config{MeshConfig: &meshconfig.MeshConfig{DefaultTrafficPolicy: &meshconfig.MeshConfig_DefaultTrafficPolicy{ConnectionPool: poolOf(1)}}}
			p := effectivePolicy(config, &traffic.DestinationRule{Policy: c.rule}, &traffic.Subset{Policy: c.subset}, 80)
			got := want{p.pool.GetTcp().GetMaxConnections(), p.loadBalancer.GetSimple(), p.tls != nil}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestRoutesAndClustersHashAlike: routes hash exactly where clusters balance
// by hash (row 52), whichever level says so.
func TestRoutesAndClustersHashAlike(t *testing.T) {
	hash := &networking.LoadBalancerSettings{LbPolicy: &networking.LoadBalancerSettings_ConsistentHash{ConsistentHash: &networking.LoadBalancerSettings_ConsistentHashLB{
		HashKey: &networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName{HttpHeaderName: "x-user"}}}}
	random := simply(networking.LoadBalancerSettings_RANDOM)
	blocks := []*networking.LoadBalancerSettings{nil, hash, random}
	var policies []*networking.TrafficPolicy
	for _, all := range blocks {
		policies = append(policies, &networking.TrafficPolicy{LoadBalancer: all})
		for _, port := range blocks {
			policies = append(policies, &networking.TrafficPolicy{LoadBalancer: all, PortLevelSettings: forPort(80, &networking.TrafficPolicy_PortTrafficPolicy{LoadBalancer: port})})
		}
	}
	config := mesh.DefaultConfig()
	for i, top := range policies {
		for j, sub := range append(policies, nil) {
			subset := &traffic.Subset{Name: "v1", Policy: sub}
			rule := &traffic.DestinationRule{Policy: top, Subsets: []*traffic.Subset{subset}}
			cluster := effectivePolicy(config, rule, subset, 80).consistentHash() != nil
			if routes := len(hashPolicies(rule, "v1", 80)) > 0; routes != cluster {
				t.Errorf("rule %d, subset %d: the routes hash: %v, the cluster hashes: %v", i, j, routes, cluster)
			}
		}
	}
}
