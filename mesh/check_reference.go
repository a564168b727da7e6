package mesh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// CheckReferences says what of an object would not be in force in this World,
// were it added to it or had it replaced what has its name: hosts and subsets
// that do not exist, objects that win against it, selectors that select
// nothing. All of that may be mended by other objects later. When ctx ends it says
// what it has found until then.
func (w *World) CheckReferences(ctx context.Context, ref object.Ref, obj any) []object.Finding {
	return w.NamesOfOne().Check(ctx, ref, obj)
}

// NamesOfOne are the names of the World for who checks one object alone.
func (w *World) NamesOfOne() *Names { return &Names{world: w} }

// Names looks up what objects name, for those who check many objects of one World.
type Names struct {
	world *World
	// workloads are those that have a pair of labels, by namespace and pair; nil: all are
	// looked at each time.
	workloads map[string][]*registry.Workload
	routed    map[string]bool // hosts that routes for requests lead to; nil until somebody asks
}

// Names are the names of the World. To make them costs as much as the World has workloads.
func (w *World) Names() *Names {
	n := &Names{world: w, workloads: map[string][]*registry.Workload{}}
	for _, x := range w.Workloads() {
		for k, v := range x.Labels {
			for _, namespace := range []string{"", x.Namespace} {
				key := namespace + "/" + k + "=" + v
				n.workloads[key] = append(n.workloads[key], x)
			}
		}
	}
	return n
}

// Check is World.CheckReferences.
func (n *Names) Check(ctx context.Context, ref object.Ref, obj any) []object.Finding {
	r := &references{ctx: ctx, world: n.world, names: n, ref: ref}
	if refer := kinds()[ref.Kind].refer; refer != nil {
		refer(r, obj)
	}
	return r.findings
}

// references looks an object's names up.
type references struct {
	ctx      context.Context //nolint:containedctx // of the one call that it serves
	world    *World
	names    *Names
	ref      object.Ref
	findings []object.Finding
}

func (r *references) found(code object.Code, winner object.Ref, field, format string, args ...any) {
	r.findings = append(r.findings, object.Finding{Object: r.ref, Field: field, Code: code, Winner: winner, Message: fmt.Sprintf(format, args...)})
}

// missing reports what is not there.
func (r *references) missing(code object.Code, what object.Ref, field, format string, args ...any) {
	r.findings = append(r.findings, object.Finding{Object: r.ref, Field: field, Code: code, Missing: what, Message: fmt.Sprintf(format, args...)})
}

func (r *references) workloadEntry(o *networkingv1.WorkloadEntry) {
	r.leadsInside(registry.ParseWorkloadEntry(&o.Spec, r.ref, o.Labels, o.CreationTimestamp.Time).Address())
}

func (r *references) gateway(o *networkingv1.Gateway) {
	r.selected("spec.selector", o.Spec.Selector, "")
}

func (r *references) sidecar(o *networkingv1.Sidecar) {
	r.selected("spec.workloadSelector", o.Spec.GetWorkloadSelector().GetLabels(), o.Namespace)
	r.egressHosts(o)
}

// selected looks for a workload; namespace "" is any.
func (r *references) selected(field string, selector map[string]string, namespace string) {
	if len(selector) == 0 || r.world.workloads.Len() == 0 { // without any, workloads are not what this World is about
		return
	}
	if r.names.anyWith(selector, namespace) {
		return
	}
	where := "in any namespace"
	if namespace != "" {
		where = "in namespace " + namespace
	}
	r.missing(object.CodeUnreferenced, object.Ref{Kind: object.KindWorkload, Namespace: namespace}, field,
		"no workload %s has these labels (%s); until one has, nothing is changed by this object: correct the labels, or apply the workload", where, object.CanonicalLabels(selector))
}

// anyWith tells whether a workload of the namespace ("" is any) has the labels.
func (n *Names) anyWith(selector map[string]string, namespace string) bool {
	fits := func(x *registry.Workload) bool {
		return (namespace == "" || x.Namespace == namespace) && object.Selects(selector, x.Labels)
	}
	if n.workloads != nil {
		for k, v := range selector {
			return slices.ContainsFunc(n.workloads[namespace+"/"+k+"="+v], fits)
		}
	}
	for _, x := range n.world.Workloads() {
		if fits(x) {
			return true
		}
	}
	return false
}

