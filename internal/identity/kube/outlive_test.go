package kube

import (
	"bytes"
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/internal/identity"
)

// TestRootOutlivesItsSecret does to the Secret what people and tools do, under
// two replicas, of which one leads.
func TestRootOutlivesItsSecret(t *testing.T) {
	c, ns := client(t), namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	at := &Secret{c, ns, AuthoritySecret}
	open := func() *identity.Authority {
		a, err := identity.Open(ctx, identity.Options{Storage: at, Poll: 50 * time.Millisecond, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	leader, replica := open(), open()
	go leader.Run(ctx)      //nolint:errcheck // returns nil
	go replica.Run(ctx)     //nolint:errcheck // returns nil
	go leader.Maintain(ctx) //nolint:errcheck // returns nil
	secrets := c.CoreV1().Secrets(ns)
	get := func() *corev1.Secret {
		o, err := secrets.Get(ctx, AuthoritySecret, metav1.GetOptions{})
		if err != nil {
			return &corev1.Secret{}
		}
		return o
	}
	eventually(t, "the Secret is as it stays", func() bool { return len(get().Data["lineage"]) > 0 && leader.Problem() == nil })
	stranger := &identity.Memory{}
	authority(t, stranger)
	foreign, _, err := stranger.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	good, bundle := get(), string(leader.Bundle())
	remove := func() {
		if err := secrets.Delete(ctx, AuthoritySecret, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create := func(o *corev1.Secret) {
		o.ObjectMeta = metav1.ObjectMeta{Name: AuthoritySecret, Namespace: ns}
		if _, err := secrets.Create(ctx, o, metav1.CreateOptions{}); err != nil {
			t.Logf("the control plane was faster: %v", err)
		}
	}
	update := func(edit func(*corev1.Secret)) {
		o := get()
		edit(o)
		if _, err := secrets.Update(ctx, o, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	yes := true
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"deleted", remove},
		{"emptied", func() { update(func(o *corev1.Secret) { o.Data = nil }) }},
		{"truncated", func() { update(func(o *corev1.Secret) { o.Data["ca-key.pem"] = o.Data["ca-key.pem"][:50] }) }},
		{"a stranger's", func() { update(func(o *corev1.Secret) { o.Data = foreign }) }},
		{"emptied for good", func() { update(func(o *corev1.Secret) { o.Data, o.Immutable = nil, &yes }) }},
		{"of another type", func() { remove(); create(&corev1.Secret{Type: "istio.io/ca-root", Data: foreign}) }},
		{"of another type, with rules", func() {
			remove()
			create(&corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": good.Data["ca-cert.pem"], "tls.key": good.Data["ca-key.pem"]}})
		}},
		{"held back by a finalizer", func() {
			update(func(o *corev1.Secret) { o.Finalizers = []string{"example.com/never"} })
			remove()
			update(func(o *corev1.Secret) { o.Data = nil })
		}},
	} {
		version := get().ResourceVersion
		step.do()
		eventually(t, step.name+": it is back", func() bool {
			o := get()
			return o.ResourceVersion != version && bytes.Equal(o.Data["ca-key.pem"], good.Data["ca-key.pem"]) && bytes.Equal(o.Data["ca-cert.pem"], good.Data["ca-cert.pem"])
		})
		for _, a := range []*identity.Authority{leader, replica} {
			eventually(t, step.name+": all is well", func() bool { return a.Problem() == nil })
			if string(a.Bundle()) != bundle {
				t.Fatalf("%s: the bundle has changed", step.name)
			}
		}
		if again := authority(t, at); string(again.Bundle()) != bundle {
			t.Errorf("%s: a replica that starts has another root", step.name)
		}
	}
}
