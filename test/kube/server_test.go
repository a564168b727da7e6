package kube_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

func TestServer(t *testing.T) {
	s := kubetest.Start(t, kube.Options{})
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	namespaces, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(namespaces.Items) == 0 {
		t.Fatalf("namespaces: %v, %v", namespaces, err)
	}
	for _, path := range []string{"/apis/networking.istio.io/v1alpha3/virtualservices", "/apis/gateway.networking.k8s.io/v1/httproutes"} {
		if _, err := client.RESTClient().Get().AbsPath(path).DoRaw(t.Context()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	s.Stop()
	if _, err := client.ServerVersion(); err == nil {
		t.Error("the API server answers after Stop")
	}
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := client.ServerVersion(); err != nil || v.Major != "1" {
		t.Errorf("after Resume: %v, %v", v, err)
	}
	s.Close()
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
	if _, err := (&http.Client{Timeout: time.Second}).Get(s.REST.Host + "/readyz"); err == nil {
		t.Error("the API server answers after Close")
	}
}