func (r *references) virtualService(o *networkingv1.VirtualService) {
	v, _ := traffic.ParseVirtualService(o, object.Domain)
	for i, name := range o.Spec.Gateways {
		if g := traffic.ResolveGateway(name, o.Namespace); g != object.MeshGateway && r.world.Gateway(g) == nil {
			r.noGateway(g, fmt.Sprintf("spec.gateways[%d]", i))
		}
	}
	scope := Scope{Role: RoleRouter, Namespace: o.Namespace}
	if v.On(object.MeshGateway) {
		scope.Role = RoleSidecar
		r.findings = append(r.findings, v.Uncovered(r.world.Config.RootNamespace, r.world.Config.DefaultVirtualServiceExportTo)...)
		r.overridden(o, v)
	}
	view := r.world.View(scope)
	if len(v.Delegates) > 0 {
		r.delegated(v)
	}
	r.ruled(v)
	eachDestinationField(&o.Spec, func(field string, d *networking.Destination) { r.destination(view, field, d) })
	for i, rule := range o.Spec.Http {
		if rule.Delegate == nil {
			continue
		}
		if name := traffic.DelegateName(rule.Delegate, o.Namespace); !r.exists(name) {
			namespace, of, _ := strings.Cut(name, "/")
			r.missing(object.CodeDelegateMissing, object.Ref{Kind: object.KindVirtualService, Namespace: namespace, Name: of}, fmt.Sprintf("spec.http[%d].delegate", i), traffic.NoDelegate, name, o.Namespace)
		}
	}
}

// noGateway reports that a VirtualService names a Gateway that there is not, or one of
// the other API.
func (r *references) noGateway(name, field string) {
	if namespace, of, _ := strings.Cut(name, "/"); r.world.api.Gateway(object.Ref{Kind: object.KindKubeGateway, Namespace: namespace, Name: of}) != nil {
		r.found(object.CodeUnreferenced, object.Ref{}, field, "%s is a Gateway of the Gateway API, to which no VirtualService is bound; nothing is routed by it: write an HTTPRoute, or a Gateway of networking.istio.io", name)
		return
	}
	namespace, of, _ := strings.Cut(name, "/")
	r.missing(object.CodeUnreferenced, object.Ref{Kind: object.KindGateway, Namespace: namespace, Name: of}, field, "there is no Gateway %s; until there is, nothing is routed by it", name)
}

