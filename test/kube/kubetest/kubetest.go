// Package kubetest gives a test an API server of its own.
package kubetest

import (
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/test/kube"
)

// Start is a kube-apiserver that lives as long as the test. With -short the
// test is skipped.
func Start(t *testing.T, options kube.Options) *kube.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a kube-apiserver; not with -short")
	}
	server, err := kube.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// Client is a client of Kubernetes' own kinds.
func Client(t *testing.T, server *kube.Server) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(server.REST)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Dynamic is a client of all kinds.
func Dynamic(t *testing.T, server *kube.Server) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(server.REST)
	if err != nil {
		t.Fatal(err)
	}
	return client
}
