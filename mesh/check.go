package mesh

import (
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"

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
	if check := kinds()[ref.Kind].check; check != nil {
		return check(ref, obj)
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

func checkVirtualService(_ object.Ref, o *networkingv1.VirtualService) []object.Finding {
	v, findings := traffic.ParseVirtualService(o, object.Domain)
	return append(append(traffic.CheckRoutes(o), findings...), v.Claimless()...)
}

func checkDestinationRule(_ object.Ref, o *networkingv1.DestinationRule) []object.Finding {
	_, findings := traffic.ParseDestinationRule(o, object.Domain)
	return findings
}

func checkGateway(_ object.Ref, o *networkingv1.Gateway) []object.Finding {
	_, findings := traffic.ParseGateway(o)
	return append(traffic.CheckServers(o), findings...)
}

func checkServiceEntry(_ object.Ref, o *networkingv1.ServiceEntry) []object.Finding {
	return append(traffic.CheckEntryHosts(o), registry.ParseServiceEntry(o, object.Domain).Findings...)
}

func checkWorkloadEntry(_ object.Ref, o *networkingv1.WorkloadEntry) []object.Finding {
	return traffic.CheckWorkloadEntry(o)
}

// checkSidecar looks at the listeners; those of inbound traffic as the proxies
// of any workload would get them.
func checkSidecar(_ object.Ref, o *networkingv1.Sidecar) []object.Finding {
	return append(traffic.CheckEgress(o), ingressPorts(traffic.ParseSidecar(o), nil, func(InboundPort) {})...)
}

func checkRequestAuthentication(ref object.Ref, o *securityv1.RequestAuthentication) []object.Finding {
	_, findings := targetsOf(ref, o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
	return findings
}

func checkAuthorizationPolicy(ref object.Ref, o *securityv1.AuthorizationPolicy) []object.Finding {
	_, findings := targetsOf(ref, o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
	return findings
}

func checkTelemetry(ref object.Ref, o *telemetryv1.Telemetry) []object.Finding {
	_, findings := targetsOf(ref, o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
	return findings
}
