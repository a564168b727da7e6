package gatewayapi

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// MeshController is the name under which statuses of routes for the clients of
// Services are written.
const MeshController = "fairway-mesh.github.io/mesh-controller"

// condition makes a condition; when it last changed is for the writer to say.
func condition[T, R ~string](kind T, is bool, reason R, message string, generation int64) metav1.Condition {
	c := metav1.Condition{Type: string(kind), Status: metav1.ConditionFalse, Reason: string(reason), Message: message, ObservedGeneration: generation}
	if is {
		c.Status = metav1.ConditionTrue
	}
	return c
}

// GatewayClassStatus is what a GatewayClass is to be told; nil when it is for
// another controller, or does not exist. Generation is what was looked at.
func (w *View) GatewayClassStatus(name string) (status *gatewayv1.GatewayClassStatus, generation int64) {
	c := w.classes[name]
	if c == nil || w.controllerOf(name) == "" {
		return nil, 0
	}
	accepted := condition(gatewayv1.GatewayClassConditionStatusAccepted, true, gatewayv1.GatewayClassReasonAccepted, "Fairway serves Gateways of this class", c.generation)
	if c.parameters {
		accepted = condition(gatewayv1.GatewayClassConditionStatusAccepted, false, gatewayv1.GatewayClassReasonInvalidParameters, "parametersRef is not supported: remove it", c.generation)
	}
	return &gatewayv1.GatewayClassStatus{Conditions: []metav1.Condition{accepted}, SupportedFeatures: supportedFeatures()}, c.generation
}

// GatewayStatus is what a Gateway of the Gateway API is to be told; nil when it
// is for another controller, or does not exist. Generation is what was looked at.
func (w *View) GatewayStatus(ref object.Ref) (status *gatewayv1.GatewayStatus, generation int64) {
	g := w.Served(ref)
	if g == nil {
		return nil, 0
	}
	out := &gatewayv1.GatewayStatus{}
	listeners, valid := w.listenerStatuses(g, &g.declarer, g.own())
	out.Listeners = listeners
	if n := w.attachedSets(g); n > 0 {
		out.AttachedListenerSets = &n
	}
	accepted := w.accepted(g)
	if accepted.Status == metav1.ConditionTrue && valid < len(g.own()) {
		accepted = condition(gatewayv1.GatewayConditionAccepted, valid > 0, gatewayv1.GatewayReasonListenersNotValid, "some listeners are not served: see their conditions", g.generation)
	}
	addresses, pending := w.addresses(g)
	if w.ForeignAddress(g) != "" {
		addresses = nil
	}
	out.Addresses = addresses
	programmed := condition(gatewayv1.GatewayConditionProgrammed, true, gatewayv1.GatewayReasonProgrammed, "the Gateway has addresses, and no connected proxy refuses its listeners", g.generation)
	switch {
	case accepted.Status == metav1.ConditionFalse:
		programmed = condition(gatewayv1.GatewayConditionProgrammed, false, gatewayv1.GatewayReasonInvalid, accepted.Message, g.generation)
	case missingAddress(g, addresses) != "":
		programmed = condition(gatewayv1.GatewayConditionProgrammed, false, gatewayv1.GatewayReasonAddressNotUsable, "the load balancer has not given the Gateway the address "+missingAddress(g, addresses)+": ask for another one", g.generation)
	case len(addresses) == 0:
		programmed = condition(gatewayv1.GatewayConditionProgrammed, false, gatewayv1.GatewayReasonAddressNotAssigned, pending, g.generation)
	}
	out.Conditions = append([]metav1.Condition{accepted, programmed}, w.resolvedRefs(g)...)
	if field := g.fallsBack(); field != "" {
		out.Conditions = append(out.Conditions, condition(gatewayv1.GatewayConditionInsecureFrontendValidationMode, true, gatewayv1.GatewayReasonConfigurationChanged, field+".mode is AllowInsecureFallback: clients without a valid certificate are served too", g.generation))
	}
	return out, g.generation
}

// accepted says whether the Gateway itself can be served, whatever its listeners are.
func (w *View) accepted(g *Gateway) metav1.Condition {
	refused := func(reason gatewayv1.GatewayConditionReason, message string) metav1.Condition {
		return condition(gatewayv1.GatewayConditionAccepted, false, reason, message, g.generation)
	}
	switch {
	case g.Spec.Infrastructure != nil && g.Spec.Infrastructure.ParametersRef != nil:
		return refused(gatewayv1.GatewayReasonInvalidParameters, "infrastructure.parametersRef is not supported: remove it")
	case g.unusable != "":
		return refused(gatewayv1.GatewayReasonUnsupportedAddress, g.unusable+": name a Service with type Hostname, or leave addresses out")
	case w.ForeignAddress(g) != "":
		return refused(gatewayv1.GatewayReasonUnsupportedAddress, w.ForeignAddress(g))
	}
	return condition(gatewayv1.GatewayConditionAccepted, true, gatewayv1.GatewayReasonAccepted, "the Gateway is served", g.generation)
}

