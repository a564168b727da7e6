package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// ManagedGateway is a Gateway of the Gateway API whose Pods the control plane
// is to run.
type ManagedGateway struct {
	Ref         object.Ref
	UID         types.UID
	Class       string
	Name        string // of its Deployment, Service and ServiceAccount
	ServiceType string // LoadBalancer, unless the Gateway says otherwise
	Address     string // that the load balancer is asked for; "": any
	Labels      map[string]string
	Annotations map[string]string
	Ports       []ManagedPort
}

// ManagedPort is a port that listeners of a ManagedGateway open.
type ManagedPort struct {
	Name   string
	Number int32
}

// serviceTypeAnnotation is how a Gateway chooses the type of its Service.
const serviceTypeAnnotation = "networking.istio.io/service-type"

// ManagedGateways are the Gateways of the Gateway API that name no Service of
// their own, in the order of their names.
func (w *View) ManagedGateways() (out []ManagedGateway) {
	for x := range w.Gateways() {
		g := w.Served(x.Ref)
		if g == nil || !g.managed() || g.unusable != "" || g.Spec.Infrastructure != nil && g.Spec.Infrastructure.ParametersRef != nil {
			continue
		}
		m := ManagedGateway{Ref: g.Ref, UID: g.uid, Class: string(g.Spec.GatewayClassName), Name: g.deploymentName(), ServiceType: g.serviceType, Labels: map[string]string{}, Annotations: map[string]string{}}
		if len(g.addresses) > 0 { // a Service can ask for one
			m.Address = g.addresses[0]
		}
		if in := g.Spec.Infrastructure; in != nil {
			for k, v := range in.Labels {
				m.Labels[string(k)] = string(v)
			}
			for k, v := range in.Annotations {
				m.Annotations[string(k)] = string(v)
			}
		}
		for _, l := range g.listeners {
			if l.serves() && !slices.ContainsFunc(m.Ports, func(p ManagedPort) bool { return p.Number == l.spec.Port }) {
				m.Ports = append(m.Ports, ManagedPort{fmt.Sprintf("%s-%d", strings.ToLower(string(l.spec.Protocol)), l.spec.Port), l.spec.Port})
			}
		}
		out = append(out, m)
	}
	return out
}

// LeftBehind tells whether what was made under a name for a Gateway of the Gateway API
// is needed no more, and of which generation of the Gateway that is known: its class or
// its addresses are others now. Where that cannot be told, as of a Gateway or a class
// that is not there, or of one that is wrong for the moment, what runs is to stay; so is
// what bears the name that another controller would give, as most do.
func (w *View) LeftBehind(ref object.Ref, name string) (generation int64, left bool) {
	g := w.Gateway(ref)
	if g == nil || g.unusable != "" || g.Spec.Infrastructure != nil && g.Spec.Infrastructure.ParametersRef != nil {
		return 0, false
	}
	class := string(g.Spec.GatewayClassName)
	if w.controllerOf(class) != "" {
		return g.generation, !g.managed() || name != g.deploymentName()
	}
	return g.generation, w.classes[class] != nil && name != g.deploymentName()
}
