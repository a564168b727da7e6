package mesh

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/registry"
)

func TestForeignAddress(t *testing.T) {
	gateway := `kind: Gateway
metadata: {name: front, namespace: a}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: web.b.svc.cluster.local}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
`
	grant := `---
kind: ReferenceGrant
metadata: {name: yes, namespace: b}
spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: %}], to: [{group: "", kind: Service}]}`
	pods := Scope{Role: RoleRouter, Namespace: "b", Labels: "app=web"}
	ref := object.Ref{Kind: object.KindKubeGateway, Namespace: "a", Name: "front"}
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"without consent": {gateway, false}, "with it": {gateway + strings.Replace(grant, "%", "a", 1), true}, "for others": {gateway + strings.Replace(grant, "%", "c", 1), false},
		"its own": {strings.Replace(gateway, "web.b.svc", "web.a.svc", 1), false},
	} {
		w := apiWorld(t, strings.Replace(c.text, "name: yes", "name: consent", 1))
		if got := len(w.View(pods).SelectedGateways()) == 1; got != c.want {
			t.Errorf("%s: pods of namespace b serve it: %v", name, got)
		}
		status, _ := w.GatewayAPI().GatewayStatus(ref)
		if refused := strings.Contains(conditions(status.Conditions), "Accepted=False/UnsupportedAddress"); refused == c.want && name != "its own" || refused && name == "its own" {
			t.Errorf("%s: %s", name, conditions(status.Conditions))
		}
	}
}

func TestAuthoritySecrets(t *testing.T) {
	secret := func(name string, kind corev1.SecretType, data map[string][]byte) *registry.Secret {
		return registry.ParseSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: name}, Type: kind, Data: data})
	}
	for name, s := range map[string]*registry.Secret{
		"plugged in, as TLS": secret("cacerts", corev1.SecretTypeTLS, map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y")}),
		"Fairway's":          secret("fairway-ca-secret", "", nil),
		"Istio's":            secret("istio-ca-secret", "istio.io/ca-root", nil),
		"of Istio's type":    secret("other", "istio.io/ca-root", map[string][]byte{"cert": []byte("x")}),
		"by its key":         secret("other", "", map[string][]byte{"ca-key.pem": []byte("x"), "tls.crt": []byte("x")}),
	} {
		if !s.HoldsAuthority() {
			t.Errorf("%s: may be given away", name)
		}
	}
	if s := secret("shop", corev1.SecretTypeTLS, map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y"), "ca.crt": []byte("z")}); s.HoldsAuthority() {
		t.Error("a server's certificate is kept back")
	}
}
