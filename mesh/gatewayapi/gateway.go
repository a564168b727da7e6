package gatewayapi

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// GatewayNameLabel is the label that Pods which serve a Gateway of the Gateway
// API have, with GatewayLabel of its name.
const GatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// Gateway is a Gateway of the Gateway API, read once. It never changes.
type Gateway struct {
	Ref         object.Ref
	uid         types.UID
	generation  int64
	created     time.Time
	serviceType string // of the Service that the control plane makes for it
	Spec        *gatewayv1.GatewaySpec
	listeners   []*listener
	// Services are the hosts that spec.addresses names: their Pods serve it.
	Services []string
	// addresses are those that the load balancer of its own Service is to give it.
	addresses []string
	// unusable are the other addresses that it asks for.
	unusable string
	Findings []object.Finding
}

// listener is a listener of a Gateway.
type listener struct {
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

// managed tells whether the control plane is to run the Pods of the Gateway.
func (g *Gateway) managed() bool { return len(g.Services) == 0 }

func parseGateway(o *gatewayv1.Gateway) *Gateway {
	g := &Gateway{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: o.Namespace, Name: o.Name}, uid: o.UID, generation: o.Generation, created: o.CreationTimestamp.Time, Spec: &o.Spec}
	switch g.serviceType = o.Annotations[serviceTypeAnnotation]; g.serviceType {
	case "LoadBalancer", "ClusterIP", "NodePort":
	default:
		g.serviceType = "LoadBalancer"
	}
	for i, a := range o.Spec.Addresses {
		kind := deref(a.Type, string(gatewayv1.IPAddressType))
		if gatewayv1.AddressType(kind) == gatewayv1.HostnameAddressType && a.Value != "" {
			g.Services = append(g.Services, object.ResolveHost(a.Value, o.Namespace, object.Domain))
			continue
		}
		if ip, err := netip.ParseAddr(a.Value); err == nil && gatewayv1.AddressType(kind) == gatewayv1.IPAddressType {
			g.addresses = append(g.addresses, ip.String())
			continue
		}
		g.unusable = fmt.Sprintf("addresses of type %s cannot be chosen", kind)
		g.find(object.CodeUnsupported, fmt.Sprintf("spec.addresses[%d]", i), "%s; it is ignored: name a Service with type Hostname, or an address with type IPAddress", g.unusable)
	}
	if len(g.Services) > 0 && len(g.addresses) > 0 {
		g.unusable = "addresses of type IPAddress cannot be chosen for a Service that exists"
		g.find(object.CodeUnsupported, "spec.addresses", "%s; they are ignored: choose them in the Service", g.unusable)
	}
	for i := range o.Spec.Listeners {
		g.listeners = append(g.listeners, g.listener(i, &o.Spec.Listeners[i]))
	}
	g.refusePorts()
	g.refuseModes()
	g.frontends()
	for i, l := range g.listeners {
		l.conflict = conflictOf(g.listeners[:i], l)
		for _, problem := range []listenerProblem{l.refused, l.conflict} {
			if problem != (listenerProblem{}) {
				g.find(object.CodeInvalid, l.field, "%s", problem.Message)
			}
		}
		if l.unknownKinds {
			g.find(object.CodeUnsupported, l.field+".allowedRoutes.kinds", "a kind cannot be attached to a listener of protocol %s; it is ignored: remove it", l.spec.Protocol)
		}
	}
	g.unread()
	if o.Spec.TLS != nil && o.Spec.TLS.Backend != nil {
		g.find(object.CodeUnsupported, "spec.tls.backend", "certificates of the Gateway towards its backends are not supported here; the field is ignored: use a DestinationRule of networking.istio.io")
	}
	return g
}

