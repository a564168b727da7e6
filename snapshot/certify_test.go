package snapshot

import (
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/random"
	"github.com/fairway-mesh/fairway/translate"
)

// TestCertificatesAreTriedAgain: a proxy whose certificate could not be issued when it
// connected is given one when that is possible again, over the stream that it has.
func TestCertificatesAreTriedAgain(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	out := make(chan *mesh.World, 1)
	store := mesh.NewStore(log, func(w *mesh.World, _ *mesh.Dirty) { out <- w })
	go func() { _ = store.Run(t.Context()) }()
	store.Submit([]mesh.Change{{Ref: object.Ref{Kind: object.KindPod, Namespace: "shop", Name: "web-1"}, Object: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1"}, Spec: corev1.PodSpec{ServiceAccountName: "web"}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.1.1"}}}})
	store.Synced()
	var sick atomic.Bool
	sick.Store(true)
	chain, key := random.Certificate()
	e := NewEngine(log, &Certificates{
		Acquire: func(CertificateKey) (func(), error) {
			if sick.Load() {
				return nil, errors.New("the authority is away")
			}
			return func() {}, nil
		},
		Current: func(CertificateKey) (c, k, roots []byte, err error) { return chain, key, chain, nil },
	}, nil)
	e.Update(<-out, &mesh.Dirty{All: true})
	v, err := e.Attach(t.Context(), &Client{NodeID: "web-1", Role: RoleSidecar, Namespace: "shop", Pod: "web-1", IP: "10.0.1.1"})
	if err != nil {
		t.Fatal(err)
	}
	has := func() bool { return v.Current().Get(Secret, translate.WorkloadSecretName) != nil }
	e.certify()
	if has() {
		t.Fatal("there is a certificate that nobody issued")
	}
	sick.Store(false)
	e.certify()
	if !has() {
		t.Error("the certificate is not tried again until the proxy reconnects")
	}
}
