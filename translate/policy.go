package translate

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/traffic"
	"github.com/fairway-mesh/fairway/translate/resource"
)

// policy is the traffic policy in force for one port of a service or of one of
// its subsets. Blocks are nil where nobody set them. The API's messages are
// shared with the World and never modified.
type policy struct {
	loadBalancer  *networking.LoadBalancerSettings
	pool          *networking.ConnectionPoolSettings
	outlier       *networking.OutlierDetection
	tls           *networking.ClientTLSSettings
	proxyProtocol *networking.TrafficPolicy_ProxyProtocol
	retryBudget   *networking.TrafficPolicy_RetryBudget
	tunnel        *networking.TrafficPolicy_TunnelSettings
}

// effectivePolicy resolves the policy of a service's port: the mesh's default
// (MeshConfig.defaultTrafficPolicy), overridden block by block by the rule's,
// overridden by the subset's. At either level the settings of the port replace
// the four blocks that they can have: one that they leave out is the mesh's
// default again. rule and subset may be nil.
func effectivePolicy(config *mesh.Config, rule *traffic.DestinationRule, subset *traffic.Subset, port uint32) policy {
	d := config.GetDefaultTrafficPolicy()
	base := policy{pool: d.GetConnectionPool(), outlier: d.GetOutlierDetection()}
	p := base
	if rule != nil {
		p.override(base, rule.Policy, port)
	}
	if subset != nil {
		p.override(base, subset.Policy, port)
	}
	return p
}

func (p *policy) override(base policy, t *networking.TrafficPolicy, port uint32) {
	if t == nil {
		return
	}
	set(&p.loadBalancer, t.LoadBalancer)
	set(&p.pool, t.ConnectionPool)
	set(&p.outlier, t.OutlierDetection)
	set(&p.tls, t.Tls)
	set(&p.proxyProtocol, t.ProxyProtocol)
	set(&p.retryBudget, t.RetryBudget)
	set(&p.tunnel, t.Tunnel)
	for _, l := range t.PortLevelSettings {
		if l.GetPort().GetNumber() != port {
			continue
		}
		p.loadBalancer, p.pool, p.outlier, p.tls = base.loadBalancer, base.pool, base.outlier, base.tls
		set(&p.loadBalancer, l.LoadBalancer)
		set(&p.pool, l.ConnectionPool)
		set(&p.outlier, l.OutlierDetection)
		set(&p.tls, l.Tls)
		return
	}
}

func set[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}

// consistentHash is the hash that picks the endpoint; nil: another balancer
// does. Routes need it as much as clusters.
func (p policy) consistentHash() *networking.LoadBalancerSettings_ConsistentHashLB {
	return p.loadBalancer.GetConsistentHash()
}

// connectTimeout is how long a connection may take to open.
func (p policy) connectTimeout(config *mesh.Config) *durationpb.Duration {
	if d := resource.Positive(p.pool.GetTcp().GetConnectTimeout()); d != nil {
		return d
	}
	if d := resource.Positive(config.GetConnectTimeout()); d != nil {
		return d
	}
	return durationpb.New(10 * time.Second)
}

// tcpIdleTimeout ends connections without traffic; 0: Envoy's default of an
// hour, negative: never, as TCPProxyInput has it.
func (p policy) tcpIdleTimeout() time.Duration {
	d := p.pool.GetTcp().GetIdleTimeout()
	if d == nil || !resource.Countable(d) {
		return 0
	}
	if d.AsDuration() == 0 {
		return -1
	}
	return d.AsDuration()
}
