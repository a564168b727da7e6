package kube

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/internal/identity"
)

func TestSecretStorage(t *testing.T) {
	ctx := t.Context()
	s := &Secret{client(t), namespace(t), AuthoritySecret}
	if entries, v, err := s.Load(ctx); entries != nil || v != "" || err != nil {
		t.Errorf("an absent Secret holds %v, %q, %v", entries, v, err)
	}
	one := map[string][]byte{"a": []byte("1")}
	if err := s.Save(ctx, one, "12345"); !errors.Is(err, identity.ErrConflict) {
		t.Errorf("update of nothing: %v", err)
	}
	if err := s.Save(ctx, one, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, one, ""); !errors.Is(err, identity.ErrConflict) {
		t.Errorf("second creation: %v", err)
	}
	_, v, err := s.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, map[string][]byte{"a": []byte("2")}, v); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, one, v); !errors.Is(err, identity.ErrConflict) {
		t.Errorf("stale update: %v", err)
	}
	if got, _, err := s.Load(ctx); err != nil || string(got["a"]) != "2" {
		t.Errorf("holds %q, %v", got, err)
	}
	secret := "very secret words"
	err = s.Save(ctx, map[string][]byte{"not/a/valid key": []byte(secret)}, "")
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("an invalid entry: %v", err)
	}
}

// TestReplicasShareOneRoot starts many at once against one API server.
func TestReplicasShareOneRoot(t *testing.T) {
	c, ns := client(t), namespace(t)
	const replicas = 6
	answers := make(chan string, replicas)
	for range replicas {
		go func() {
			a, err := identity.Open(context.Background(), identity.Options{Storage: &Secret{c, ns, AuthoritySecret}, Log: quiet()})
			if err != nil {
				answers <- err.Error()
				return
			}
			answers <- string(a.Bundle())
		}()
	}
	first := <-answers
	if !strings.HasPrefix(first, "-----BEGIN CERTIFICATE-----") {
		t.Fatal(first)
	}
	for range replicas - 1 {
		if b := <-answers; b != first {
			t.Errorf("replicas differ:\n%s\n%s", first, b)
		}
	}
	o, err := c.CoreV1().Secrets(ns).Get(t.Context(), AuthoritySecret, metav1.GetOptions{})
	if err != nil || string(o.Data["root-cert.pem"]) != first {
		t.Errorf("the Secret holds another root: %v", err)
	}
}

// TestPluggedInFromSecret puts an authority into the Secret cacerts of a mesh
// that runs, breaks it, and looks at what becomes of both replicas.
func TestPluggedInFromSecret(t *testing.T) {
	c, ns := client(t), namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	company := &identity.Memory{}
	authority(t, company) // a root of its own, to be used as what a user plugs in
	entries, _, err := company.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	plugged := &Secret{c, ns, PluggedInSecret}
	a, err := identity.Open(ctx, identity.Options{
		Storage: &Secret{c, ns, AuthoritySecret}, PluggedIn: plugged.PluggedIn, PluggedInName: plugged.String(),
		Overlap: time.Second, Poll: 100 * time.Millisecond, Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	go a.Run(ctx)      //nolint:errcheck // returns nil
	go a.Maintain(ctx) //nolint:errcheck // returns nil
	if err := plugged.Save(ctx, entries, ""); err != nil {
		t.Fatal(err)
	}
	root := string(entries["root-cert.pem"])
	eventually(t, "the plugged-in authority signs and both roots are trusted", func() bool {
		signing := 0
		for _, r := range a.Roots() {
			if r.Signing {
				signing++
			}
		}
		return signing == 1 && len(a.Roots()) == 2 && strings.Contains(string(a.Bundle()), root) && a.Problem() == nil
	})
	_, v, err := plugged.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := plugged.Save(ctx, map[string][]byte{"ca-cert.pem": entries["ca-cert.pem"]}, v); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the broken Secret is reported", func() bool {
		err := a.Problem()
		return err != nil && strings.Contains(err.Error(), "Secret "+ns+"/cacerts: ca-key.pem")
	})
	if !strings.Contains(string(a.Bundle()), root) {
		t.Error("the last good authority was forgotten")
	}
}
