package gatewayapi

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// maxListeners is how many listeners a Gateway has with those that are added to it. Each
// is at least a filter chain on its pods.
const maxListeners = 1024

// maxSetPorts is how many ports ListenerSets may add to those of the Gateway itself. Each
// is a port of its Service too.
const maxSetPorts = 100

// settle is the Gateway with the listeners of sets behind its own, and what keeps any of
// them from being served.
func (g *Gateway) settle(sets []*ListenerSet) *Gateway {
	out := *g
	out.Findings = slices.Clip(g.Findings)
	out.listeners, out.sets = taken(&out.declarer, g.listeners), nil
	for _, s := range sets {
		set := *s
		set.Findings = slices.Clip(s.Findings)
		set.listeners = taken(&set.declarer, s.listeners)
		out.sets = append(out.sets, &set)
		out.listeners = append(out.listeners, set.listeners...)
	}
	for _, l := range out.listeners {
		l.refusePort()
		l.refuseMode()
	}
	out.refuseManyPorts()
	out.frontends()
	out.refuseConflicts()
	for _, l := range out.listeners {
		l.tell()
	}
	return &out
}

// taken are copies of listeners for an object.
func taken(of *declarer, listeners []*listener) []*listener {
	out := make([]*listener, 0, len(listeners))
	for _, l := range listeners {
		c := *l
		c.of = of
		out = append(out, &c)
	}
	return out
}

// refuse leaves the listener out, unless it is already for another reason.
func (l *listener) refuse(reason gatewayv1.ListenerConditionReason, format string, args ...any) {
	if l.refused == (listenerProblem{}) {
		l.refused = listenerProblem{reason, fmt.Sprintf(format, args...)}
	}
}

// proxyPorts are those on which every proxy tells how it is, and is managed.
var proxyPorts = []gatewayv1.PortNumber{15000, 15020, 15021, 15090}

// refusePort leaves out what cannot be opened beside the proxy's own ports.
func (l *listener) refusePort() {
	if slices.Contains(proxyPorts, l.spec.Port) {
		l.refuse(gatewayv1.ListenerReasonPortUnavailable, "port %d is the proxy's own; the listener is left out: use another one", l.spec.Port)
	}
}

// refuseManyPorts leaves out the listeners of sets on more ports than sets may add.
func (g *Gateway) refuseManyPorts() {
	opened, added := map[gatewayv1.PortNumber]struct{}{}, 0
	for _, l := range g.listeners {
		if _, known := opened[l.spec.Port]; known || l.refused != (listenerProblem{}) {
			continue
		}
		if l.of.Ref != g.Ref {
			if added == maxSetPorts {
				l.refuse(gatewayv1.ListenerReasonPortUnavailable, "older ListenerSets open %d other ports, the most that they may add to those of the Gateway; the listener is left out: use a port that is open", maxSetPorts)
				continue
			}
			added++
		}
		opened[l.spec.Port] = struct{}{}
	}
}

// refuseConflicts leaves out what cannot be served beside earlier listeners: a port has
// one sort of protocol, and each of its hostnames one listener.
func (g *Gateway) refuseConflicts() {
	type name struct {
		port gatewayv1.PortNumber
		host string
	}
	ports, names := map[gatewayv1.PortNumber]*listener{}, map[name]*listener{}
	for _, l := range g.listeners {
		if l.refused != (listenerProblem{}) {
			continue
		}
		first, same := ports[l.spec.Port], names[name{l.spec.Port, l.hostname}]
		switch {
		case first != nil && first.sort() != l.sort():
			l.conflict = listenerProblem{gatewayv1.ListenerReasonProtocolConflict, fmt.Sprintf("port %d serves protocol %s for %s already; the listener is left out: use another port", l.spec.Port, first.spec.Protocol, l.other(first))}
		case first != nil && l.sort() == traffic.SortTCP:
			l.conflict = listenerProblem{gatewayv1.ListenerReasonHostnameConflict, fmt.Sprintf("%s has the same port and hostname already; the listener is left out: use another one", l.other(first))}
		case same != nil:
			l.conflict = listenerProblem{gatewayv1.ListenerReasonHostnameConflict, fmt.Sprintf("%s has the same port and hostname already; the listener is left out: use another one", l.other(same))}
		default:
			names[name{l.spec.Port, l.hostname}] = l
			if first == nil {
				ports[l.spec.Port] = l
			}
		}
	}
}

// other names another listener to the owner of this one, who may not be allowed to see
// objects of other namespaces.
func (l *listener) other(o *listener) string {
	switch {
	case o.of.Ref == l.of.Ref:
		return fmt.Sprintf("listener %s", o.spec.Name)
	case o.of.Ref.Kind == object.KindKubeGateway:
		return "a listener of the Gateway"
	}
	return "a listener of an older ListenerSet"
}

// tell finds what is wrong with the listener.
func (l *listener) tell() {
	for _, problem := range []listenerProblem{l.refused, l.conflict} {
		if problem != (listenerProblem{}) {
			l.of.find(object.CodeInvalid, l.field, "%s", problem.Message)
		}
	}
	if l.unknownKinds {
		l.of.find(object.CodeUnsupported, l.field+".allowedRoutes.kinds", "a kind cannot be attached to a listener of protocol %s; it is ignored: remove it", l.spec.Protocol)
	}
	if l.unknownOptions() {
		l.of.find(object.CodeUnsupported, l.field+".tls.options", "no option but "+terminateOption+" is known, and the others are ignored: use a Gateway of networking.istio.io for more of TLS")
	}
}