// unread tells of fields that nothing follows.
func (g *Gateway) unread() {
	if a := g.Spec.AllowedListeners; a != nil && a.Namespaces != nil && deref(a.Namespaces.From, string(gatewayv1.NamespacesFromNone)) != string(gatewayv1.NamespacesFromNone) {
		g.find(object.CodeUnsupported, "spec.allowedListeners", "ListenerSets are not read, so that none is attached: write the listeners into the Gateway")
	}
	if g.Spec.DefaultScope != "" && g.Spec.DefaultScope != gatewayv1.GatewayDefaultScopeNone {
		g.find(object.CodeUnsupported, "spec.defaultScope", "no route is attached to a Gateway by default: name the Gateway in parentRefs of the routes")
	}
	if in := g.Spec.Infrastructure; in != nil && in.ParametersRef != nil {
		g.find(object.CodeUnsupported, "spec.infrastructure.parametersRef", "no parameters are read, and no pods are made for the Gateway: remove it")
	}
	for _, l := range g.listeners {
		if l.unknownOptions() {
			g.find(object.CodeUnsupported, l.field+".tls.options", "no option but "+terminateOption+" is known, and the others are ignored: use a Gateway of networking.istio.io for more of TLS")
		}
	}
}

// proxyPorts are those on which every proxy tells how it is.
var proxyPorts = []gatewayv1.PortNumber{15020, 15021, 15090}

// refusePorts leaves out what cannot be opened beside the proxy's own ports.
func (g *Gateway) refusePorts() {
	for _, l := range g.listeners {
		if slices.Contains(proxyPorts, l.spec.Port) && l.refused == (listenerProblem{}) {
			l.refused = listenerProblem{gatewayv1.ListenerReasonPortUnavailable, fmt.Sprintf("port %d is the proxy's own; the listener is left out: use another one", l.spec.Port)}
		}
	}
}

func (g *Gateway) find(code object.Code, field, format string, args ...any) {
	g.Findings = append(g.Findings, object.Finding{Object: g.Ref, Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
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

func (g *Gateway) listener(i int, in *gatewayv1.Listener) *listener {
	l := &listener{spec: in, index: i, field: fmt.Sprintf("spec.listeners[%d]", i), hostname: strings.ToLower(deref(in.Hostname, "")), from: gatewayv1.NamespacesFromSame}
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
				g.find(object.CodeInvalid, l.field+".allowedRoutes.namespaces.selector", "%v; no namespace is selected: correct it", err)
				selector = labels.Nothing()
			}
			l.selector = selector
		}
	}
	return l
}