// listenerStatuses is what an object is told of the listeners that it declares, and how
// many of them are served.
func (w *View) listenerStatuses(g *Gateway, d *declarer, listeners []*listener) (out []gatewayv1.ListenerStatus, valid int) {
	attached := w.routesOn(d, listeners)
	for _, l := range listeners {
		s, ok := w.listenerStatus(g, l, len(attached[l]))
		if ok {
			valid++
		}
		out = append(out, s)
	}
	return out, valid
}

// listenerStatus is what the owner of a listener is told of it, and whether it is served.
func (w *View) listenerStatus(g *Gateway, l *listener, routes int) (gatewayv1.ListenerStatus, bool) {
	n := l.of.generation
	s := gatewayv1.ListenerStatus{Name: l.spec.Name, SupportedKinds: []gatewayv1.RouteGroupKind{}, AttachedRoutes: int32(routes)}
	for _, k := range l.kinds {
		group, kind := groupKind(k)
		s.SupportedKinds = append(s.SupportedKinds, gatewayv1.RouteGroupKind{Group: (*gatewayv1.Group)(&group), Kind: gatewayv1.Kind(kind)})
	}
	accepted := condition(gatewayv1.ListenerConditionAccepted, true, gatewayv1.ListenerReasonAccepted, "the listener is valid", n)
	conflicted := condition(gatewayv1.ListenerConditionConflicted, false, gatewayv1.ListenerReasonNoConflicts, "no other listener keeps it from being served", n)
	if l.refused != (listenerProblem{}) {
		accepted = condition(gatewayv1.ListenerConditionAccepted, false, l.refused.Reason, l.refused.Message, n)
	}
	noRoots := w.frontendRefusal(g, l)
	if noRoots != (listenerProblem{}) {
		accepted = condition(gatewayv1.ListenerConditionAccepted, false, noRoots.Reason, noRoots.Message, n)
	}
	if l.conflict != (listenerProblem{}) {
		conflicted = condition(gatewayv1.ListenerConditionConflicted, true, l.conflict.Reason, l.conflict.Message, n)
		accepted = condition(gatewayv1.ListenerConditionAccepted, false, l.conflict.Reason, l.conflict.Message, n)
	}
	resolved := condition(gatewayv1.ListenerConditionResolvedRefs, true, gatewayv1.ListenerReasonResolvedRefs, "all that the listener names is there", n)
	certificates := w.certificateProblem(l)
	_, roots := w.clientRoots(g, l)
	switch {
	case roots != (listenerProblem{}):
		resolved = condition(gatewayv1.ListenerConditionResolvedRefs, false, roots.Reason, roots.Message, n)
	case certificates != (listenerProblem{}):
		resolved = condition(gatewayv1.ListenerConditionResolvedRefs, false, certificates.Reason, certificates.Message, n)
	case l.unknownKinds:
		resolved = condition(gatewayv1.ListenerConditionResolvedRefs, false, gatewayv1.ListenerReasonInvalidRouteKinds, "allowedRoutes names kinds of routes that the listener cannot take", n)
	}
	served := w.opens(g, l)
	programmed := condition(gatewayv1.ListenerConditionProgrammed, true, gatewayv1.ListenerReasonProgrammed, "the listener is served", n)
	switch {
	case l.conflict != (listenerProblem{}) && l.of.Ref.Kind == object.KindListenerSet: // as the API's own tests want it there
		programmed = condition(gatewayv1.ListenerConditionProgrammed, false, l.conflict.Reason, l.conflict.Message, n)
	case !served:
		programmed = condition(gatewayv1.ListenerConditionProgrammed, false, gatewayv1.ListenerReasonInvalid, "the listener is not served: see the other conditions", n)
	}
	s.Conditions = []metav1.Condition{accepted, conflicted, resolved, programmed}
	return s, served
}

// opens tells whether a listener is served.
func (w *View) opens(g *Gateway, l *listener) bool {
	return l.serves() && w.certificateProblem(l) == (listenerProblem{}) && w.frontendRefusal(g, l) == (listenerProblem{})
}

// certificateProblem is why the certificate of a listener cannot be shown.
func (w *View) certificateProblem(l *listener) listenerProblem {
	secrets, problem := w.certificates(l)
	for _, ref := range secrets {
		s, _ := w.Secrets.Get(ref.Namespace + "/" + ref.Name)
		if s.HoldsAuthority() || registry.AuthoritySecret(ref.Name) {
			return listenerProblem{gatewayv1.ListenerReasonInvalidCertificateRef, fmt.Sprintf("Secret %s/%s is that of an authority and is never shown: name the Secret of a server's certificate", ref.Namespace, ref.Name)}
		}
		if s == nil {
			return listenerProblem{gatewayv1.ListenerReasonInvalidCertificateRef, fmt.Sprintf("there is no Secret %s/%s: create it", ref.Namespace, ref.Name)}
		}
		if s.TypedPair() != nil {
			return listenerProblem{gatewayv1.ListenerReasonInvalidCertificateRef, fmt.Sprintf("Secret %s/%s holds no certificate with its key: put them in PEM into tls.crt and tls.key", ref.Namespace, ref.Name)}
		}
	}
	if problem == (listenerProblem{}) {
		problem = w.rootsProblem(l, secrets)
	}
	return problem
}

