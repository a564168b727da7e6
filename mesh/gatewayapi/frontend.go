package gatewayapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

// frontend is how clients of a listener are verified, as spec.tls.frontend of its Gateway
// asks.
type frontend struct {
	field string // of the validation
	refs  []gatewayv1.ObjectReference
	// fallback serves clients without a certificate, and with one that nobody has
	// verified, as well.
	fallback bool
}

// maxPerPort is how many ports the API lets have settings of their own.
const maxPerPort = 64

// frontends reads spec.tls.frontend. What is for a port comes before the default, and a
// port that says nothing asks for nothing.
func (g *Gateway) frontends() {
	if g.Spec.TLS == nil || g.Spec.TLS.Frontend == nil {
		return
	}
	f := g.Spec.TLS.Frontend
	perPort := f.PerPort[:min(len(f.PerPort), maxPerPort)]
	if len(f.PerPort) > maxPerPort {
		g.find(object.CodeInvalid, "spec.tls.frontend.perPort", "more than %d entries; the default is in force on the ports of the others: write fewer", maxPerPort)
	}
	standard := g.frontend("spec.tls.frontend.default.validation", f.Default.Validation)
	own := map[gatewayv1.PortNumber]*frontend{}
	ends := func(l *listener) bool { return l.endsTLS() && l.refused == listenerProblem{} }
	if standard == nil && len(perPort) == 0 {
		g.find(object.CodeUnsupported, "spec.tls.frontend", "it asks nothing of clients, and has no effect: add validation, or remove it")
	}
	for i, p := range perPort {
		if !slices.ContainsFunc(g.listeners, func(l *listener) bool { return ends(l) && l.spec.Port == p.Port }) {
			g.find(object.CodeUnsupported, fmt.Sprintf("spec.tls.frontend.perPort[%d]", i), "no listener that ends TLS has port %d, and the entry has no effect: correct the port", p.Port)
		}
		if _, again := own[p.Port]; !again {
			own[p.Port] = g.frontend(fmt.Sprintf("spec.tls.frontend.perPort[%d].tls.validation", i), p.TLS.Validation)
		}
	}
	for _, l := range g.listeners {
		if !ends(l) {
			continue
		}
		var is bool
		if l.clients, is = own[l.spec.Port]; !is {
			l.clients = standard
		}
		if l.clients != nil && l.asksClients() {
			l.refuse(gatewayv1.ListenerReasonUnsupportedValue, "%s and the option %s of its tls both ask for certificates of clients; the listener is left out: remove one of them", l.clients.field, terminateOption)
		}
	}
}

// frontend reads one validation; nil for none.
func (g *Gateway) frontend(field string, v *gatewayv1.FrontendTLSValidation) *frontend {
	if v == nil {
		return nil
	}
	f := &frontend{field: field, refs: v.CACertificateRefs[:min(len(v.CACertificateRefs), maxPolicyBundles)], fallback: v.Mode == gatewayv1.AllowInsecureFallback}
	if len(v.CACertificateRefs) > maxPolicyBundles {
		g.find(object.CodeInvalid, field+".caCertificateRefs", "more than %d references; clients of the other authorities are not accepted: write fewer", maxPolicyBundles)
	}
	if v.Mode != "" && v.Mode != gatewayv1.AllowValidOnly && !f.fallback {
		g.find(object.CodeInvalid, field+".mode", "%q is not known; clients must have a valid certificate: use AllowValidOnly or AllowInsecureFallback", v.Mode)
	}
	return f
}

// bundleOf is the ConfigMap that a reference to an authority names, or why the Gateway
// cannot have it.
func (w *View) bundleOf(g *Gateway, c gatewayv1.ObjectReference) (object.Ref, listenerProblem) {
	if c.Group != "" || c.Kind != "ConfigMap" {
		return object.Ref{}, listenerProblem{gatewayv1.ListenerReasonInvalidCACertificateKind, fmt.Sprintf("%s %s/%s holds no certificates of authorities here: use a ConfigMap, whose group is empty", strings.TrimPrefix(string(c.Group)+"/"+string(c.Kind), "/"), deref(c.Namespace, g.Ref.Namespace), c.Name)}
	}
	ref := object.Ref{Kind: object.KindConfigMap, Namespace: deref(c.Namespace, g.Ref.Namespace), Name: string(c.Name)}
	if ref.Namespace != g.Ref.Namespace && !w.granted(g.Ref, "", "ConfigMap", ref.Namespace, ref.Name) {
		return object.Ref{}, listenerProblem{gatewayv1.ListenerReasonRefNotPermitted, fmt.Sprintf("no ReferenceGrant in namespace %s allows the Gateway to refer to ConfigMap %s: add one there", ref.Namespace, ref.Name)}
	}
	return ref, listenerProblem{}
}