// conflictOf is what keeps a listener from being served beside earlier ones of
// its Gateway: a port has one sort of protocol, and each of its hostnames one
// listener.
func conflictOf(earlier []*listener, l *listener) listenerProblem {
	for _, e := range earlier {
		if e.spec.Port != l.spec.Port || e.refused != (listenerProblem{}) || e.conflict != (listenerProblem{}) {
			continue
		}
		if e.sort() != l.sort() {
			return listenerProblem{gatewayv1.ListenerReasonProtocolConflict, fmt.Sprintf("port %d serves protocol %s for listener %s already; the listener is left out: use another port", l.spec.Port, e.spec.Protocol, e.spec.Name)}
		}
		if e.hostname == l.hostname || l.sort() == traffic.SortTCP {
			return listenerProblem{gatewayv1.ListenerReasonHostnameConflict, fmt.Sprintf("listener %s has the same port and hostname already; the listener is left out: use another one", e.spec.Name)}
		}
	}
	return listenerProblem{}
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

// class is a GatewayClass.
type class struct {
	ref        object.Ref
	generation int64
	controller string
	parameters bool // it names some
}

// builtInClasses are those that need no object, by the controller of their
// Gateways: Istio makes "istio" by itself, so that nobody's YAML holds it.
var builtInClasses = map[string]string{"istio": IstioController, "fairway": FairwayController}

// controllerOf is the name under which this control plane serves Gateways of
// the class; "" when it does not.
func (w *View) controllerOf(class string) string {
	if c := w.classes[class]; c != nil {
		if c.controller == IstioController || c.controller == FairwayController {
			return c.controller
		}
		return ""
	}
	return builtInClasses[class]
}

// Served finds a Gateway of the Gateway API that this control plane serves;
// nil when there is none.
func (w *View) Served(ref object.Ref) *Gateway {
	g := w.Gateway(ref)
	if g == nil || w.controllerOf(string(g.Spec.GatewayClassName)) == "" {
		return nil
	}
	return g
}

// ForeignAddress says which Service of another namespace the Gateway names as its
// address without that namespace's consent: the Service's Pods would serve its
// listeners; "" when there is none.
func (w *View) ForeignAddress(g *Gateway) string {
	for _, host := range g.Services {
		h := w.host(host)
		if h == nil || !h.Services[0].Kubernetes() {
			continue
		}
		if s := h.Services[0]; s.Namespace != g.Ref.Namespace && !w.granted(g.Ref, "", string(object.KindService), s.Namespace, s.Name) {
			return fmt.Sprintf("Service %s is of namespace %s, and no ReferenceGrant there allows Gateways of namespace %s to refer to it; no pod serves the Gateway: add one there, or name a Service of namespace %s",
				s.Name, s.Namespace, g.Ref.Namespace, g.Ref.Namespace)
		}
	}
	return ""
}

// ListenerSecrets are the Secrets that listeners of the Gateways of the
// Gateway API show and may show, and the ConfigMaps by which clients are verified.
func (w *View) ListenerSecrets() (out []registry.Wanted) {
	named := map[registry.Wanted]struct{}{}
	add := func(wanted registry.Wanted) {
		if _, again := named[wanted]; !again {
			named[wanted] = struct{}{}
			out = append(out, wanted)
		}
	}
	for x := range w.Gateways() {
		g := w.Served(x.Ref)
		if g == nil {
			continue
		}
		for _, l := range g.listeners {
			for _, wanted := range w.clientBundles(g, l) {
				add(wanted)
			}
			secrets, _ := w.certificates(g, l)
			for _, s := range append(secrets, l.roots(secrets)...) {
				add(registry.Wanted{Ref: s, By: g.Ref, Since: g.created})
			}
		}
	}
	return out
}

// certificates are the Secrets that a listener which ends TLS shows, or why it
// cannot have one of them.
func (w *View) certificates(g *Gateway, l *listener) (secrets []object.Ref, problem listenerProblem) {
	if !l.endsTLS() {
		return nil, listenerProblem{}
	}
	if len(l.spec.TLS.CertificateRefs) == 0 {
		return nil, listenerProblem{gatewayv1.ListenerReasonInvalidCertificateRef, "the listener names no certificate: set tls.certificateRefs"}
	}
	for i, c := range l.spec.TLS.CertificateRefs {
		field := fmt.Sprintf("%s.tls.certificateRefs[%d]", l.field, i)
		group, kind := deref(c.Group, ""), deref(c.Kind, "Secret")
		if group != "" || kind != "Secret" {
			return nil, listenerProblem{gatewayv1.ListenerReasonInvalidCertificateRef, fmt.Sprintf("%s: certificates of kind %s are not supported: use a Secret", field, strings.TrimPrefix(group+"/"+kind, "/"))}
		}
		ns := deref(c.Namespace, g.Ref.Namespace)
		if ns != g.Ref.Namespace && !w.granted(g.Ref, "", "Secret", ns, string(c.Name)) {
			return nil, listenerProblem{gatewayv1.ListenerReasonRefNotPermitted, fmt.Sprintf("%s: no ReferenceGrant in namespace %s allows it: add one there", field, ns)}
		}
		if roots := string(c.Name) + registry.CASecretSuffix; i == 0 && l.asksClients() && ns != g.Ref.Namespace && !w.granted(g.Ref, "", "Secret", ns, roots) {
			return nil, listenerProblem{gatewayv1.ListenerReasonRefNotPermitted, fmt.Sprintf("%s: clients are verified by Secret %s, and no ReferenceGrant in namespace %s allows it: add one there", field, roots, ns)}
		}
		secrets = append(secrets, object.Ref{Kind: object.KindSecret, Namespace: ns, Name: string(c.Name)})
	}
	return secrets, listenerProblem{}
}
