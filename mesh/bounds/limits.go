package bounds

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// Limit is how much of something one object may ask for. An object is small and
// what is made of it need not be: a few lists, each short, multiply. What
// multiplies is counted here before any of it is made, so that the work for an
// object, and the memory, follow its size.
type Limit struct {
	Kind  object.Kind
	Field string // the path of a field, or of several that multiply
	Most  int
	Unit  string            // what is counted
	Count func(obj any) int // of an object of the kind; 0 for any other
}

// The bounds that others count with as well.
const (
	MaxExpanded       = 8 << 20 // bytes that the rules of one object become for all its hosts
	MaxRoutes         = 20_000  // routes that they become
	MaxEntryPorts     = 256     // of the entries for one host
	MaxEntryAddresses = 4096    // … as well
	MaxEntryEndpoints = 50_000  // …, each for all ports
	MaxHostEndpoints  = 50_000  // … of one service, whatever they come from
	MaxListed         = 20_000  // … of one service, of addresses that its EndpointSlices list
	maxEntryListeners = 8000    // of one entry, and of all of a namespace
	MaxSubsets        = 500     // of the rules for one host
	MaxMatches        = 5000    // of one VirtualService, for one of its hosts
	maxExports        = 1000
	maxPorts          = 1000 // of a DestinationRule's settings by port
	maxPortModes      = 200  // of a PeerAuthentication: each port has filter chains of its own
	maxTargets        = 64   // of one policy; Istio's own CRDs allow 16
	maxPolicy         = MaxExpanded / 4
	maxWord           = 253      // bytes of a name, of which Kubernetes has none that is longer
	maxClusterPolicy  = 16 << 10 // bytes of a trafficPolicy, which each cluster says again
	maxHash           = 1 << 10  // bytes of the settings of a hash, which each route to the host says again
	// PlainPolicy is how many bytes of a trafficPolicy count for nothing: a cluster without
	// any takes as much.
	PlainPolicy = 1 << 10
)

