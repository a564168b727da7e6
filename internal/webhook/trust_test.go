package webhook

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/internal/identity"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// TestTrust has a real API server call the webhook while the root is rotated
// and the configuration is overwritten.
func TestTrust(t *testing.T) {
	server := kubetest.Start(t, kube.Options{NoCRDs: true})
	client := kubernetes.NewForConfigOrDie(server.REST)
	authority, err := identity.Open(t.Context(), identity.Options{
		Storage: &identity.Memory{}, RootLifetime: time.Hour, LeafLifetime: time.Minute, Overlap: 2 * time.Second, Poll: 50 * time.Millisecond, Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := config()
	c.Certificate = certificate.GetCertificate
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	run := func(what string, f func(context.Context) error) {
		ended := make(chan error, 1)
		go func() { ended <- f(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	run("authority", authority.Run)
	run("maintenance", authority.Maintain)
	run("webhook", func(ctx context.Context) error { return Serve(ctx, l, c) })
	trust := &Trust{Client: client, Authority: authority, Name: "fairway-test", Log: quiet()}
	run("trust", trust.Run)

	// It has been running before there is a configuration.
	configure(t, client, l.Addr().String())
	bundle := func() string {
		c, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "fairway-test", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(c.Webhooks[0].ClientConfig.CABundle)
	}
	eventually(t, "the caBundle is filled in", func() bool { return bundle() == string(authority.Bundle()) })
	pods := &creator{client: client}
	eventually(t, "the API server believes it", func() bool { return pods.create(t.Context()) == nil })

	t.Run("overwritten", func(t *testing.T) {
		_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(t.Context(), "fairway-test", types.JSONPatchType,
			[]byte(`[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the caBundle is repaired", func() bool { return bundle() == string(authority.Bundle()) })
		eventually(t, "the API server believes it again", func() bool { return pods.create(t.Context()) == nil })
	})
	t.Run("overwritten without end", func(t *testing.T) {
		repairs := 0
		for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if bundle() != string(authority.Bundle()) {
				continue
			}
			repairs++
			_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(t.Context(), "fairway-test", types.JSONPatchType,
				[]byte(`[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`), metav1.PatchOptions{})
			if err != nil {
				t.Fatal(err)
			}
		}
		if repairs > 8 {
			t.Errorf("%d repairs", repairs)
		}
		eventually(t, "in the end it is repaired", func() bool { return bundle() == string(authority.Bundle()) })
		eventually(t, "in the end the API server believes it", func() bool { return pods.create(t.Context()) == nil })
	})
	t.Run("rotated", func(t *testing.T) {
		before := signing(authority)
		if err := authority.RotateRoot(t.Context()); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(30 * time.Second); signing(authority) == before; {
			if err := pods.create(t.Context()); err != nil {
				t.Fatalf("while the root is rotated: %v", err)
			}
			if time.Now().After(deadline) {
				t.Fatal("the new root does not sign")
			}
		}
		eventually(t, "the certificate leads to the new root", func() bool { return presented(t, l.Addr().String(), authority) == signing(authority) })
		for range 20 {
			if err := pods.create(t.Context()); err != nil {
				t.Fatalf("after the root was rotated: %v", err)
			}
		}
		if got := bundle(); strings.Count(got, "BEGIN CERTIFICATE") != 2 {
			t.Errorf("the caBundle does not hold both roots:\n%s", got)
		}
	})
}

// configure asks the API server to call the webhook at an address.
func configure(t *testing.T, client kubernetes.Interface, address string) {
	t.Helper()
	url, fail, none := "https://"+address+"/inject", admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	w := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "fairway-test"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "test.injection.fairway-mesh.dev", ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url}, FailurePolicy: &fail, SideEffects: &none,
			AdmissionReviewVersions: []string{"v1"},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
	if _, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), w, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// creator makes pods, which the webhook has to inject.
type creator struct {
	client kubernetes.Interface
	count  atomic.Int64
}

func (c *creator) create(ctx context.Context) error {
	name := fmt.Sprintf("pod-%d", c.count.Add(1))
	pod, err := c.client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err
	}
	text, err := json.Marshal(pod.Spec)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), "istio-proxy") {
		return fmt.Errorf("%s is not injected", name)
	}
	return nil
}

func signing(a *identity.Authority) string {
	for _, r := range a.Roots() {
		if r.Signing {
			return r.Fingerprint
		}
	}
	return ""
}

// presented is the fingerprint of the root that the port's certificate leads to.
func presented(t *testing.T, address string, a *identity.Authority) string {
	t.Helper()
	for _, r := range a.Roots() {
		pool := x509.NewCertPool()
		for _, c := range certificates(t, a.Bundle()) {
			if fingerprint(c) == r.Fingerprint {
				pool.AddCert(c)
			}
		}
		if dial(address, pool) == nil {
			return r.Fingerprint
		}
	}
	return ""
}