// addresses are where clients reach the Gateway, or why nowhere yet.
func (w *View) addresses(g *Gateway) (out []gatewayv1.GatewayStatusAddress, pending string) {
	hosts := g.Services
	if g.managed() {
		hosts = []string{strings.ToLower(g.deploymentName() + "." + g.Ref.Namespace + ".svc." + object.Domain)}
	}
	pending = "the Gateway has no Service yet"
	for _, host := range hosts {
		h := w.host(host)
		if h == nil || !h.Services[0].Kubernetes() {
			pending = fmt.Sprintf("there is no Service %s yet", host)
			continue
		}
		s := h.Services[0]
		addresses := s.Published
		if len(addresses) == 0 && s.LoadBalanced {
			pending = fmt.Sprintf("Service %s has no address of a load balancer yet", host)
			continue
		}
		if len(addresses) == 0 {
			for _, p := range s.Addresses {
				addresses = append(addresses, p.Addr().String())
			}
			addresses = append(addresses, host)
		}
		for _, a := range addresses {
			kind := gatewayv1.HostnameAddressType
			if _, err := netip.ParseAddr(a); err == nil {
				kind = gatewayv1.IPAddressType
			}
			out = append(out, gatewayv1.GatewayStatusAddress{Type: &kind, Value: a})
		}
	}
	return out[:min(len(out), maxAddresses)], pending
}

// missingAddress is one that the Gateway asks for and does not have.
func missingAddress(g *Gateway, has []gatewayv1.GatewayStatusAddress) string {
	for _, a := range g.addresses {
		if !slices.ContainsFunc(has, func(h gatewayv1.GatewayStatusAddress) bool { return h.Value == a }) {
			return a
		}
	}
	return ""
}

// maxAddresses is how many the API lets a status hold.
const maxAddresses = 16

// RouteStatus is what a route is to be told of each of its parents that this
// control plane serves; false when there is no such route. Generation is what
// was looked at.
func (w *View) RouteStatus(ref object.Ref) (parents []gatewayv1.RouteParentStatus, generation int64, ok bool) {
	r := w.Route(ref)
	if r == nil {
		return nil, 0, false
	}
	for _, p := range r.parents {
		problem, ours := w.attachProblem(r, p)
		if !ours {
			continue
		}
		controller := gatewayv1.GatewayController(MeshController)
		if parent, _ := r.parentOf(p); declaredBy(parent) {
			controller = gatewayv1.GatewayController(w.controllerOf(string(w.ServedBy(parent).Spec.GatewayClassName)))
		}
		parents = append(parents, gatewayv1.RouteParentStatus{ParentRef: p, ControllerName: controller, Conditions: w.routeConditions(r, problem, controller == MeshController)})
	}
	return parents, r.generation, true
}

func (w *View) routeConditions(r *Route, problem attachProblem, mesh bool) []metav1.Condition {
	n := r.generation
	accepted := condition(gatewayv1.RouteConditionAccepted, true, gatewayv1.RouteReasonAccepted, "the route is in force", n)
	var partially []metav1.Condition
	switch {
	case problem != (attachProblem{}):
		accepted = condition(gatewayv1.RouteConditionAccepted, false, problem.Reason, problem.Message, n)
	case r.unsupported != "" && !r.anyRule():
		accepted = condition(gatewayv1.RouteConditionAccepted, false, gatewayv1.RouteReasonUnsupportedValue, r.unsupported, n)
	case r.unsupported != "":
		partially = append(partially, condition(gatewayv1.RouteConditionPartiallyInvalid, true, gatewayv1.RouteReasonUnsupportedValue, r.unsupported, n))
	}
	resolved := condition(gatewayv1.RouteConditionResolvedRefs, true, gatewayv1.RouteReasonResolvedRefs, "all backends are there", n)
	for _, b := range r.Backends() {
		if p := w.backendProblem(r.Ref, b, mesh); p != (BackendProblem{}) {
			resolved = condition(gatewayv1.RouteConditionResolvedRefs, false, p.Reason, b.field+": "+p.Message, n)
			break
		}
	}
	return append([]metav1.Condition{accepted, resolved}, partially...)
}

// anyRule tells whether any rule of the route is served as it was asked for.
func (r *Route) anyRule() bool {
	for _, rule := range r.http {
		if !rule.refused {
			return true
		}
	}
	return len(r.l4) > 0
}
