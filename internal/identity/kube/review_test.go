package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fairway-mesh/fairway/internal/identity"
)

// authenticate is what the secure xDS port does with a token.
func authenticate(t *testing.T, token string) (identity.Peer, error) {
	t.Helper()
	a, err := identity.NewAuthenticator(identity.AuthenticatorOptions{
		Review: Review(client(t)), TrustDomain: func() string { return "cluster.local" }, Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a.Authenticate(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+token)))
}

func refused(t *testing.T, err error, want identity.Reason, token string) {
	t.Helper()
	var r *identity.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal as %s", err, want)
	}
	t.Logf("%s: %s: %s", r.Reason, status.Code(err), r.Message)
	if r.Reason != want {
		t.Errorf("refused as %s, want %s", r.Reason, want)
	}
	if c := status.Code(err); c != codes.Unauthenticated {
		t.Errorf("as gRPC status it is %s", c)
	}
	for _, part := range append(strings.Split(token, "."), token) {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Error("the refusal shows the token")
		}
	}
}

func TestTokenOfPod(t *testing.T) {
	ns := namespace(t)
	p := pod(t, ns, "sleep", "sleep-1")
	token := tokenFor(t, ns, "sleep", "fairway", p)
	got, err := authenticate(t, token)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != (identity.ID{TrustDomain: "cluster.local", Namespace: ns, ServiceAccount: "sleep"}) || got.Pod != "sleep-1" || got.PodUID != string(p.UID) {
		t.Errorf("it is %+v", got)
	}
	if left := time.Until(got.Expires); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the proof ends in %s", left)
	}
}

func TestTokenRefused(t *testing.T) {
	ns := namespace(t)
	now := int64(0)
	ofGone := map[string]string{}
	for _, name := range []string{"gone", "web-0"} {
		ofGone[name] = tokenFor(t, ns, "sleep", "fairway", pod(t, ns, "sleep", name))
		if err := client(t).CoreV1().Pods(ns).Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
			t.Fatal(err)
		}
	}
	pod(t, ns, "sleep", "web-0") // as a StatefulSet does
	removed := pod(t, ns, "removed", "removed")
	ofRemoved := tokenFor(t, ns, "removed", "fairway", removed)
	if err := client(t).CoreV1().ServiceAccounts(ns).Delete(t.Context(), "removed", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p := pod(t, ns, "sleep", "sleep-1")
	good := tokenFor(t, ns, "sleep", "fairway", p)
	parts := strings.Split(good, ".")
	for name, row := range map[string]struct {
		token string
		want  identity.Reason
	}{
		"another audience":        {tokenFor(t, ns, "sleep", "istio-ca", p), identity.ReasonAudience},
		"the API server's own":    {tokenFor(t, ns, "sleep", "https://identity.test", p), identity.ReasonAudience},
		"expired":                 {resign(t, good, func(c map[string]any) { c["exp"], c["iat"], c["nbf"] = 1700000100, 1700000000, 1700000000 }), identity.ReasonExpired},
		"of a deleted pod":        {ofGone["gone"], identity.ReasonRevoked},
		"of a pod's predecessor":  {ofGone["web-0"], identity.ReasonRevoked},
		"of a deleted account":    {ofRemoved, identity.ReasonRevoked},
		"not bound to a pod":      {tokenFor(t, ns, "sleep", "fairway", nil), identity.ReasonNotBound},
		"of a user":               {"test", identity.ReasonMalformed},
		"signed by somebody else": {parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), identity.ReasonRejected},
		"not signed":              {parts[0] + "." + parts[1] + ".", identity.ReasonRejected},
		"altered":                 {parts[0] + "." + alter(t, parts[1], func(c map[string]any) { c["sub"] = "system:serviceaccount:kube-system:admin" }) + "." + parts[2], identity.ReasonRejected},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := authenticate(t, row.token)
			refused(t, err, row.want, row.token)
		})
	}
	if _, err := authenticate(t, resign(t, good, func(map[string]any) {})); err != nil {
		t.Errorf("a token that was signed anew and nothing else is refused, so the test of the expired one says nothing: %v", err)
	}
}

// TestReviewSaysWhy asks about tokens that the Authenticator refuses without
// asking, since the API server has the last word.
func TestReviewSaysWhy(t *testing.T) {
	ns := namespace(t)
	p := pod(t, ns, "sleep", "sleep-1")
	good := tokenFor(t, ns, "sleep", "fairway", p)
	for name, row := range map[string]struct {
		token string
		want  identity.Reason
	}{
		"another audience": {tokenFor(t, ns, "sleep", "istio-ca", p), identity.ReasonAudience},
		"expired":          {resign(t, good, func(c map[string]any) { c["exp"], c["iat"], c["nbf"] = 1700000100, 1700000000, 1700000000 }), identity.ReasonExpired},
		"empty":            {"", identity.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Review(client(t))(t.Context(), row.token, []string{"fairway"})
			refused(t, err, row.want, row.token)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Review(client(t))(ctx, good, []string{"fairway"}); err == nil || errors.As(err, new(*identity.Refusal)) {
		t.Errorf("nobody could be asked: %v, want an error that is no refusal", err)
	}
}

// TestTokenOfEndingPod is accepted: a proxy that drains still needs its
// configuration.
func TestTokenOfEndingPod(t *testing.T) {
	ns := namespace(t)
	p := pod(t, ns, "sleep", "sleep-1")
	token := tokenFor(t, ns, "sleep", "fairway", p)
	c := client(t)
	node := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: ns}, Target: corev1.ObjectReference{Kind: "Node", Name: "n1"}}
	if err := c.CoreV1().Pods(ns).Bind(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.CoreV1().Pods(ns).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := authenticate(t, token); err != nil {
		t.Error(err)
	}
}

func alter(t *testing.T, payload string, edit func(map[string]any)) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	edit(c)
	if text, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// resign edits a token and signs it as the API server would.
func resign(t *testing.T, token string, edit func(map[string]any)) string {
	t.Helper()
	parts := strings.Split(token, ".")
	text := parts[0] + "." + alter(t, parts[1], edit)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, server.accountKey, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}
