package mesh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// TestTrustFollowsTheConfiguration: what a BackendTLSPolicy's authorities become depends on the
// rules that are in force, and so on the mesh configuration: what is counted when that changes
// is what is counted from nothing.
func TestTrustFollowsTheConfiguration(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	var bundle strings.Builder
	for i := range 200 {
		tpl := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), IsCA: true, BasicConstraintsValid: true}
		der, _ := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
		_ = pem.Encode(&bundle, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	m := metav1.ObjectMeta{Namespace: "b", Name: "one"}
	svc := &corev1.Service{ObjectMeta: m, Spec: corev1.ServiceSpec{ClusterIP: "10.1.1.1"}}
	for i := range 20 {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("http-", i), Port: int32(8000 + i)})
	}
	rule := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "r"}}
	rule.Spec.Host = "one.b.svc.cluster.local"
	for i := range 40 {
		rule.Spec.Subsets = append(rule.Spec.Subsets, &networking.Subset{Name: fmt.Sprint("s", i), Labels: map[string]string{"v": fmt.Sprint(i)}})
	}
	pol := &gatewayv1.BackendTLSPolicy{ObjectMeta: m, Spec: gatewayv1.BackendTLSPolicySpec{
		TargetRefs: []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{LocalPolicyTargetReference: gatewayv1.LocalPolicyTargetReference{Kind: "Service", Name: "one"}}},
		Validation: gatewayv1.BackendTLSPolicyValidation{Hostname: "x.example", CACertificateRefs: []gatewayv1.LocalObjectReference{{Kind: "ConfigMap", Name: "roots"}}}}}
	cfg := func(text string) Change {
		return Change{Ref: object.Ref{Kind: object.KindConfigMap, Namespace: "istio-system", Name: "istio"}, Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istio"}, Data: map[string]string{"mesh": text}}}
	}
	base := []Change{
		{Ref: object.Ref{Kind: object.KindService, Namespace: "b", Name: "one"}, Object: svc},
		{Ref: object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: "b", Name: "one"}, Object: pol},
		{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "istio-system", Name: "r"}, Object: rule},
		{Ref: object.Ref{Kind: object.KindConfigMap, Namespace: "b", Name: "roots"}, Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "roots"}, Data: map[string]string{"ca.crt": bundle.String()}}},
	}
	look := func(w *World) (int, bool) {
		s := w.Host("one.b.svc.cluster.local").Services[0]
		r := w.View(Scope{Namespace: "b"}).Rule(s)
		n := 0
		if r != nil {
			n = len(r.Subsets)
		}
		x := w.GatewayAPI().BackendTLS(s, &s.Ports[0])
		return n, x != nil && x.Authorities != nil
	}
	b := newBuilder()
	b.apply(append(base, cfg("defaultDestinationRuleExportTo: ['.']\n")))
	w, _ := b.finish()
	n, trusts := look(w)
	if n != 0 || !trusts {
		t.Fatalf("under a private rule of %d subsets the server is verified: %v", n, trusts)
	}
	b.apply([]Change{cfg("{}\n")})
	w, _ = b.finish()
	n, trusts = look(w)
	fresh, freshTrusts := look(Build(append(base, cfg("{}\n"))))
	if n != fresh || trusts != freshTrusts || trusts {
		t.Errorf("%d subsets, verified %v; from nothing %d, %v; want them closed", n, trusts, fresh, freshTrusts)
	}
}