// Limits are those of each kind. They lie well over what people write: Istio's own
// CRDs allow 256 hosts, addresses and ports and 4,096 endpoints of a ServiceEntry, and
// a VirtualService of a thousand routes is a large one.
var Limits = []Limit{
	{object.KindVirtualService, "spec.hosts", 1000, "hosts", of(func(o *networkingv1.VirtualService) int { return len(o.Spec.Hosts) })},
	{object.KindVirtualService, "spec.gateways", 256, "gateways", of(func(o *networkingv1.VirtualService) int { return len(o.Spec.Gateways) })},
	{object.KindVirtualService, "spec.exportTo", maxExports, "namespaces", of(func(o *networkingv1.VirtualService) int { return len(o.Spec.ExportTo) })},
	{object.KindVirtualService, "spec.http, tcp and tls", MaxMatches, "matches", of(func(o *networkingv1.VirtualService) int { return CostOfRules(&o.Spec).Matches })},
	{object.KindVirtualService, "spec.hosts × matches", MaxRoutes, "routes", of(func(o *networkingv1.VirtualService) int {
		return max(1, len(o.Spec.Hosts)) * CostOfRules(&o.Spec).Matches
	})},
	{object.KindVirtualService, "spec.hosts × matches × what their rules say", MaxExpanded, "bytes", of(func(o *networkingv1.VirtualService) int {
		return max(1, len(o.Spec.Hosts)) * CostOfRules(&o.Spec).Bytes
	})},

	{object.KindDestinationRule, "spec.subsets", MaxSubsets, "subsets", of(func(o *networkingv1.DestinationRule) int { return len(o.Spec.Subsets) })},
	{object.KindDestinationRule, "spec.exportTo", maxExports, "namespaces", of(func(o *networkingv1.DestinationRule) int { return len(o.Spec.ExportTo) })},
	{object.KindDestinationRule, "portLevelSettings", maxPorts, "entries", of(func(o *networkingv1.DestinationRule) int { return portSettings(&o.Spec) })},
	{object.KindDestinationRule, "spec.subsets × trafficPolicy", MaxExpanded, "bytes", of(func(o *networkingv1.DestinationRule) int { return costOfPolicies(&o.Spec) })},

	{object.KindServiceEntry, "spec.hosts", 256, "hosts", of(func(o *networkingv1.ServiceEntry) int { return len(o.Spec.Hosts) })},
	{object.KindServiceEntry, "spec.addresses", MaxEntryAddresses, "addresses", of(func(o *networkingv1.ServiceEntry) int { return len(o.Spec.Addresses) })},
	{object.KindServiceEntry, "spec.ports", MaxEntryPorts, "ports", of(func(o *networkingv1.ServiceEntry) int { return len(o.Spec.Ports) })},
	{object.KindServiceEntry, "spec.endpoints", 4096, "endpoints", of(func(o *networkingv1.ServiceEntry) int { return len(o.Spec.Endpoints) })},
	{object.KindServiceEntry, "spec.exportTo", maxExports, "namespaces", of(func(o *networkingv1.ServiceEntry) int { return len(o.Spec.ExportTo) })},
	{object.KindServiceEntry, "spec.hosts × ports", 2000, "clusters", of(clustersOf)},
	{object.KindServiceEntry, "spec.hosts × addresses × ports", 20_000, "addresses of listeners", of(func(o *networkingv1.ServiceEntry) int { return clustersOf(o) * len(o.Spec.Addresses) })},
	{object.KindServiceEntry, "spec.hosts × addresses × ports that are not HTTP", maxEntryListeners, "listeners", of(entryListeners)},
	{object.KindServiceEntry, "spec.hosts × endpoints × ports", MaxEntryEndpoints, "endpoints of clusters", of(func(o *networkingv1.ServiceEntry) int { return clustersOf(o) * len(o.Spec.Endpoints) })},
	{object.KindServiceEntry, "spec.hosts × ports × what they share", 2 * MaxExpanded, "bytes", of(func(o *networkingv1.ServiceEntry) int {
		return clustersOf(o) * proto.Size(&networking.ServiceEntry{Endpoints: o.Spec.Endpoints, SubjectAltNames: o.Spec.SubjectAltNames})
	})},

	{object.KindWorkloadEntry, "spec.ports", 1000, "ports", of(func(o *networkingv1.WorkloadEntry) int { return len(o.Spec.Ports) })},
	{object.KindService, "spec.ports", 1000, "ports", of(func(o *corev1.Service) int { return len(o.Spec.Ports) })},

	{object.KindGateway, "spec.servers", 1000, "servers", of(func(o *networkingv1.Gateway) int { return len(o.Spec.Servers) })},
	{object.KindGateway, "spec.servers[*].hosts", 5000, "hosts", of(serverHosts)},
	{object.KindGateway, "spec.servers[*].hosts × tls", MaxExpanded, "bytes", of(costOfServers)},

	{object.KindSidecar, "spec.egress", 256, "listeners", of(func(o *networkingv1.Sidecar) int { return len(o.Spec.Egress) })},
	{object.KindSidecar, "spec.egress[*].hosts", 5000, "hosts", of(egressHosts)},
	{object.KindSidecar, "spec.ingress", 256, "listeners", of(func(o *networkingv1.Sidecar) int { return len(o.Spec.Ingress) })},

	{object.KindAuthorizationPolicy, "spec.targetRefs", maxTargets, "references", of(func(o *securityv1.AuthorizationPolicy) int { return len(o.Spec.TargetRefs) })},
	{object.KindRequestAuthentication, "spec.targetRefs", maxTargets, "references", of(func(o *securityv1.RequestAuthentication) int { return len(o.Spec.TargetRefs) })},
	{object.KindTelemetry, "spec.targetRefs", maxTargets, "references", of(func(o *telemetryv1.Telemetry) int { return len(o.Spec.TargetRefs) })},
	{object.KindAuthorizationPolicy, "spec.rules × from and to × when", maxPolicy, "bytes", of(func(o *securityv1.AuthorizationPolicy) int { return costOfPolicy(&o.Spec) })},
	{object.KindPeerAuthentication, "spec.portLevelMtls", maxPortModes, "ports", of(func(o *securityv1.PeerAuthentication) int { return len(o.Spec.PortLevelMtls) })},
	{object.KindRequestAuthentication, "spec.jwtRules", 256, "rules", of(func(o *securityv1.RequestAuthentication) int { return len(o.Spec.JwtRules) })},
	{object.KindTelemetry, "spec", 16 << 10, "bytes", of(func(o *telemetryv1.Telemetry) int { return proto.Size(&o.Spec) })}, // every listener says it again
	{object.KindTelemetry, "spec.metrics, tracing and accessLogging", 1000, "entries with their providers and overrides", of(telemetryEntries)},

	{object.KindHTTPRoute, "spec.rules", 1000, "matches", of(func(o *gatewayv1.HTTPRoute) int { return matchesOf(o) })},
	{object.KindHTTPRoute, "spec.parentRefs × hostnames × matches", MaxRoutes, "routes", of(func(o *gatewayv1.HTTPRoute) int {
		return max(1, len(o.Spec.ParentRefs)) * max(1, len(o.Spec.Hostnames)) * matchesOf(o)
	})},
	{object.KindHTTPRoute, "spec.parentRefs × hostnames × matches × backendRefs and filters", 200_000, "backends and filters", of(costOfHTTPRoute)},
	{object.KindIngress, "spec.rules", 5000, "paths", of(pathsOf)},
	{object.KindIngress, "spec.tls", 5000, "hosts", of(ingressHosts)},
}

