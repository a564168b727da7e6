package mesh

import (
	"fmt"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// targeted is a policy with references, as building keeps it: what is found about them
// changes with what they refer to.
type targeted struct {
	targets   []target
	restricts bool
}

// setTargets replaces the references of a policy and what is wrong with them by themselves.
func (b *builder) setTargets(ref object.Ref, targets []target, findings []object.Finding) {
	_, had := b.targeted[ref]
	b.foundAs(ref, "references", findings)
	if len(targets) == 0 {
		delete(b.targeted, ref)
		b.foundAs(ref, "targets", nil)
	} else {
		b.targeted[ref] = targeted{targets, ref.Kind != object.KindTelemetry}
		b.targetsIn.Add(ref.Namespace)
	}
	if !had && len(targets) == 0 {
		return
	}
	b.api.MarkGateways(func(g *gatewayapi.Gateway) bool { // pods of other namespaces serve it only without policies
		return g.Ref.Namespace == ref.Namespace && len(g.Services) > 0
	})
}

// settleTargets says again what policies refer to in vain, in the namespaces where that may
// have changed: what a policy refers to is in its own.
func (b *builder) settleTargets() {
	if b.addressed { // a Service that is the address of a Gateway of another namespace
		for g := range b.world.api.Gateways() {
			if len(g.Services) > 0 {
				b.targetsIn.Add(g.Ref.Namespace)
			}
		}
	}
	if !b.targetsStale && len(b.targetsIn) == 0 {
		return
	}
	all, stale := b.targetsStale, b.targetsIn
	b.targetsStale, b.addressed, b.targetsIn = false, false, object.Set{}
	find := func(kind object.Kind, namespace, name string) (there, selecting bool) {
		if kind == object.KindService {
			s := b.services[namespace][name]
			return s != nil, s != nil && s.Selector != nil
		}
		se := b.seByRef[object.Ref{Kind: kind, Namespace: namespace, Name: name}]
		return se != nil, se != nil && len(se.Selector) > 0
	}
	for ref, t := range b.targeted {
		if _, in := stale[ref.Namespace]; !in && !all {
			continue
		}
		b.foundAs(ref, "targets", b.world.targetFindings(ref, t, find))
	}
}

// targetFindings are what in the World keeps a policy from being attached to what it
// refers to. find looks a Service or a ServiceEntry up: whether it is there, and whether
// it selects workloads.
func (w *World) targetFindings(ref object.Ref, p targeted, find func(kind object.Kind, namespace, name string) (there, selecting bool)) (out []object.Finding) {
	found := func(t target, code object.Code, format string, args ...any) {
		out = append(out, object.Finding{Object: ref, Field: t.field, Code: code, Message: fmt.Sprintf(format, args...)})
	}
	missing := func(t target, what object.Ref, name string) {
		kind := what.Kind
		if kind == object.KindKubeGateway {
			kind = object.KindGateway // as both are called
		}
		found(t, object.CodeUnreferenced, "there is no %s %s; until there is, nothing is changed by this reference: check the name", kind, name)
		out[len(out)-1].Missing = what
	}
	for _, t := range p.targets {
		if t.guess {
			continue
		}
		switch t.kind {
		case object.KindGatewayClass:
			if ref.Namespace != w.Config.RootNamespace {
				found(t, object.CodeInvalid, "policies for a GatewayClass belong into the root namespace, %s; %s: refer to Gateways, or move the policy there", w.Config.RootNamespace, instead(ref.Kind))
			} else if w.api.LacksClass(t.name) {
				missing(t, object.Ref{Kind: object.KindGatewayClass, Name: t.name}, t.name)
			}
		case object.KindKubeGateway:
			g := w.api.Gateway(object.Ref{Kind: object.KindKubeGateway, Namespace: ref.Namespace, Name: t.name})
			switch {
			case g == nil:
				missing(t, object.Ref{Kind: object.KindKubeGateway, Namespace: ref.Namespace, Name: t.name}, ref.Namespace+"/"+t.name)
			case p.restricts && w.foreignPods(g):
				found(t, object.CodeUnsupported, "a Service of another namespace is an address of the Gateway, and policies are enforced by pods of their own namespace alone; the pods of that Service do not serve the Gateway: take out the reference, or the address")
			}
		default:
			there, selecting := find(t.kind, ref.Namespace, t.name)
			switch {
			case !there:
				missing(t, object.Ref{Kind: t.kind, Namespace: ref.Namespace, Name: t.name}, ref.Namespace+"/"+t.name)
			case !selecting:
				found(t, object.CodeInvalid, "%s %s/%s selects no workloads, and policies are enforced by workloads alone; the policy is in force nowhere for it: refer to what selects workloads, or attach the policy to the clients or an egress gateway", t.kind, ref.Namespace, t.name)
			}
		}
	}
	return out
}

// foreignPods tells whether an address of the Gateway is a Service of another namespace.
func (w *World) foreignPods(g *gatewayapi.Gateway) bool {
	for _, host := range g.Services {
		if h := w.Host(host); h != nil && h.Services[0].Kubernetes() && h.Services[0].Namespace != g.Ref.Namespace {
			return true
		}
	}
	return false
}

// targets looks up what a policy refers to.
func (r *references) targets(kind object.Kind, targets []target) {
	entries := map[string]bool{} // those of the namespace, and whether they select workloads
	for _, h := range r.world.Hosts() {
		for _, s := range h.Services {
			for _, e := range append([]object.Ref{s.Ref}, s.More...) {
				if e.Kind == object.KindServiceEntry && e.Namespace == r.ref.Namespace {
					entries[e.Name] = s.Selector != nil
				}
			}
		}
	}
	find := func(kind object.Kind, namespace, name string) (there, selecting bool) {
		if kind == object.KindServiceEntry {
			selecting, there = entries[name]
			return there, selecting
		}
		h := r.world.Host(name + "." + namespace + ".svc." + object.Domain)
		if h == nil || !h.Services[0].Kubernetes() {
			return false, false
		}
		return true, h.Services[0].Selector != nil
	}
	r.findings = append(r.findings, r.world.targetFindings(r.ref, targeted{targets, kind != object.KindTelemetry}, find)...)
}