// delegated reports that the rules are too many together with those of the delegates
// that there are.
func (r *references) delegated(v *traffic.VirtualService) {
	_, findings := traffic.MergeDelegates(v, func(name string) *traffic.VirtualService {
		d, _ := r.world.virtualServices.Get(name)
		return d
	}, nil)
	for _, f := range findings {
		if f.Field == traffic.DelegatedField {
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
func (r *references) overridden(o *networkingv1.VirtualService, v *traffic.VirtualService) {
	created := v.Created
	if created.IsZero() && !r.exists(o.Namespace+"/"+o.Name) {
		created = time.Now()
	}
	for i, h := range o.Spec.Hosts {
		if r.ctx.Err() != nil {
			return
		}
		list, _ := r.world.routes.Get(object.ResolveHost(h, o.Namespace, object.Domain))
		for _, other := range list {
			if other.Ref != v.Ref && other.On(object.MeshGateway) && other.ExportTo.VisibleFrom(other.Namespace, o.Namespace, r.world.Config.DefaultVirtualServiceExportTo) &&
				object.Older(other.Created, other.Ref, created, v.Ref) < 0 {
				r.found(object.CodeConflict, other.Ref, fmt.Sprintf("spec.hosts[%d]", i), "an older VirtualService has the host already; this one is ignored for it on sidecars: put the rules into one object")
				break
			}
		}
	}
}

// destination looks for the host, the port and the subset of a route.
func (r *references) destination(view *View, field string, d *networking.Destination) {
	if r.ctx.Err() != nil || !traffic.DestinationHost(d.GetHost()) { // which is told by itself
		return
	}
	host := object.ResolveHost(d.GetHost(), r.ref.Namespace, object.Domain)
	s, _ := view.Service(host)
	if s == nil {
		r.missing(object.CodeHostNotFound, object.Ref{Kind: object.KindHost, Name: host}, field+".host", "no Service or ServiceEntry visible from namespace %s has the host %s; requests get 503 until there is one: check the name", r.ref.Namespace, host)
		if subset := d.GetSubset(); subset != "" && view.lacksSubset(host, subset) {
			r.found(object.CodeSubsetMissing, object.Ref{}, field+".subset", "no DestinationRule in force for host %s defines subset %q; requests get 503 until one does", host, subset)
		}
		return
	}
	if port := d.GetPort().GetNumber(); port != 0 && s.Port(port) == nil {
		r.found(object.CodePortNotFound, object.Ref{}, field+".port", "host %s has no port %d; requests get 503: use one of its ports", host, port)
	}
	if subset := d.GetSubset(); subset != "" && view.Rule(s).Subset(subset) == nil {
		r.found(object.CodeSubsetMissing, object.Ref{}, field+".subset", "no DestinationRule in force for host %s defines subset %q; requests get 503 until one does", host, subset)
	}
}

func (r *references) destinationRule(o *networkingv1.DestinationRule) {
	rule, _ := traffic.ParseDestinationRule(o, object.Domain)
	if rule == nil {
		return
	}
	if !r.covers(rule.Host) {
		r.missing(object.CodeHostNotFound, object.Ref{Kind: object.KindHost, Name: rule.Host}, "spec.host", "no Service or ServiceEntry has the host %s; until there is one, the rule is not used: check the name, which is resolved in namespace %s", rule.Host, o.Namespace)
	}
	r.subsets(rule)
	r.twiceTLS(rule)
	if rule.Created.IsZero() {
		rule.Created = time.Now()
	}
	others, _ := r.world.rules.Get(rule.Host)
	for _, other := range others {
		if other.Namespace != rule.Namespace || slices.Contains(other.Refs, r.ref) {
			continue
		}
		_, findings := traffic.MergeDestinationRules([]*traffic.DestinationRule{other, rule})
		for _, f := range findings {
			if f.Object == r.ref {
				r.findings = append(r.findings, f)
			}
		}
	}
}

// covers tells whether the host or pattern is that of some service.
func (r *references) covers(pattern string) bool {
	if !object.IsWildcard(pattern) {
		return r.world.Host(pattern) != nil
	}
	for name := range r.world.Hosts() {
		if object.HostMatches(pattern, name) {
			return true
		}
	}
	return false
}

// subsets reports subsets whose labels no endpoint has, of a host that has some.
func (r *references) subsets(rule *traffic.DestinationRule) {
	h := r.world.Host(rule.Host)
	if h == nil || len(rule.Subsets) == 0 {
		return
	}
	var labels []map[string]string
	for i, s := range h.Services {
		for pair, value := range s.Selector {
			for _, x := range r.names.having(s.Namespace, pair, value) {
				if object.Selects(s.Selector, x.Labels) {
					labels = append(labels, x.Labels)
				}
			}
			break
		}
		if i < len(h.Endpoints) && h.Endpoints[i] != nil {
			for _, e := range h.Endpoints[i].Endpoints {
				labels = append(labels, e.Workload.Labels)
			}
		}
	}
	if len(labels) == 0 {
		return
	}
	for _, s := range rule.Subsets {
		if len(s.Labels) > 0 && !slices.ContainsFunc(labels, func(l map[string]string) bool { return object.Selects(s.Labels, l) }) {
			r.found(object.CodeSubsetMissing, object.Ref{}, "spec.subsets["+s.Name+"].labels", "no pod or endpoint of host %s has the labels of subset %q (%s); requests for it get 503 until one has: correct the labels",
				rule.Host, s.Name, object.CanonicalLabels(s.Labels))
		}
	}
}

// having are the workloads of the namespace that have a pair of labels.
func (n *Names) having(namespace, key, value string) (out []*registry.Workload) {
	if n.workloads != nil {
		return n.workloads[namespace+"/"+key+"="+value]
	}
	for _, x := range n.world.Workloads() {
		if x.Namespace == namespace && x.Labels[key] == value {
			out = append(out, x)
		}
	}
	return out
}

// lacksSubset tells whether there are rules for a host, of which nothing else is known,
// and none of those in force for the view defines the subset.
func (v *View) lacksSubset(host, subset string) bool {
	rules, _ := v.rules.Get(host)
	there := false
	for _, rule := range rules {
		if v.ruleApplies(rule) {
			if there = true; rule.Subset(subset) != nil {
				return false
			}
		}
	}
	return there
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
