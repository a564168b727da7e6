package gatewayapi

import (
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// GatewayNameLabel is the label that Pods which serve a Gateway of the Gateway
// API have, with GatewayLabel of its name.
const GatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// Gateway is a Gateway of the Gateway API, read once. It never changes.
type Gateway struct {
	declarer
	uid         types.UID
	serviceType string // of the Service that the control plane makes for it
	Spec        *gatewayv1.GatewaySpec
	// listeners are its own, and behind them those of sets, which are attached to it
	// in this order.
	listeners []*listener
	sets      []*ListenerSet
	// setsFrom says of which namespaces sets are attached, of those that setsSelector
	// selects with From Selector.
	setsFrom     gatewayv1.FromNamespaces
	setsSelector labels.Selector
	// declared and allowed are the Gateway as it was written and the sets as they were:
	// of what this one is made.
	declared *Gateway
	allowed  []*ListenerSet
	// Services are the hosts that spec.addresses names: their Pods serve it.
	Services []string
	// addresses are those that the load balancer of its own Service is to give it.
	addresses []string
	// unusable are the other addresses that it asks for.
	unusable string
}

// managed tells whether the control plane is to run the Pods of the Gateway.
func (g *Gateway) managed() bool { return len(g.Services) == 0 }

func parseGateway(o *gatewayv1.Gateway) *Gateway {
	g := &Gateway{declarer: newDeclarer(object.KindKubeGateway, &o.ObjectMeta), uid: o.UID, Spec: &o.Spec}
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
	if len(o.Spec.Listeners) > maxListeners {
		g.find(object.CodeInvalid, "spec.listeners", "more than %d listeners; the others are left out: write another Gateway for them", maxListeners)
	}
	for i := range o.Spec.Listeners[:min(len(o.Spec.Listeners), maxListeners)] {
		g.listeners = append(g.listeners, g.listener(i, &o.Spec.Listeners[i]))
	}
	g.readAllowed()
	g.unread()
	return g
}

// unread tells of fields that nothing follows.
func (g *Gateway) unread() {
	if g.Spec.DefaultScope != "" && g.Spec.DefaultScope != gatewayv1.GatewayDefaultScopeNone {
		g.find(object.CodeUnsupported, "spec.defaultScope", "no route is attached to a Gateway by default: name the Gateway in parentRefs of the routes")
	}
	if in := g.Spec.Infrastructure; in != nil && in.ParametersRef != nil {
		g.find(object.CodeUnsupported, "spec.infrastructure.parametersRef", "no parameters are read, and no pods are made for the Gateway: remove it")
	}
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
		if secret, _ := w.clientCertificateRef(g); secret != (object.Ref{}) {
			add(registry.Wanted{Ref: secret, By: g.Ref, Since: g.created})
		}
		for _, l := range g.listeners {
			for _, wanted := range w.clientBundles(g, l) {
				add(wanted)
			}
			secrets, _ := w.certificates(l)
			for _, s := range append(secrets, l.roots(secrets)...) {
				add(registry.Wanted{Ref: s, By: l.of.Ref, Since: l.of.created})
			}
		}
	}
	return out
}

// certificates are the Secrets that a listener which ends TLS shows, or why it
// cannot have one of them.
func (w *View) certificates(l *listener) (secrets []object.Ref, problem listenerProblem) {
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
		ns := deref(c.Namespace, l.of.Ref.Namespace)
		if ns != l.of.Ref.Namespace && !w.granted(l.of.Ref, "", "Secret", ns, string(c.Name)) {
			return nil, listenerProblem{gatewayv1.ListenerReasonRefNotPermitted, fmt.Sprintf("%s: no ReferenceGrant in namespace %s allows it: add one there", field, ns)}
		}
		if roots := string(c.Name) + registry.CASecretSuffix; i == 0 && l.asksClients() && ns != l.of.Ref.Namespace && !w.granted(l.of.Ref, "", "Secret", ns, roots) {
			return nil, listenerProblem{gatewayv1.ListenerReasonRefNotPermitted, fmt.Sprintf("%s: clients are verified by Secret %s, and no ReferenceGrant in namespace %s allows it: add one there", field, roots, ns)}
		}
		secrets = append(secrets, object.Ref{Kind: object.KindSecret, Namespace: ns, Name: string(c.Name)})
	}
	return secrets, listenerProblem{}
}
