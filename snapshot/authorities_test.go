package snapshot_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/mesh/traffic"
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

// closedHosts are the hosts whose clusters accept no certificate, as a proxy sees them.
func closedHosts(p *plane, proxy string) (hosts []string) {
	for r := range p.views[proxy].Current().All(snapshot.Cluster) {
		if _, host, ok := strings.Cut(r.Name, "||"); ok && bytes.Contains(r.Body(), []byte(traffic.NobodysName)) && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// TestAuthoritiesAreBounded: of a namespace whose policies have clusters trust more than
// proxies take, the youngest that do not fit have nobody trusted, and only they, though all
// name one ConfigMap and some of their Services are seen by few; what was left out comes back
// when there is room. It is as if all had come at once.
func TestAuthoritiesAreBounded(t *testing.T) {
	root := rootIn(t)
	large := strings.Repeat(root, 250<<10/len(root))
	young := verified("b", "young", "first", 2, 200)
	young[0].Object.(*corev1.Service).Annotations = map[string]string{"networking.istio.io/exportTo": "a"}
	p, have := newPlane(t), map[object.Ref]mesh.Change{}
	submit := func(changes ...mesh.Change) {
		p.store.Submit(changes)
		for _, c := range changes {
			if have[c.Ref] = c; c.Object == nil {
				delete(have, c.Ref)
			}
		}
	}
	submit(append(verified("b", "old", "first", 1, 200), bundleOf("b", "first", large), bundleOf("c", "roots", root))...)
	submit(append(verified("b", "tiny", "first", 3, 1), verified("c", "other", "roots", 4, 2)...)...)
	p.store.Synced()
	p.settle(t, 1)
	p.attach(t)
	check := func(want ...string) {
		t.Helper()
		if got := closedHosts(p, "a/p0"); !slices.Equal(got, want) {
			t.Errorf("nobody is trusted for %v, want %v", got, want)
		}
		for _, name := range []string{"authorities:b:b/first", "authorities:c:c/roots"} {
			if r := authoritiesSeen(p, "a/p0")[name]; r == nil || !strings.Contains(string(r.Body()), root) {
				t.Errorf("%s is not sent", name)
			}
		}
		var told []string
		for _, f := range p.engine.Findings() {
			if strings.Contains(f.Message, "more bytes of certificates") {
				told = append(told, f.Object.Name+" for "+f.Winner.Name+" at "+f.Field)
			}
		}
		if len(told) != len(want) || len(want) > 0 && told[0] != "young for old at spec.validation.caCertificateRefs" {
			t.Errorf("told %v", told)
		}
		q := newPlane(t)
		q.store.Submit(slices.Collect(maps.Values(have)))
		q.store.Synced()
		q.settle(t, 1)
		q.attach(t)
		for proxy, v := range p.views {
			for of := range snapshot.NumTypes {
				if d := v.Current().Diff(q.views[proxy].Current(), of); len(d) > 0 {
					t.Errorf("%s: %d resources of type %s are not as from nothing, first %s", proxy, len(d), of, d[0].Name)
				}
			}
		}
	}
	check()
	submit(young...)
	p.settle(t, 2)
	check("young.b.svc.cluster.local")
	submit(verified("b", "old", "first", 1, 20)[0])
	p.settle(t, 3)
	check()
	submit(mesh.Change{Ref: object.Ref{Kind: object.KindDestinationRule, Namespace: "b", Name: "subsets"}, Object: &networkingv1.DestinationRule{
		ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "subsets"},
		Spec:       networking.DestinationRule{Host: "old.b.svc.cluster.local", Subsets: []*networking.Subset{{Name: "x", Labels: map[string]string{"v": "x"}}}},
	}}, verified("b", "old", "first", 1, 100)[0])
	p.settle(t, 4)
	check("young.b.svc.cluster.local")
	submit(mesh.Change{Ref: object.Ref{Kind: object.KindBackendTLSPolicy, Namespace: "b", Name: "old"}})
	p.settle(t, 5)
	check()
}

// TestHonestAuthoritiesFit: a bundle of ordinary roots for all of a large namespace.
func TestHonestAuthoritiesFit(t *testing.T) {
	root := rootIn(t)
	p := newPlane(t)
	p.store.Submit([]mesh.Change{bundleOf("b", "roots", strings.Repeat(root, 32<<10/len(root)))})
	for i := range 10 {
		p.store.Submit(verified("b", fmt.Sprint("s", i), "roots", int64(i), 200))
	}
	p.store.Synced()
	p.settle(t, 1)
	p.attach(t)
	if got := closedHosts(p, "a/p0"); len(got) > 0 || len(authoritiesSeen(p, "a/p0")) != 1 {
		t.Errorf("nobody is trusted for %v", got)
	}
}
