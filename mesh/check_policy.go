package mesh

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	security "istio.io/api/security/v1beta1"
	typev1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	telemetryv1 "istio.io/client-go/pkg/apis/telemetry/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

func (r *references) peerAuthentication(o *securityv1.PeerAuthentication) {
	r.policy(o.Spec.GetSelector().GetMatchLabels(), nil, nil)
	r.peerPorts(o)
}

func (r *references) requestAuthentication(o *securityv1.RequestAuthentication) {
	r.policy(o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
}

func (r *references) authorizationPolicy(o *securityv1.AuthorizationPolicy) {
	r.policy(o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
	r.authorization(o)
}

func (r *references) telemetry(o *telemetryv1.Telemetry) {
	r.policy(o.Spec.GetSelector().GetMatchLabels(), o.Spec.TargetRef, o.Spec.TargetRefs)
}

// policy looks for what a policy selects, and for what it refers to.
func (r *references) policy(selector map[string]string, target *typev1.PolicyTargetReference, targets []*typev1.PolicyTargetReference) {
	namespace := r.ref.Namespace
	if namespace == r.world.Config.RootNamespace {
		namespace = ""
	}
	r.selected("spec.selector", selector, namespace)
	if target != nil || len(targets) > 0 {
		read, _ := targetsOf(r.ref, selector, target, targets)
		r.targets(r.ref.Kind, read)
	}
}

// authorization looks up what the rules of a policy are compared with: the ports of the
// pods that it selects, and tokens that somebody reads.
func (r *references) authorization(o *securityv1.AuthorizationPolicy) {
	tokens := r.readsTokens(o.Namespace)
	port := func(field string, values []string) {
		for _, v := range values {
			if n, err := strconv.ParseUint(v, 10, 16); err == nil {
				r.podPort(field, o.Spec.GetSelector().GetMatchLabels(), uint32(n))
			}
		}
	}
	for i, rule := range o.Spec.Rules {
		for j, f := range rule.GetFrom() {
			if s := f.GetSource(); !tokens && len(s.GetRequestPrincipals())+len(s.GetNotRequestPrincipals()) > 0 {
				r.tokenless(fmt.Sprintf("spec.rules[%d].from[%d].source.requestPrincipals", i, j))
			}
		}
		for j, t := range rule.GetTo() {
			port(fmt.Sprintf("spec.rules[%d].to[%d].operation.ports", i, j), slices.Concat(t.GetOperation().GetPorts(), t.GetOperation().GetNotPorts()))
		}
		for j, c := range rule.GetWhen() {
			field := fmt.Sprintf("spec.rules[%d].when[%d]", i, j)
			if strings.HasPrefix(c.GetKey(), "request.auth.") && !tokens {
				r.tokenless(field + ".key")
			}
			if c.GetKey() == "destination.port" {
				port(field, slices.Concat(c.GetValues(), c.GetNotValues()))
			}
		}
	}
}

// readsTokens tells whether some RequestAuthentication may apply where policies of the
// namespace do.
func (r *references) readsTokens(namespace string) bool {
	root := r.world.Config.RootNamespace
	if all := r.world.RequestAuthentications; namespace == root && all != nil {
		return all.byRef.Len() > 0
	}
	return len(r.world.RequestAuthentications.In(namespace))+len(r.world.RequestAuthentications.In(root)) > 0
}

func (r *references) tokenless(field string) {
	r.missing(object.CodeClaimUnknown, object.Ref{Kind: object.KindRequestAuthentication, Namespace: r.ref.Namespace, Name: "any"}, field,
		"no RequestAuthentication of namespace %s or of the root namespace reads tokens, so that every request counts as one without: add one", r.ref.Namespace)
}

// podPort tells of a port that a Service has, where the pods behind it have another: what
// comes in is compared with the port of the pod.
func (r *references) podPort(field string, selector map[string]string, port uint32) {
	for pair, value := range selector {
		for _, x := range r.names.having(r.ref.Namespace, pair, value) {
			if r.ctx.Err() != nil {
				return
			}
			if !object.Selects(selector, x.Labels) {
				continue
			}
			if s, target := r.world.translated(x, port); s != nil {
				r.found(object.CodePortNotFound, object.Ref{}, field, "%d is a port of %s, whose pods have %d for it; what comes in is compared with the pods' own ports, and none has %d: write %d", port, s.Ref, target, port, target)
				return
			}
		}
		return
	}
}

// translated is the Service that leads from its port to another of the workload's, which
// has no such port itself; nil when none does.
func (w *World) translated(x *registry.Workload, port uint32) (of *registry.Service, target uint32) {
	if slices.Contains(x.Listening, port) {
		return nil, 0
	}
	for _, s := range w.ServicesOf(x) {
		for _, p := range s.Ports {
			to := registry.TargetPort(p, x)
			if to == port {
				return nil, 0
			}
			if p.Number == port && to != 0 && of == nil {
				of, target = s, to
			}
		}
	}
	return of, target
}

// peerPorts looks for the ports of the pods that have modes of their own.
func (r *references) peerPorts(o *securityv1.PeerAuthentication) {
	for port, m := range o.Spec.PortLevelMtls {
		if m.GetMode() != security.PeerAuthentication_MutualTLS_UNSET {
			r.podPort(fmt.Sprintf("spec.portLevelMtls[%d]", port), o.Spec.GetSelector().GetMatchLabels(), port)
		}
	}
}

// egressHosts looks for the hosts that a Sidecar shows by their full names.
func (r *references) egressHosts(o *networkingv1.Sidecar) {
	for i, l := range o.Spec.Egress {
		for j, h := range l.GetHosts() {
			_, host, ok := strings.Cut(h, "/")
			if !ok || !object.ValidHost(host) || object.IsWildcard(host) || r.ctx.Err() != nil {
				continue
			}
			if routes, _ := r.world.routes.Get(host); len(routes) > 0 || r.world.Host(host) != nil {
				continue
			}
			hint := "check the name"
			if !strings.Contains(host, ".") {
				hint = "write its full name, such as " + object.ResolveHost(host, o.Namespace, object.Domain)
			}
			r.missing(object.CodeHostNotFound, object.Ref{Kind: object.KindHost, Name: object.ResolveHost(host, o.Namespace, object.Domain)}, fmt.Sprintf("spec.egress[%d].hosts[%d]", i, j),
				"no Service, ServiceEntry or VirtualService has the host %s; nothing is shown by it: %s", host, hint)
		}
	}
}
