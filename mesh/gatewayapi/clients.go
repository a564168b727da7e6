package gatewayapi

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// terminateOption is the option of a listener's TLS that says how it ends TLS: one of
// terminateModes, SIMPLE without it.
const terminateOption = "gateway.istio.io/tls-terminate-mode"

var terminateModes = map[string]networking.ServerTLSSettings_TLSmode{
	"SIMPLE":          networking.ServerTLSSettings_SIMPLE,
	"MUTUAL":          networking.ServerTLSSettings_MUTUAL,
	"OPTIONAL_MUTUAL": networking.ServerTLSSettings_OPTIONAL_MUTUAL,
}

// endsTLS tells whether TLS ends at the listener.
func (l *listener) endsTLS() bool {
	return l.sort() == traffic.SortTLS && l.spec.TLS != nil && deref(l.spec.TLS.Mode, string(gatewayv1.TLSModeTerminate)) == string(gatewayv1.TLSModeTerminate)
}

// terminateMode is how a listener that ends TLS treats clients; false when its option is
// none of terminateModes.
func (l *listener) terminateMode() (networking.ServerTLSSettings_TLSmode, bool) {
	text, given := l.spec.TLS.Options[terminateOption]
	if !given {
		return networking.ServerTLSSettings_SIMPLE, true
	}
	mode, known := terminateModes[string(text)]
	return mode, known
}

// asksClients tells whether a listener that ends TLS asks clients for certificates.
func (l *listener) asksClients() bool {
	mode, _ := l.terminateMode()
	return mode == networking.ServerTLSSettings_MUTUAL || mode == networking.ServerTLSSettings_OPTIONAL_MUTUAL
}

// roots are the Secrets, beside those of its certificates, in which the authority of
// clients may stand.
func (l *listener) roots(certificates []object.Ref) []object.Ref {
	if len(certificates) == 0 || !l.asksClients() {
		return nil
	}
	r := certificates[0]
	r.Name += registry.CASecretSuffix
	return []object.Ref{r}
}

// refuseMode leaves out a listener of which nobody knows how it is to treat clients: it
// might be served to everybody.
func (l *listener) refuseMode() {
	if !l.endsTLS() {
		return
	}
	if _, known := l.terminateMode(); !known {
		l.refuse(gatewayv1.ListenerReasonUnsupportedValue, "tls.options has %s: %q, which is no mode; the listener is left out: use SIMPLE, MUTUAL or OPTIONAL_MUTUAL", terminateOption, l.spec.TLS.Options[terminateOption])
	}
}

// unknownOptions tells whether the listener has options that nothing follows.
func (l *listener) unknownOptions() bool {
	if l.spec.TLS == nil {
		return false
	}
	for name := range l.spec.TLS.Options {
		if name != terminateOption || !l.endsTLS() {
			return true
		}
	}
	return false
}

// rootsProblem is why clients of a listener cannot be verified.
func (w *View) rootsProblem(l *listener, certificates []object.Ref) listenerProblem {
	roots := l.roots(certificates)
	if roots == nil {
		return listenerProblem{}
	}
	for _, ref := range append(roots, certificates[0]) {
		s, _ := w.Secrets.Get(ref.Namespace + "/" + ref.Name)
		if s != nil && slices.ContainsFunc([]string{"ca.crt", "cacert"}, func(entry string) bool { return len(s.Data[entry]) > 0 }) {
			return listenerProblem{}
		}
	}
	return listenerProblem{gatewayv1.ListenerReasonInvalidCertificateRef, fmt.Sprintf("neither Secret %s/%s nor %s has ca.crt, by which clients are verified; until one has, no client can connect: add it", roots[0].Namespace, roots[0].Name, certificates[0].Name)}
}
