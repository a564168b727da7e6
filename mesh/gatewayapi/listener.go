package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// listener is a listener of a Gateway.
type listener struct {
	of       *declarer
	spec     *gatewayv1.Listener
	field    string // "spec.listeners[0]"
	index    int
	hostname string        // "*": all
	kinds    []object.Kind // of routes that it takes
	// unknownKinds: it names others as well, which nobody takes.
	unknownKinds bool
	from         gatewayv1.FromNamespaces
	selector     labels.Selector // of namespaces, with from Selector
	clients      *frontend       // how clients are verified; nil: not at all, or as the options of tls say
	// refused says why the listener is not served, and conflict why others of
	// the Gateway keep it from being.
	refused, conflict listenerProblem
}

// listenerProblem is why a listener is not served; the zero one is none.
type listenerProblem struct {
	Reason  gatewayv1.ListenerConditionReason
	Message string
}

// serves tells whether the listener is one that can be opened.
func (l *listener) serves() bool {
	return l.refused == listenerProblem{} && l.conflict == listenerProblem{} && len(l.kinds) > 0
}

// protocolKinds are the routes that listeners of a protocol take.
func protocolKinds(l *gatewayv1.Listener) []object.Kind {
	switch l.Protocol {
	case gatewayv1.HTTPProtocolType, gatewayv1.HTTPSProtocolType:
		return []object.Kind{object.KindHTTPRoute, object.KindGRPCRoute}
	case gatewayv1.TLSProtocolType:
		if l.TLS != nil && deref(l.TLS.Mode, string(gatewayv1.TLSModeTerminate)) == string(gatewayv1.TLSModeTerminate) {
			return []object.Kind{object.KindTLSRoute, object.KindTCPRoute}
		}
		return []object.Kind{object.KindTLSRoute}
	case gatewayv1.TCPProtocolType:
		return []object.Kind{object.KindTCPRoute}
	}
	return nil
}

func (d *declarer) listener(i int, in *gatewayv1.Listener) *listener {
	l := &listener{of: d, spec: in, index: i, field: fmt.Sprintf("spec.listeners[%d]", i), hostname: strings.ToLower(deref(in.Hostname, "")), from: gatewayv1.NamespacesFromSame}
	if l.hostname == "" {
		l.hostname = "*"
	}
	supported := protocolKinds(in)
	l.kinds = supported
	switch {
	case supported == nil:
		l.refused = listenerProblem{gatewayv1.ListenerReasonUnsupportedProtocol, fmt.Sprintf("protocol %s is not supported; the listener is left out: use HTTP, HTTPS, TLS or TCP", in.Protocol)}
	case in.Port < 1 || in.Port > object.MaxPort:
		l.refused = listenerProblem{gatewayv1.ListenerReasonPortUnavailable, fmt.Sprintf("%d is no port; the listener is left out: use 1 to 65535", in.Port)}
	case !object.ValidHost(l.hostname):
		l.refused = listenerProblem{gatewayv1.ListenerReasonUnsupportedValue, fmt.Sprintf("%q is no host; the listener is left out: use a DNS name or a wildcard such as *.example.com", l.hostname)}
	case (in.Protocol == gatewayv1.HTTPSProtocolType || in.Protocol == gatewayv1.TLSProtocolType) && in.TLS == nil:
		l.refused = listenerProblem{gatewayv1.ListenerReasonUnsupportedValue, "the listener has no tls; it is left out: say with which certificate it is served"}
	}
	allowed := in.AllowedRoutes
	if allowed == nil {
		return l
	}
	if len(allowed.Kinds) > 0 {
		l.kinds = nil
		for _, k := range allowed.Kinds {
			kind := object.Kind(deref(k.Group, Group) + "/" + string(k.Kind))
			if slices.Contains(supported, kind) {
				l.kinds = append(l.kinds, kind)
			} else {
				l.unknownKinds = true
			}
		}
	}
	if ns := allowed.Namespaces; ns != nil {
		l.from = gatewayv1.FromNamespaces(deref(ns.From, string(gatewayv1.NamespacesFromSame)))
		if l.from == gatewayv1.NamespacesFromSelector {
			selector, err := metav1.LabelSelectorAsSelector(ns.Selector)
			if err != nil {
				d.find(object.CodeInvalid, l.field+".allowedRoutes.namespaces.selector", "%v; no namespace is selected: correct it", err)
				selector = labels.Nothing()
			}
			l.selector = selector
		}
	}
	return l
}

func (l *listener) sort() traffic.ServerSort {
	switch l.spec.Protocol {
	case gatewayv1.HTTPProtocolType:
		return traffic.SortHTTP
	case gatewayv1.TCPProtocolType:
		return traffic.SortTCP
	}
	return traffic.SortTLS
}
