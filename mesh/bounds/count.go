package bounds

import (
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	netv1 "k8s.io/api/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// RuleCost is what the rules of a VirtualService become for one of its hosts: a
// route for each match, which says all that its rule says.
type RuleCost struct {
	Matches int // at least one of each rule
	Bytes   int // in the protobuf form of the rules
}

func (c *RuleCost) add(matches, size, ofMatches int) {
	c.Matches += max(1, matches)
	c.Bytes += ofMatches + max(1, matches)*max(0, size-ofMatches)
}

// CostOfRules is what all rules of a VirtualService become.
func CostOfRules(spec *networking.VirtualService) (c RuleCost) {
	for _, r := range spec.Http {
		c.AddHTTP(r)
	}
	for _, r := range spec.Tcp {
		c.add(len(r.GetMatch()), proto.Size(r), sizes(r.GetMatch()))
	}
	for _, r := range spec.Tls {
		names := 0
		for _, m := range r.GetMatch() {
			names += max(1, len(m.GetSniHosts()))
		}
		c.add(names, proto.Size(r), sizes(r.GetMatch()))
	}
	return c
}

// AddHTTP adds what one HTTP rule becomes.
func (c *RuleCost) AddHTTP(r *networking.HTTPRoute) {
	c.add(len(r.GetMatch()), proto.Size(r), sizes(r.GetMatch()))
}

func sizes[M proto.Message](list []M) (n int) {
	for _, m := range list {
		n += proto.Size(m)
	}
	return n
}

func portSettings(spec *networking.DestinationRule) int {
	n := len(spec.GetTrafficPolicy().GetPortLevelSettings())
	for _, s := range spec.Subsets {
		n += len(s.GetTrafficPolicy().GetPortLevelSettings())
	}
	return n
}

// costOfPolicies counts the rule's policy for each subset, which inherits it.
func costOfPolicies(spec *networking.DestinationRule) int {
	return (1+len(spec.Subsets))*proto.Size(spec.TrafficPolicy) + sizes(spec.Subsets)
}

// PolicyWeight is for how many clusters more a cluster counts that says the policy: one for
// each PlainPolicy of its bytes. Of the settings for ports a cluster says those of its own.
func PolicyWeight(p *networking.TrafficPolicy) int {
	ports, largest := 0, 0
	for _, at := range p.GetPortLevelSettings() {
		size := proto.Size(at)
		ports, largest = ports+size, max(largest, size)
	}
	return (proto.Size(p) - ports + largest) / PlainPolicy
}

// largestPolicy is the size of the largest trafficPolicy of a rule. That of a port is one
// by itself.
func largestPolicy(spec *networking.DestinationRule) (n int) {
	largest := func(p *networking.TrafficPolicy) {
		ports := 0
		for _, at := range p.GetPortLevelSettings() {
			size := proto.Size(at)
			n = max(n, size)
			ports += size
		}
		n = max(n, proto.Size(p)-ports)
	}
	largest(spec.TrafficPolicy)
	for _, s := range spec.Subsets {
		largest(s.GetTrafficPolicy())
	}
	return n
}

// largestHash is the size of the largest consistentHash of a rule.
func largestHash(spec *networking.DestinationRule) (n int) {
	largest := func(p *networking.TrafficPolicy) {
		n = max(n, proto.Size(p.GetLoadBalancer().GetConsistentHash()))
		for _, at := range p.GetPortLevelSettings() {
			n = max(n, proto.Size(at.GetLoadBalancer().GetConsistentHash()))
		}
	}
	largest(spec.TrafficPolicy)
	for _, s := range spec.Subsets {
		largest(s.GetTrafficPolicy())
	}
	return n
}

// longestSubset is the length of a rule's longest name of a subset, which each cluster, and
// its endpoints, say several times.
func longestSubset(spec *networking.DestinationRule) (n int) {
	for _, s := range spec.Subsets {
		n = max(n, len(s.GetName()))
	}
	return n
}

// longestWord is the length of the longest of what endpoints say of themselves, which each
// cluster that they are in says again.
func longestWord(endpoints ...*networking.WorkloadEntry) (n int) {
	for _, e := range endpoints {
		n = max(n, len(e.GetLocality()), len(e.GetNetwork()), len(e.GetServiceAccount()))
		for _, value := range e.GetLabels() {
			n = max(n, len(value))
		}
	}
	return n
}

// clustersOf is how many clusters a ServiceEntry makes.
func clustersOf(o *networkingv1.ServiceEntry) int {
	return len(o.Spec.Hosts) * max(1, len(o.Spec.Ports))
}

// entryListeners is how many listeners a ServiceEntry makes at its addresses.
func entryListeners(o *networkingv1.ServiceEntry) int {
	return len(o.Spec.Hosts) * len(o.Spec.Addresses) * EntryPortsOfTCP(o)
}

// EntryPortsOfTCP is how many ports have listeners of their own: those of HTTP share one.
func EntryPortsOfTCP(o *networkingv1.ServiceEntry) (n int) {
	for _, p := range o.Spec.Ports {
		protocol, _ := object.ParseProtocol(p.Protocol)
		if p.Protocol == "" {
			protocol = object.KubernetesProtocol("TCP", nil, p.Name, p.Number)
		}
		if !protocol.IsHTTP() {
			n++
		}
	}
	return n
}

func serverHosts(o *networkingv1.Gateway) (n int) {
	for _, s := range o.Spec.Servers {
		n += len(s.GetHosts())
	}
	return n
}

// costOfServers counts the TLS settings of each server for each of its hosts, for
// which a filter chain may be made.
func costOfServers(o *networkingv1.Gateway) (n int) {
	for _, s := range o.Spec.Servers {
		n += max(1, len(s.GetHosts())) * proto.Size(s.GetTls())
	}
	return n
}

func egressHosts(o *networkingv1.Sidecar) (n int) {
	for _, l := range o.Spec.Egress {
		n += len(l.GetHosts())
	}
	return n
}

// costOfPolicy counts the conditions of each rule for each of its sources and
// operations, all of which they narrow.
func costOfPolicy(spec *security.AuthorizationPolicy) (n int) {
	for _, r := range spec.Rules {
		n += proto.Size(r) + (max(1, len(r.GetFrom()))+max(1, len(r.GetTo())))*sizes(r.GetWhen())
	}
	return n
}

func telemetryEntries(o *telemetryv1.Telemetry) (n int) {
	for _, m := range o.Spec.Metrics {
		overrides := 1
		for _, v := range m.GetOverrides() {
			overrides += 1 + len(v.GetTagOverrides())
		}
		n += max(1, len(m.GetProviders())) * overrides
	}
	for _, t := range o.Spec.Tracing {
		n += max(1, len(t.GetProviders())) * (1 + len(t.GetCustomTags()))
	}
	for _, l := range o.Spec.AccessLogging {
		n += max(1, len(l.GetProviders()))
	}
	return n
}

func matchesOf(o *gatewayv1.HTTPRoute) (n int) {
	for i := range o.Spec.Rules {
		n += max(1, len(o.Spec.Rules[i].Matches))
	}
	return n
}

func costOfHTTPRoute(o *gatewayv1.HTTPRoute) (n int) {
	for i := range o.Spec.Rules {
		r := &o.Spec.Rules[i]
		one := len(r.BackendRefs) + len(r.Filters)
		for j := range r.BackendRefs {
			one += len(r.BackendRefs[j].Filters)
		}
		n += max(1, len(r.Matches)) * one
	}
	return n * max(1, len(o.Spec.ParentRefs)) * max(1, len(o.Spec.Hostnames))
}

func pathsOf(o *netv1.Ingress) (n int) {
	for _, r := range o.Spec.Rules {
		if r.HTTP != nil {
			n += len(r.HTTP.Paths)
		}
		n++
	}
	return n
}

func ingressHosts(o *netv1.Ingress) (n int) {
	for _, t := range o.Spec.TLS {
		n += 1 + len(t.Hosts)
	}
	return n
}

// Plus adds a cost so many times; -1 takes it away.
func (c RuleCost) Plus(o RuleCost, sign int) RuleCost {
	return RuleCost{c.Matches + sign*o.Matches, c.Bytes + sign*o.Bytes}
}

// Times is the cost of the rules in so many places.
func (c RuleCost) Times(n int) RuleCost { return RuleCost{c.Matches * n, c.Bytes * n} }
