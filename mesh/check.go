package mesh

import (
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// Check says what is wrong with an object by itself, whatever else the mesh
// holds: the same as a World says of it, and what would leave the whole object
// without effect. Findings with CodeInvalid are about parts that cannot be
// served. Kinds of which nothing can be said have none. Nothing else is said of an object
// that is over a bound.
func Check(ref object.Ref, obj any) []object.Finding {
	if over := bounds.Check(ref, obj); len(over) > 0 {
		return over
	}
	switch o := obj.(type) {
	case *networkingv1.VirtualService:
		v, findings := traffic.ParseVirtualService(o, object.Domain)
		return append(append(traffic.CheckRoutes(o), findings...), v.Claimless()...)
	case *networkingv1.DestinationRule:
		_, findings := traffic.ParseDestinationRule(o, object.Domain)
		return findings
	case *networkingv1.Gateway:
		_, findings := traffic.ParseGateway(o)
		return append(traffic.CheckServers(o), findings...)
	case *networkingv1.ServiceEntry:
		return append(traffic.CheckEntryHosts(o), registry.ParseServiceEntry(o, object.Domain).Findings...)
	case *networkingv1.WorkloadEntry:
		return traffic.CheckWorkloadEntry(o)
	case *networkingv1.Sidecar:
		return checkSidecar(o)
	case *securityv1.PeerAuthentication:
		return checkPeerAuthentication(o)
	case *securityv1.RequestAuthentication:
		_, findings := targetsOf(ref, o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
		return findings
	case *securityv1.AuthorizationPolicy:
		_, findings := targetsOf(ref, o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
		return findings
	case *telemetryv1.Telemetry:
		_, findings := targetsOf(ref, o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
		return findings
	case *corev1.ConfigMap, *corev1.Namespace, *corev1.Service, *corev1.Pod:
		return checkCore(ref, o.(metav1.Object))
	}
	return nil
}

// Build makes the World of objects, as a Store that got them all at once. It is
// for those who look at objects without a control plane.
func Build(changes []Change) *World {
	b := newBuilder()
	b.apply(changes)
	w, _ := b.finish()
	return w
}

// checkSidecar looks at the listeners; those of inbound traffic as the proxies
// of any workload would get them.
func checkSidecar(o *networkingv1.Sidecar) (findings []object.Finding) {
	return append(traffic.CheckEgress(o), ingressPorts(traffic.ParseSidecar(o), nil, func(InboundPort) {})...)
}
