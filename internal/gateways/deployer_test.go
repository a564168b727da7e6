package gateways

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// create makes a Gateway of class istio with an HTTP listener, as the API
// server gives it back.
func create(t *testing.T, client dynamic.Interface, name string) mesh.Change {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
		"metadata": map[string]any{"name": name, "namespace": "default", "annotations": map[string]any{"networking.istio.io/service-type": "ClusterIP"}},
		"spec": map[string]any{
			"gatewayClassName": "istio", "addresses": []any{map[string]any{"type": "IPAddress", "value": "192.0.2.7"}}, "infrastructure": map[string]any{"labels": map[string]any{"team": "x"}},
			"listeners": []any{map[string]any{"name": "http", "port": int64(80), "protocol": "HTTP"}},
		},
	}}
	at := client.Resource(schema.GroupVersionResource{Group: gatewayv1.GroupName, Version: "v1", Resource: "gateways"}).Namespace("default")
	made, err := at.Create(t.Context(), u, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := &gatewayv1.Gateway{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(made.Object, o); err != nil {
		t.Fatal(err)
	}
	return mesh.Change{Ref: object.Ref{Kind: object.KindKubeGateway, Namespace: "default", Name: name}, Object: o}
}

// eventually tries until it works.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func TestDeployer(t *testing.T) {
	server := kubetest.Start(t, kube.Options{})
	client := kubetest.Dynamic(t, server)
	typed := kubetest.Client(t, server)
	// Somebody runs a Deployment that has the name of the second Gateway's.
	labels := map[string]string{"app": "theirs"}
	theirs := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "taken-istio"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
	}}
	theirs, err := typed.AppsV1().Deployments("default").Create(t.Context(), theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	world := mesh.Build([]mesh.Change{create(t, client, "front"), create(t, client, "taken")})
	d := &Deployer{Client: client, World: func() *mesh.World { return world }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	d.Signal()

	var deployment *appsv1.Deployment
	eventually(t, func() (err error) {
		deployment, err = typed.AppsV1().Deployments("default").Get(t.Context(), "front-istio", metav1.GetOptions{})
		return err
	})
	if o := deployment.OwnerReferences; len(o) != 1 || o[0].Kind != "Gateway" || o[0].Name != "front" {
		t.Errorf("the owners are %v, want the Gateway", o)
	}
	service, err := typed.CoreV1().Services("default").Get(t.Context(), "front-istio", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p := service.Spec.Ports; service.Spec.Type != corev1.ServiceTypeClusterIP || len(p) != 2 || p[1].Port != 80 || p[1].TargetPort.IntVal != 80 || service.Labels["team"] != "x" ||
		service.Spec.LoadBalancerIP != "192.0.2.7" { //nolint:staticcheck // what load balancers know
		t.Errorf("the Service is %v with labels %v", service.Spec, service.Labels)
	}
	if _, err := typed.CoreV1().ServiceAccounts("default").Get(t.Context(), "front-istio", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
	pod.Namespace = "default"
	if !inject.Wanted(pod, nil) || pod.Labels[gatewayapi.GatewayNameLabel] != "front" {
		t.Errorf("the Pods are not filled in: %v", pod.ObjectMeta)
	}
	checkRestricted(t, typed, pod)
	eventually(t, func() error {
		_, err := client.Resource(classes).Get(t.Context(), "istio", metav1.GetOptions{})
		return err
	})

	// What is somebody else's stays as it is.
	time.Sleep(2 * pause)
	now, err := typed.AppsV1().Deployments("default").Get(t.Context(), "taken-istio", metav1.GetOptions{})
	if err != nil || now.Generation != theirs.Generation || len(now.OwnerReferences) != 0 {
		t.Errorf("somebody else's Deployment was taken over: %v %v", now.OwnerReferences, err)
	}
}

// checkRestricted makes the Pod, as it is and injected, in the namespace when that is
// held to the Pod Security Standard "restricted".
func checkRestricted(t *testing.T, client kubernetes.Interface, pod *corev1.Pod) {
	t.Helper()
	label := []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)
	if _, err := client.CoreV1().Namespaces().Patch(t.Context(), "default", types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	injected, err := inject.Inject(pod, inject.DefaultParams())
	if err != nil || !injected.Changed {
		t.Fatal(err, injected.Notes)
	}
	loose := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "loose"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if _, err := client.CoreV1().Pods("default").Create(t.Context(), loose, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err == nil {
		t.Error("the namespace is not restricted")
	}
	for what, p := range map[string]*corev1.Pod{"as it is": pod, "injected": injected.Pod} {
		p = p.DeepCopy()
		p.Name = "try"
		if _, err := client.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Errorf("a Pod of a Gateway, %s: %v", what, err)
		}
	}
}