// exportTo is the annotation that says to which namespaces a Service is exported.
const exportTo = "networking.istio.io/exportTo"

// Lengths are bounds of what clusters and their endpoints say again, and of lists in
// annotations. How long a word is tells nothing of the work for an object.
var Lengths = []Limit{
	{object.KindDestinationRule, "spec.subsets[*].name", maxWord, "bytes", of(func(o *networkingv1.DestinationRule) int { return longestSubset(&o.Spec) })},
	{object.KindDestinationRule, "a trafficPolicy, of the rule, a subset or a port", maxClusterPolicy, "bytes", of(func(o *networkingv1.DestinationRule) int { return largestPolicy(&o.Spec) })},
	{object.KindDestinationRule, "loadBalancer.consistentHash", maxHash, "bytes", of(func(o *networkingv1.DestinationRule) int { return largestHash(&o.Spec) })},
	{object.KindService, "metadata.annotations[" + exportTo + "]", maxExports, "namespaces", of(func(o *corev1.Service) int { return strings.Count(o.Annotations[exportTo], ",") + 1 })},
	{object.KindServiceEntry, "a value of spec.endpoints[*].labels, locality, network and serviceAccount", maxWord, "bytes", of(func(o *networkingv1.ServiceEntry) int { return longestWord(o.Spec.Endpoints...) })},
	{object.KindWorkloadEntry, "a value of spec.labels, locality, network and serviceAccount", maxWord, "bytes", of(func(o *networkingv1.WorkloadEntry) int { return longestWord(&o.Spec) })},
}

// of is the count for one type of object; others have none.
func of[T any](count func(*T) int) func(any) int {
	return func(obj any) int {
		if o, ok := obj.(*T); ok && o != nil {
			return count(o)
		}
		return 0
	}
}

// Bounded tells whether objects of a kind have bounds.
func Bounded(kind object.Kind) bool {
	return slices.ContainsFunc(slices.Concat(Limits, Lengths), func(l Limit) bool { return l.Kind == kind })
}

// Check says which bounds an object is over. Such an object is not used at all:
// what a part of it would do, nobody asked for.
func Check(ref object.Ref, obj any) (findings []object.Finding) {
	check := func(list []Limit, remedy string) {
		for _, b := range list {
			if b.Kind != ref.Kind {
				continue
			}
			if n := b.Count(obj); n > b.Most {
				findings = append(findings, object.Finding{Object: ref, Field: b.Field, Code: object.CodeInvalid,
					Message: fmt.Sprintf("it is too large, with %d %s of at most %d: %s; %s", n, b.Unit, b.Most, leftOut(ref.Kind), remedy)})
			}
		}
	}
	check(Limits, "split it into several objects")
	check(Lengths, "say less there")
	return findings
}

// leftOut is what happens instead of an object that is over a bound.
func leftOut(kind object.Kind) string {
	switch kind {
	case object.KindAuthorizationPolicy:
		return "this version of it is not in force, and a new one denies all that it selects"
	case object.KindDestinationRule:
		return "this version of it is not in force, and of a new one only its TLS settings are"
	case object.KindPeerAuthentication:
		return "this version of it is not in force, and a new one is STRICT"
	case object.KindRequestAuthentication:
		return "this version of it is not in force, and a new one accepts no token"
	}
	return "this version of it is not in force"
}

