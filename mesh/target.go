package mesh

import (
	"fmt"
	"slices"

	security "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// target is an object that a policy is attached to (targetRefs): the policy is for the
// workloads behind it, and for no others.
type target struct {
	kind  object.Kind
	name  string // "": every object of the kind
	field string
	// guess is for a reference that is wrong: the object is one that it may have meant. What
	// restricts is then in force there so that it lets nobody in, see Policy.closed.
	guess bool
}

// targetGroups are the groups of the kinds that policies attach to. "core" is what some
// call the group "".
var targetGroups = map[object.Kind][]string{
	object.KindKubeGateway:  {gatewayapi.Group},
	object.KindGatewayClass: {gatewayapi.Group},
	object.KindService:      {"", "core"},
	object.KindServiceEntry: {"networking.istio.io"},
}

// targetKinds are the kinds by the name that references use.
var targetKinds = map[string]object.Kind{"Gateway": object.KindKubeGateway, "GatewayClass": object.KindGatewayClass, "Service": object.KindService, "ServiceEntry": object.KindServiceEntry}

// targetsOf reads the references of a policy of the namespace. Findings are about those
// that are wrong.
func targetsOf(ref object.Ref, selector map[string]string, one *typev1.PolicyTargetReference, many []*typev1.PolicyTargetReference) (out []target, findings []object.Finding) {
	bad := object.Invalid(ref, &findings)
	read := func(field string, r *typev1.PolicyTargetReference) {
		targets, what := readTarget(ref.Namespace, r)
		if what != "" {
			bad(field, "%s; %s", what, instead(ref.Kind))
		}
		for _, t := range targets {
			t.field = field
			out = append(out, t)
		}
	}
	if one != nil {
		read("spec.targetRef", one)
	}
	for i, r := range many {
		read(fmt.Sprintf("spec.targetRefs[%d]", i), r)
	}
	both := ""
	switch {
	case len(out) > 0 && len(selector) > 0:
		both = "spec.selector"
	case one != nil && len(many) > 0:
		both = "spec.targetRef"
	}
	if both != "" {
		bad(both, "it excludes targetRefs, and both are given; %s: leave out one of them", instead(ref.Kind))
		for i := range out {
			out[i].guess = true
		}
	}
	return out, findings
}

// instead is what a wrong reference comes to.
func instead(kind object.Kind) string {
	switch kind {
	case object.KindAuthorizationPolicy:
		return "the policy denies where it may have been meant, and an ALLOW allows nothing there"
	case object.KindRequestAuthentication:
		return "the policy accepts no token where it may have been meant"
	}
	return "the reference is ignored"
}

// readTarget reads one reference of a policy of the namespace. What is wrong with it is
// said in words; the targets are then what it may have meant.
func readTarget(namespace string, r *typev1.PolicyTargetReference) (out []target, wrong string) {
	kind, known := targetKinds[r.GetKind()]
	switch {
	case !known:
		wrong = fmt.Sprintf("kind %q is none that policies attach to: use Gateway, GatewayClass, Service or ServiceEntry", r.GetKind())
	case r.GetName() == "" || !object.ValidHost(r.GetName()) || object.IsWildcard(r.GetName()):
		wrong = fmt.Sprintf("the reference names no %s: add its name", r.GetKind())
		r = &typev1.PolicyTargetReference{Group: r.GetGroup(), Kind: r.GetKind()}
	case !slices.Contains(targetGroups[kind], r.GetGroup()):
		wrong = fmt.Sprintf("group %q has no kind %s that policies attach to: use group %q", r.GetGroup(), r.GetKind(), targetGroups[kind][0])
	case r.GetNamespace() != "" && r.GetNamespace() != namespace:
		wrong = fmt.Sprintf("namespace %q is not that of the policy, and policies attach in their own alone: leave out namespace", r.GetNamespace())
	default:
		return []target{{kind: kind, name: r.GetName()}}, ""
	}
	switch {
	case known && kind == object.KindKubeGateway && r.GetGroup() == "networking.istio.io":
		return []target{{kind: kind, name: r.GetName(), guess: true}, {kind: object.KindGateway, name: r.GetName(), guess: true}}, wrong
	case known:
		return []target{{kind: kind, name: r.GetName(), guess: true}}, wrong
	case r.GetName() == "":
		return []target{{kind: object.KindKubeGateway, guess: true}}, wrong
	}
	for _, k := range []object.Kind{object.KindKubeGateway, object.KindGateway, object.KindService, object.KindServiceEntry} {
		out = append(out, target{kind: k, name: r.GetName(), guess: true})
	}
	return out, wrong
}

// attach reads the references of a policy, whose closed form is to be in force where one
// that is wrong may have meant it; nil is none.
func attach[T any](p *Policy[T], one *typev1.PolicyTargetReference, many []*typev1.PolicyTargetReference, closed *T) []object.Finding {
	targets, findings := targetsOf(p.Ref, p.Selector, one, many)
	p.targets = targets
	if len(targets) > 0 && closed != nil {
		c := *p
		c.Spec, c.Guessed = *closed, true
		p.closed = &c
	}
	return findings
}

// closedAuthorization denies what the policy denies, and allows nothing.
func closedAuthorization(s *security.AuthorizationPolicy) *security.AuthorizationPolicy {
	if s.GetAction() == security.AuthorizationPolicy_ALLOW {
		return &security.AuthorizationPolicy{}
	}
	return s
}

// workloadPolicies finds the policies for one workload.
type workloadPolicies struct {
	world    *World
	workload *registry.Workload
	services func() []*registry.Service // that lead to the workload; nil: those are not asked for
}

// applying is the policy as it applies to the workload; nil when it does not.
func applying[T any](f workloadPolicies, p *Policy[T]) *Policy[T] {
	selected := object.Selects(p.Selector, f.workload.Labels)
	if len(p.targets) == 0 {
		if selected {
			return p
		}
		return nil
	}
	var guessed *Policy[T]
	if len(p.Selector) > 0 && selected {
		guessed = p.closed
	}
	for _, t := range p.targets {
		if !f.behind(t, p.Namespace) {
			continue
		}
		if !t.guess && (t.kind != object.KindGatewayClass || p.Namespace == f.world.Config.RootNamespace) {
			return p
		}
		guessed = p.closed
	}
	return guessed
}

// behind tells whether the workload stands behind the target of a policy of the namespace.
func (f workloadPolicies) behind(t target, namespace string) bool {
	x, w := f.workload, f.world
	if t.kind == object.KindGatewayClass {
		return (namespace == w.Config.RootNamespace || namespace == x.Namespace) && w.servesClass(x, t.name)
	}
	if x.Namespace != namespace {
		return false
	}
	switch t.kind {
	case object.KindKubeGateway:
		return w.servesGateway(x, t.name)
	case object.KindGateway:
		g := w.Gateway(namespace + "/" + t.name)
		return g != nil && len(g.Selector) > 0 && g.Selects(x.Namespace, x.Labels)
	}
	return f.services != nil && slices.ContainsFunc(f.services(), func(s *registry.Service) bool {
		return s.Ref.Kind == t.kind && (t.name == "" || s.Ref.Name == t.name)
	})
}

// servesGateway tells whether a workload serves the Gateway of the Gateway API in its own
// namespace: by the label, or by a Service that the Gateway has as its address. Name ""
// is any Gateway.
func (w *World) servesGateway(x *registry.Workload, name string) bool {
	if label := x.Labels[gatewayapi.GatewayNameLabel]; label != "" && (name == "" || gatewayapi.GatewayLabel(name) == label) {
		return true
	}
	if name != "" {
		g := w.Gateway(gatewayapi.NameOf(object.Ref{Kind: object.KindKubeGateway, Namespace: x.Namespace, Name: name}))
		return g != nil && g.Selects(x.Namespace, x.Labels)
	}
	for g := range w.api.Gateways() {
		if g.Ref.Namespace == x.Namespace && w.behindGateway(x, g) {
			return true
		}
	}
	return false
}

// servesClass tells whether a workload serves a Gateway of the class; "" is any class.
func (w *World) servesClass(x *registry.Workload, class string) bool {
	for g := range w.api.Gateways() {
		if (class == "" || class == string(g.Spec.GatewayClassName)) && w.behindGateway(x, g) {
			return true
		}
	}
	return false
}

// behindGateway tells whether a workload serves a Gateway of the Gateway API.
func (w *World) behindGateway(x *registry.Workload, g *gatewayapi.Gateway) bool {
	if x.Namespace == g.Ref.Namespace && x.Labels[gatewayapi.GatewayNameLabel] == gatewayapi.GatewayLabel(g.Ref.Name) {
		return true
	}
	made := w.Gateway(gatewayapi.NameOf(g.Ref))
	return made != nil && len(g.Services) > 0 && made.Selects(x.Namespace, x.Labels)
}

// guarded tells whether a policy that restricts is attached to a Gateway of the Gateway
// API. Only pods of its own namespace can enforce that.
func (w *World) guarded(g object.Ref) bool {
	on := func(targets []target) bool {
		return slices.ContainsFunc(targets, func(t target) bool { return t.kind == object.KindKubeGateway && (t.name == "" || t.name == g.Name) })
	}
	return slices.ContainsFunc(w.AuthorizationPolicies.In(g.Namespace), func(p *AuthorizationPolicy) bool { return on(p.targets) }) ||
		slices.ContainsFunc(w.RequestAuthentications.In(g.Namespace), func(p *RequestAuthentication) bool { return on(p.targets) })
}
