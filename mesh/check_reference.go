package mesh

import (
	"context"
	"fmt"
	"slices"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CheckReferences says what of an object would not be in force in this World,
// were it added to it or had it replaced what has its name: hosts and subsets
// that do not exist, objects that win against it, selectors that select
// nothing. All of that may be mended by other objects later. When ctx ends it says
// what it has found until then.
func (w *World) CheckReferences(ctx context.Context, object any) []Finding {
	r := &references{ctx: ctx, world: w}
	switch o := object.(type) {
	case *networkingv1.VirtualService:
		r.ref = Ref{KindVirtualService, o.Namespace, o.Name}
		r.virtualService(o)
	case *networkingv1.DestinationRule:
		r.ref = Ref{KindDestinationRule, o.Namespace, o.Name}
		r.destinationRule(o)
	case *networkingv1.ServiceEntry:
		r.ref = Ref{KindServiceEntry, o.Namespace, o.Name}
		r.serviceEntry(o)
	case *networkingv1.WorkloadEntry:
		r.ref = Ref{KindWorkloadEntry, o.Namespace, o.Name}
		r.leadsInside(entryWorkload(&o.Spec, r.ref, o.Labels, o.CreationTimestamp.Time).Address())
	case *networkingv1.Gateway:
		r.ref = Ref{KindGateway, o.Namespace, o.Name}
		r.selected("spec.selector", o.Spec.Selector, "")
	case *networkingv1.Sidecar:
		r.ref = Ref{KindSidecar, o.Namespace, o.Name}
		r.selected("spec.workloadSelector", o.Spec.GetWorkloadSelector().GetLabels(), o.Namespace)
	case *securityv1.PeerAuthentication:
		r.policy(KindPeerAuthentication, o, o.Spec.GetSelector().GetMatchLabels())
	case *securityv1.RequestAuthentication:
		r.policy(KindRequestAuthentication, o, o.Spec.GetSelector().GetMatchLabels(), append([]*typev1.PolicyTargetReference{o.Spec.TargetRef}, o.Spec.TargetRefs...)...)
	case *securityv1.AuthorizationPolicy:
		r.policy(KindAuthorizationPolicy, o, o.Spec.GetSelector().GetMatchLabels(), append([]*typev1.PolicyTargetReference{o.Spec.TargetRef}, o.Spec.TargetRefs...)...)
	case *telemetryv1.Telemetry:
		r.policy(KindTelemetry, o, o.Spec.GetSelector().GetMatchLabels(), append([]*typev1.PolicyTargetReference{o.Spec.TargetRef}, o.Spec.TargetRefs...)...)
	default:
		return w.checkGatewayAPI(object)
	}
	return r.findings
}

// references looks an object's names up.
type references struct {
	ctx      context.Context //nolint:containedctx // of the one call that it serves
	world    *World
	ref      Ref
	findings []Finding
}

func (r *references) found(code Code, winner Ref, field, format string, args ...any) {
	r.findings = append(r.findings, Finding{Object: r.ref, Field: field, Code: code, Winner: winner, Message: fmt.Sprintf(format, args...)})
}

func (r *references) policy(kind Kind, o metav1.Object, selector map[string]string, targets ...*typev1.PolicyTargetReference) {
	r.ref = Ref{kind, o.GetNamespace(), o.GetName()}
	namespace := o.GetNamespace()
	if namespace == r.world.Config.RootNamespace {
		namespace = ""
	}
	r.selected("spec.selector", selector, namespace)
	if len(targets) > 0 && (targets[0] != nil || len(targets) > 1) {
		read, _ := targetsOf(r.ref, selector, targets[0], targets[1:])
		r.targets(kind, read)
	}
}

// selected looks for a workload; namespace "" is any.
func (r *references) selected(field string, selector map[string]string, namespace string) {
	if len(selector) == 0 || r.world.workloads.Len() == 0 { // without any, workloads are not what this World is about
		return
	}
	for _, x := range r.world.Workloads() {
		if (namespace == "" || x.Namespace == namespace) && selects(selector, x.Labels) {
			return
		}
	}
	where := "in any namespace"
	if namespace != "" {
		where = "in namespace " + namespace
	}
	r.found(CodeUnreferenced, Ref{}, field, "no workload %s has these labels (%s); until one has, nothing is changed by this object", where, canonicalLabels(selector))
}

func (r *references) virtualService(o *networkingv1.VirtualService) {
	v, _ := parseVirtualService(o, Domain)
	for i, name := range o.Spec.Gateways {
		if g := ResolveGateway(name, o.Namespace); g != MeshGateway && r.world.Gateway(g) == nil {
			r.found(CodeUnreferenced, Ref{}, fmt.Sprintf("spec.gateways[%d]", i), "there is no Gateway %s; until there is, nothing is routed by it", g)
		}
	}
	scope := Scope{Role: RoleRouter, Namespace: o.Namespace}
	if v.On(MeshGateway) {
		scope.Role = RoleSidecar
		r.findings = append(r.findings, v.uncovered(r.world.Config)...)
		r.overridden(o, v)
	}
	view := r.world.View(scope)
	if len(v.Delegates) > 0 {
		r.delegated(v)
	}
	eachDestinationField(&o.Spec, func(field string, d *networking.Destination) { r.destination(view, field, d) })
	for i, rule := range o.Spec.Http {
		if rule.Delegate == nil {
			continue
		}
		if name := delegateName(rule.Delegate, o.Namespace); !r.exists(name) {
			r.found(CodeInvalid, Ref{}, fmt.Sprintf("spec.http[%d].delegate", i), noDelegate, name, o.Namespace)
		}
	}
}

// delegated reports that the rules are too many together with those of the delegates
// that there are.
func (r *references) delegated(v *VirtualService) {
	_, findings := mergeDelegates(v, func(name string) *VirtualService {
		d, _ := r.world.virtualServices.Get(name)
		return d
	})
	for _, f := range findings {
		if f.Field == delegatedField {
			r.findings = append(r.findings, f)
		}
	}
}

func (r *references) exists(virtualService string) bool {
	_, ok := r.world.virtualServices.Get(virtualService)
	return ok
}

// overridden reports hosts for which an older VirtualService of the sidecars is
// in force.
func (r *references) overridden(o *networkingv1.VirtualService, v *VirtualService) {
	created := v.Created
	if created.IsZero() && !r.exists(o.Namespace+"/"+o.Name) {
		created = time.Now()
	}
	for i, h := range o.Spec.Hosts {
		if r.ctx.Err() != nil {
			return
		}
		list, _ := r.world.routes.Get(ResolveHost(h, o.Namespace, Domain))
		for _, other := range list {
			if other.Ref != v.Ref && other.On(MeshGateway) && other.ExportTo.VisibleFrom(other.Namespace, o.Namespace, r.world.Config.DefaultVirtualServiceExportTo) &&
				older(other.Created, other.Ref, created, v.Ref) < 0 {
				r.found(CodeConflict, other.Ref, fmt.Sprintf("spec.hosts[%d]", i), "an older VirtualService has the host already; this one is ignored for it on sidecars: put the rules into one object")
				break
			}
		}
	}
}

// destination looks for the host, the port and the subset of a route.
func (r *references) destination(view *View, field string, d *networking.Destination) {
	if r.world.HostCount() == 0 || r.ctx.Err() != nil { // without any, hosts are not what this World is about
		return
	}
	host := ResolveHost(d.GetHost(), r.ref.Namespace, Domain)
	s, _ := view.Service(host)
	if s == nil {
		r.found(CodeHostNotFound, Ref{}, field+".host", "no Service or ServiceEntry visible from namespace %s has the host %s; requests get 503 until there is one: check the name", r.ref.Namespace, host)
		return
	}
	if port := d.GetPort().GetNumber(); port != 0 && s.Port(port) == nil {
		r.found(CodePortNotFound, Ref{}, field+".port", "host %s has no port %d; requests get 503: use one of its ports", host, port)
	}
	if subset := d.GetSubset(); subset != "" && view.Rule(s).Subset(subset) == nil {
		r.found(CodeSubsetMissing, Ref{}, field+".subset", "no DestinationRule in force for host %s defines subset %q; requests get 503 until one does", host, subset)
	}
}

func (r *references) destinationRule(o *networkingv1.DestinationRule) {
	rule, _ := parseDestinationRule(o, Domain)
	if rule == nil {
		return
	}
	known := r.world.HostCount() == 0
	for name := range r.world.Hosts() {
		if HostMatches(rule.Host, name) {
			known = true
			break
		}
	}
	if !known {
		r.found(CodeHostNotFound, Ref{}, "spec.host", "no Service or ServiceEntry has the host %s; until there is one, the rule is not used: check the name, which is resolved in namespace %s", rule.Host, o.Namespace)
	}
	if rule.Created.IsZero() {
		rule.Created = time.Now()
	}
	others, _ := r.world.rules.Get(rule.Host)
	for _, other := range others {
		if other.Namespace != rule.Namespace || slices.Contains(other.Refs, r.ref) {
			continue
		}
		_, findings := mergeDestinationRules([]*DestinationRule{other, rule})
		for _, f := range findings {
			if f.Object == r.ref {
				r.findings = append(r.findings, f)
			}
		}
	}
}

// eachDestinationField calls f with every destination and where it stands.
func eachDestinationField(spec *networking.VirtualService, f func(field string, d *networking.Destination)) {
	call := func(d *networking.Destination, format string, args ...any) {
		if d != nil {
			f(fmt.Sprintf(format, args...), d)
		}
	}
	for i, rule := range spec.Http {
		for j, d := range rule.Route {
			call(d.GetDestination(), "spec.http[%d].route[%d].destination", i, j)
		}
		call(rule.Mirror, "spec.http[%d].mirror", i)
		for j, m := range rule.Mirrors {
			call(m.GetDestination(), "spec.http[%d].mirrors[%d].destination", i, j)
		}
	}
	for i, rule := range spec.Tcp {
		for j, d := range rule.Route {
			call(d.GetDestination(), "spec.tcp[%d].route[%d].destination", i, j)
		}
	}
	for i, rule := range spec.Tls {
		for j, d := range rule.Route {
			call(d.GetDestination(), "spec.tls[%d].route[%d].destination", i, j)
		}
	}
}
