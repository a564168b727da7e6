package gateways

import (
	"io"
	"log/slog"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// TestRemoveClasses: what was made is removed, and what somebody else made, under a name
// of ours too, stays.
func TestRemoveClasses(t *testing.T) {
	server := kubetest.Start(t, kube.Options{})
	client := kubetest.Dynamic(t, server)
	at := client.Resource(classes)
	for name, controller := range map[string]string{"istio": gatewayapi.IstioController, "mine": gatewayapi.FairwayController} {
		if _, err := at.Create(t.Context(), class(name, controller), metav1.CreateOptions{FieldManager: "somebody"}); err != nil {
			t.Fatal(err)
		}
	}
	d := &term{Deployer: &Deployer{Client: client, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, told: map[string]struct{}{}, pace: flowcontrol.NewFakeAlwaysRateLimiter()}
	d.classes(t.Context())
	if _, err := at.Get(t.Context(), "fairway", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := RemoveClasses(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	for name, stays := range map[string]bool{"istio": true, "mine": true, "fairway": false} {
		if _, err := at.Get(t.Context(), name, metav1.GetOptions{}); apierrors.IsNotFound(err) == stays || err != nil && stays {
			t.Errorf("GatewayClass %s: %v, and it stays: %v", name, err, stays)
		}
	}
}