// clientRoots are the authorities by which clients of a listener are verified, and what is
// wrong with the first reference to one of which something is. Nil means that the listener is
// not served: everybody could use it.
func (w *View) clientRoots(g *Gateway, l *listener) (roots *object.Authorities, problem listenerProblem) {
	if l.clients == nil {
		return nil, listenerProblem{}
	}
	var a authorities
	for i, c := range l.clients.refs {
		ref, refused := w.bundleOf(g, c)
		if refused == (listenerProblem{}) {
			if what := a.add(w.Index, ref); what != "" {
				refused = listenerProblem{gatewayv1.ListenerReasonInvalidCACertificateRef, what}
			}
		}
		if refused != (listenerProblem{}) && problem == (listenerProblem{}) {
			problem = listenerProblem{refused.Reason, fmt.Sprintf("%s.caCertificateRefs[%d]: %s", l.clients.field, i, refused.Message)}
		}
	}
	if len(a.roots) == 0 && problem == (listenerProblem{}) {
		problem = listenerProblem{gatewayv1.ListenerReasonInvalidCACertificateRef, l.clients.field + " names no authority: set caCertificateRefs"}
	}
	return a.of(g.Ref.Namespace), problem
}

// clientBundles are the ConfigMaps by which clients of a listener are verified.
func (w *View) clientBundles(g *Gateway, l *listener) (out []registry.Wanted) {
	if l.clients == nil {
		return nil
	}
	for _, c := range l.clients.refs {
		if ref, refused := w.bundleOf(g, c); refused == (listenerProblem{}) {
			out = append(out, registry.Wanted{Ref: ref, By: g.Ref, Since: g.created})
		}
	}
	return out
}

// trusts tells whether clients of the Gateway are verified by a ConfigMap.
func (g *Gateway) trusts(ref object.Ref) bool {
	for _, l := range g.listeners {
		if l.clients == nil {
			continue
		}
		for _, c := range l.clients.refs {
			if string(c.Name) == ref.Name && deref(c.Namespace, g.Ref.Namespace) == ref.Namespace {
				return true
			}
		}
	}
	return false
}

// fallsBack is where the Gateway accepts clients whom nobody has verified; "" when it does
// nowhere.
func (g *Gateway) fallsBack() string {
	for _, l := range g.listeners {
		if l.clients != nil && l.clients.fallback {
			return l.clients.field
		}
	}
	return ""
}

// FrontendFindings are what is wrong with how clients of a Gateway are verified.
func (w *View) FrontendFindings(g *Gateway) (out []object.Finding) {
	told := map[*frontend]struct{}{}
	for _, l := range g.listeners {
		if _, done := told[l.clients]; done || l.clients == nil {
			continue
		}
		told[l.clients] = struct{}{}
		roots, problem := w.clientRoots(g, l)
		if problem == (listenerProblem{}) {
			continue
		}
		field, what, _ := strings.Cut(problem.Message, ": ")
		if !strings.HasPrefix(field, l.clients.field) {
			field, what = l.clients.field, problem.Message
		}
		instead := "the listeners that it is for are not served until then"
		if roots != nil {
			instead = "clients of the other authorities alone are accepted"
		}
		out = append(out, object.Finding{Object: g.Ref, Field: field, Code: object.CodeSecret, Message: what + "; " + instead})
	}
	return out
}

// frontendRefusal is why a listener cannot be served for want of an authority.
func (w *View) frontendRefusal(g *Gateway, l *listener) listenerProblem {
	roots, problem := w.clientRoots(g, l)
	if l.clients == nil || roots != nil {
		return listenerProblem{}
	}
	return listenerProblem{gatewayv1.ListenerReasonNoValidCACertificate, cmp.Or(problem.Message, "no authority is named")}
}
