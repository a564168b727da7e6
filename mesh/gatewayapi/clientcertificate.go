package gatewayapi

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// clientCertificateField is where a Gateway names the certificate that it shows to servers.
const clientCertificateField = "spec.tls.backend.clientCertificateRef"

// certificateProblem is why a Gateway cannot show a certificate; the zero one is none.
type certificateProblem struct {
	Reason  gatewayv1.GatewayConditionReason
	Message string
}

// clientCertificateRef is the Secret of the certificate that the Gateway shows to servers,
// or why it may not have it; none when it names none.
func (w *View) clientCertificateRef(g *Gateway) (secret object.Ref, problem certificateProblem) {
	if g.Spec.TLS == nil || g.Spec.TLS.Backend == nil || g.Spec.TLS.Backend.ClientCertificateRef == nil {
		return object.Ref{}, certificateProblem{}
	}
	c := g.Spec.TLS.Backend.ClientCertificateRef
	if group, kind := deref(c.Group, ""), deref(c.Kind, "Secret"); group != "" || kind != "Secret" {
		return object.Ref{}, certificateProblem{gatewayv1.GatewayReasonInvalidClientCertificateRef, fmt.Sprintf("certificates of kind %s are not supported: use a Secret", strings.TrimPrefix(group+"/"+kind, "/"))}
	}
	secret = object.Ref{Kind: object.KindSecret, Namespace: deref(c.Namespace, g.Ref.Namespace), Name: string(c.Name)}
	if secret.Namespace != g.Ref.Namespace && !w.granted(g.Ref, "", "Secret", secret.Namespace, secret.Name) {
		return object.Ref{}, certificateProblem{gatewayv1.GatewayReasonRefNotPermitted, fmt.Sprintf("no ReferenceGrant in namespace %s allows the Gateway to refer to Secret %s: add one there", secret.Namespace, secret.Name)}
	}
	return secret, certificateProblem{}
}

// clientCertificateProblem is why no certificate is shown that the Gateway names.
func (w *View) clientCertificateProblem(g *Gateway) certificateProblem {
	ref, problem := w.clientCertificateRef(g)
	if ref == (object.Ref{}) {
		return problem
	}
	invalid := func(format string) certificateProblem {
		return certificateProblem{gatewayv1.GatewayReasonInvalidClientCertificateRef, fmt.Sprintf(format, ref.Namespace+"/"+ref.Name)}
	}
	s, _ := w.Secrets.Get(ref.Namespace + "/" + ref.Name)
	switch {
	case s == nil:
		return invalid("there is no Secret %s: create it")
	case s.HoldsAuthority() || registry.AuthoritySecret(ref.Name):
		return invalid("Secret %s is that of an authority and is never shown: name the Secret of a client's certificate")
	}
	if s.TypedPair() != nil {
		return invalid("Secret %s holds no certificate with its key: put them in PEM into tls.crt and tls.key")
	}
	return certificateProblem{}
}

// clientCertificate is the certificate that the Gateway wants to show to servers. One that
// is missing is still named: connections wait for it, and are not made without.
func (w *View) clientCertificate(g *Gateway) traffic.ClientCertificate {
	ref, problem := w.clientCertificateRef(g)
	if ref == (object.Ref{}) || problem != (certificateProblem{}) {
		return traffic.ClientCertificate{}
	}
	return traffic.ClientCertificate{Secret: ref, By: g.Ref, Since: g.created}
}

// resolvedRefs is what a Gateway is told of the certificate that it names; nothing when it
// names none.
func (w *View) resolvedRefs(g *Gateway) []metav1.Condition {
	if ref, problem := w.clientCertificateRef(g); ref == (object.Ref{}) && problem == (certificateProblem{}) {
		return nil
	}
	if problem := w.clientCertificateProblem(g); problem != (certificateProblem{}) {
		return []metav1.Condition{condition(gatewayv1.GatewayConditionResolvedRefs, false, problem.Reason, clientCertificateField+": "+problem.Message, g.generation)}
	}
	return []metav1.Condition{condition(gatewayv1.GatewayConditionResolvedRefs, true, gatewayv1.GatewayReasonResolvedRefs, "all that the Gateway names is there", g.generation)}
}