// Restricted is what is in force of an object that is over a bound when nothing was
// before: nil, or what keeps closed what the object would have closed.
func Restricted(obj any) any {
	switch o := obj.(type) {
	case *securityv1.AuthorizationPolicy: // ALLOW without rules
		out := &securityv1.AuthorizationPolicy{ObjectMeta: o.ObjectMeta}
		if len(o.Spec.TargetRefs) <= maxTargets { // else it is for the whole namespace
			out.Spec.Selector, out.Spec.TargetRef, out.Spec.TargetRefs = o.Spec.Selector, o.Spec.TargetRef, o.Spec.TargetRefs
		}
		return out
	case *securityv1.RequestAuthentication: // tokens of a rule without keys are refused
		out := &securityv1.RequestAuthentication{ObjectMeta: o.ObjectMeta}
		if len(o.Spec.TargetRefs) <= maxTargets {
			out.Spec.Selector, out.Spec.TargetRef, out.Spec.TargetRefs = o.Spec.Selector, o.Spec.TargetRef, o.Spec.TargetRefs
		}
		if len(o.Spec.JwtRules) > 0 {
			out.Spec.JwtRules = []*security.JWTRule{{Issuer: object.Shortened(o.Spec.JwtRules[0].GetIssuer()), Jwks: `{"keys":[]}`}}
		}
		return out
	case *securityv1.PeerAuthentication:
		out := &securityv1.PeerAuthentication{ObjectMeta: o.ObjectMeta}
		out.Spec.Selector, out.Spec.Mtls = o.Spec.Selector, &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_STRICT}
		return out
	case *networkingv1.DestinationRule:
		out := &networkingv1.DestinationRule{ObjectMeta: o.ObjectMeta}
		out.Spec.Host, out.Spec.ExportTo, out.Spec.WorkloadSelector = o.Spec.Host, o.Spec.ExportTo[:min(len(o.Spec.ExportTo), maxExports)], o.Spec.WorkloadSelector
		out.Spec.TrafficPolicy = leanPolicy(o.Spec.TrafficPolicy, maxClusterPolicy)
		return out
	}
	return nil
}

// LeanPolicy is what is in force of a policy that too many clusters would say again: its TLS
// settings, such that no server is trusted where they are no plain ones.
func LeanPolicy(p *networking.TrafficPolicy) *networking.TrafficPolicy {
	return leanPolicy(p, PlainPolicy)
}

func leanPolicy(p *networking.TrafficPolicy, most int) *networking.TrafficPolicy {
	out := &networking.TrafficPolicy{Tls: restrictedTLS(p.GetTls(), most)}
	ports := p.GetPortLevelSettings()
	if len(ports) > maxPorts { // which ones are to have TLS is more than is read
		out.Tls, ports = trustNobody(networking.ClientTLSSettings_SIMPLE), nil
	}
	for _, at := range ports {
		// A port without TLS settings takes none of the rule's.
		if at.GetTls() != nil || out.Tls != nil {
			out.PortLevelSettings = append(out.PortLevelSettings, &networking.TrafficPolicy_PortTrafficPolicy{Port: at.Port, Tls: restrictedTLS(at.Tls, most)})
		}
	}
	return out
}

// nobody is a name that no server has (RFC 6761, section 6.4).
const nobody = "too-large.invalid"

// restrictedTLS is the settings, or where they are too large for each cluster to say them
// such that no server is trusted.
func restrictedTLS(t *networking.ClientTLSSettings, most int) *networking.ClientTLSSettings {
	if proto.Size(t) <= most {
		return t
	}
	mode := networking.ClientTLSSettings_SIMPLE
	if t.Mode == networking.ClientTLSSettings_ISTIO_MUTUAL {
		mode = t.Mode
	}
	return trustNobody(mode)
}

func trustNobody(mode networking.ClientTLSSettings_TLSmode) *networking.ClientTLSSettings {
	return &networking.ClientTLSSettings{Mode: mode, SubjectAltNames: []string{nobody}}
}
