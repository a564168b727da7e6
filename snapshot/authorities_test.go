package snapshot_test

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
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// rootIn is a new certificate of an authority, in PEM.
func rootIn(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func bundleOf(namespace, name, text string) mesh.Change {
	return mesh.Change{Ref: object.Ref{Kind: object.KindConfigMap, Namespace: namespace, Name: name}, Object: &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{"ca.crt": text}}}
}

// verified is a Service of some ports whose servers are verified by a ConfigMap.
func verified(namespace, name, bundle string, age int64, ports int) []mesh.Change {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(age, 0))}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.7.%d.%d", len(namespace), age)}}
	for i := range ports {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("http-", i), Port: int32(8000 + i)})
	}
	return []mesh.Change{
		{Ref: object.Ref{Kind: object.KindService, Namespace: namespace, Name: name}, Object: service},
		{Ref: object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: namespace, Name: name}, Object: &gatewayv1.BackendTLSPolicy{ObjectMeta: meta, Spec: gatewayv1.BackendTLSPolicySpec{
			TargetRefs: []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{LocalPolicyTargetReference: gatewayv1.LocalPolicyTargetReference{Kind: "Service", Name: gatewayv1.ObjectName(name)}}},
			Validation: gatewayv1.BackendTLSPolicyValidation{Hostname: "x.example", CACertificateRefs: []gatewayv1.LocalObjectReference{{Kind: "ConfigMap", Name: gatewayv1.ObjectName(bundle)}}},
		}}},
	}
}

// authoritiesSeen are the secrets of authorities that a proxy is given, by name.
func authoritiesSeen(p *plane, proxy string) map[string]*snapshot.Resource {
	out := map[string]*snapshot.Resource{}
	for r := range p.views[proxy].Current().All(snapshot.Secret) {
		if strings.HasPrefix(r.Name, "authorities:") {
			out[r.Name] = r
		}
	}
	return out
}

// TestAuthoritiesComeOnce: what a ConfigMap holds is sent once to those whose clusters trust
// it, and what is written into it changes nothing but the secret.
func TestAuthoritiesComeOnce(t *testing.T) {
	p := newPlane(t)
	p.store.Submit(append(append(verified("b", "one", "roots", 1, 3), verified("b", "two", "roots", 2, 2)...), bundleOf("b", "roots", rootIn(t)), routerPod()))
	p.store.Synced()
	p.settle(t, 1)
	p.attach(t)
	const name = "authorities:b:b/roots"
	before := p.views["a/p0"].Current()
	if seen := authoritiesSeen(p, "a/p0"); len(seen) != 1 || seen[name] == nil || seen[name].Size() > 2000 {
		t.Fatalf("a sidecar is given %v", seen)
	}
	if seen := authoritiesSeen(p, "a/gw"); len(seen) != 0 {
		t.Errorf("a gateway without routes there is given %v", seen)
	}
	p.store.Submit([]mesh.Change{bundleOf("b", "roots", rootIn(t))})
	p.settle(t, 2)
	after := p.views["a/p0"].Current()
	for of := range snapshot.NumTypes {
		differences := before.Diff(after, of)
		if of == snapshot.Secret && (len(differences) != 1 || differences[0].Name != name) || of != snapshot.Secret && len(differences) > 0 {
			t.Errorf("%d resources of type %s changed with the ConfigMap", len(differences), of)
		}
	}
	p.store.Submit([]mesh.Change{{Ref: object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: "b", Name: "one"}}})
	p.settle(t, 3)
	if seen := authoritiesSeen(p, "a/p0"); seen[name] == nil {
		t.Error("the secret went with the first of two policies")
	}
	p.store.Submit([]mesh.Change{{Ref: object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: "b", Name: "two"}}})
	p.settle(t, 4)
	if seen := authoritiesSeen(p, "a/p0"); len(seen) != 0 {
		t.Errorf("without a policy a sidecar is given %v", seen)
	}
}

// TestAuthoritiesAreBounded: of a namespace that has all clusters trust more than proxies take,
// the youngest trust nobody; what others trust stays.
func TestAuthoritiesAreBounded(t *testing.T) {
	root := rootIn(t)
	large := strings.Repeat(root, 250<<10/len(root))
	changes := append(verified("b", "old", "first", 1, 40), verified("b", "young", "second", 2, 40)...)
	changes = append(append(changes, verified("c", "other", "roots", 3, 2)...), bundleOf("b", "first", large), bundleOf("b", "second", large), bundleOf("c", "roots", root))
	p := newPlane(t)
	p.store.Submit(changes)
	p.store.Synced()
	p.settle(t, 1)
	p.attach(t)
	seen := authoritiesSeen(p, "a/p0")
	for name, whole := range map[string]bool{"authorities:b:b/first": true, "authorities:b:b/second": false, "authorities:c:c/roots": true} {
		if r := seen[name]; r == nil || !strings.Contains(string(r.Body()), strings.Repeat("0", 64)) != whole {
			t.Errorf("%s: whole is not %v", name, whole)
		}
	}
	var told []object.Ref
	for _, f := range p.engine.Findings() {
		if strings.Contains(f.Message, "more than a proxy is given") {
			told = append(told, f.Object)
		}
	}
	if len(told) != 1 || told[0].Name != "young" {
		t.Errorf("told to %v", told)
	}
}
