package gateways

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/gatewayapi"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// ours are the names of what the Deployer made in the namespace.
func ours(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	names := map[string]struct{}{}
	o := metav1.ListOptions{LabelSelector: gatewayapi.GatewayNameLabel}
	deployments, err1 := client.AppsV1().Deployments("default").List(t.Context(), o)
	services, err2 := client.CoreV1().Services("default").List(t.Context(), o)
	accounts, err3 := client.CoreV1().ServiceAccounts("default").List(t.Context(), o)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, d := range deployments.Items {
		names["deployment "+d.Name] = struct{}{}
	}
	for _, s := range services.Items {
		names["service "+s.Name] = struct{}{}
	}
	for _, a := range accounts.Items {
		names["account "+a.Name] = struct{}{}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}

func three(name string) string {
	return fmt.Sprintf("account %s, deployment %s, service %s", name, name, name)
}

// TestMoves: what was made for a Gateway goes when its class or its addresses say that
// it runs elsewhere; what others made, or nobody can tell of, stays.
func TestMoves(t *testing.T) {
	server := kubetest.Start(t, kube.Options{})
	client, typed := kubetest.Dynamic(t, server), kubetest.Client(t, server)
	made := create(t, client, "moves")
	other := &gatewayv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: gatewayv1.GatewayClassSpec{ControllerName: "example.org/other"}}
	class := mesh.Change{Ref: object.Ref{Kind: object.KindGatewayClass, Name: "other"}, Object: other}
	var world atomic.Pointer[mesh.World]
	world.Store(mesh.Build([]mesh.Change{made, class}))
	d := &Deployer{Client: client, World: world.Load, PullSecrets: []string{"registry"}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	running(t, d)
	become := func(patch string) {
		t.Helper()
		u, err := client.Resource(gatewayResource).Namespace("default").Patch(t.Context(), "moves", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		o := &gatewayv1.Gateway{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, o); err != nil {
			t.Fatal(err)
		}
		world.Store(mesh.Build([]mesh.Change{{Ref: made.Ref, Object: o}, class}))
		d.Signal()
	}
	want := func(names string) {
		t.Helper()
		eventually(t, func() error {
			if got := ours(t, typed); got != names {
				return fmt.Errorf("there are %q, want %q", got, names)
			}
			return nil
		})
	}
	// Somebody else's, with the label and no owner, and one of another controller.
	labels := map[string]string{gatewayapi.GatewayNameLabel: "moves"}
	for _, s := range []*corev1.Service{
		{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Labels: labels}},
		{ObjectMeta: metav1.ObjectMeta{Name: "theirs-too", Labels: labels, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "gateway.networking.k8s.io/v1", Kind: "Gateway", Name: "moves", UID: made.Object.(*gatewayv1.Gateway).UID, Controller: new(true)}}}},
	} {
		s.Spec.Ports = []corev1.ServicePort{{Port: 80}}
		if _, err := typed.CoreV1().Services("default").Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const theirs = ", service theirs, service theirs-too"
	want(three("moves-istio") + theirs)
	deployment, err := typed.AppsV1().Deployments("default").Get(t.Context(), "moves-istio", metav1.GetOptions{})
	if err != nil || len(deployment.Spec.Template.Spec.ImagePullSecrets) != 1 || deployment.Spec.Template.Spec.ImagePullSecrets[0].Name != "registry" {
		t.Errorf("the Pods cannot pull from a registry: %v %v", err, deployment.Spec.Template.Spec.ImagePullSecrets)
	}
	become(`{"spec":{"gatewayClassName":"fairway"}}`)
	want(three("moves-fairway") + theirs)
	become(`{"spec":{"gatewayClassName":"nobody-knows-it"}}`)
	become(`{"spec":{"addresses":[{"type":"NamedAddress","value":"wrong-for-the-moment"}],"gatewayClassName":"fairway"}}`)
	become(`{"spec":{"addresses":null}}`)
	want(three("moves-fairway") + theirs)
	become(`{"spec":{"addresses":[{"type":"Hostname","value":"mine"}]}}`)
	want(strings.TrimPrefix(theirs, ", "))
	become(`{"spec":{"addresses":null}}`)
	want(three("moves-fairway") + theirs)
	become(`{"spec":{"gatewayClassName":"other"}}`)
	want(strings.TrimPrefix(theirs, ", "))
}

// running runs a Deployer until the test ends.
func running(t *testing.T, d *Deployer) {
	t.Helper()
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
}

// TestNames: Gateways may be called what Services and labels may not; the API server takes
// what is made for them. Until a Pod is ready, the Deployer says what is missing.
func TestNames(t *testing.T) {
	server := kubetest.Start(t, kube.Options{})
	client, typed := kubetest.Dynamic(t, server), kubetest.Client(t, server)
	names := []string{"shop.example.org", "1st", "storefront-production-europe-west-frankfurt-primary-gateway", strings.Repeat("long.", 40) + "name"}
	var changes []mesh.Change
	for _, name := range names {
		changes = append(changes, create(t, client, name))
	}
	world := mesh.Build(changes)
	var changed atomic.Int32
	d := &Deployer{Client: client, World: func() *mesh.World { return world }, Changed: func() { changed.Add(1) }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	running(t, d)
	var made *appsv1.DeploymentList
	eventually(t, func() (err error) {
		made, err = typed.AppsV1().Deployments("default").List(t.Context(), metav1.ListOptions{})
		if err == nil && len(made.Items) < len(names) {
			err = fmt.Errorf("%d Deployments for %d Gateways: %v", len(made.Items), len(names), d.Findings())
		}
		return err
	})
	for _, m := range world.GatewayAPI().ManagedGateways() {
		s, err := typed.CoreV1().Services("default").Get(t.Context(), m.Name, metav1.GetOptions{})
		if err != nil || s.Spec.Selector[gatewayapi.GatewayNameLabel] != gatewayapi.GatewayLabel(m.Ref.Name) {
			t.Errorf("Gateway %s: %v", m.Ref.Name, err)
		}
	}
	findings := func(want int, says string) {
		t.Helper()
		eventually(t, func() error {
			found := d.Findings()
			if len(found) != want || want > 0 && !slices.ContainsFunc(found, func(f object.Finding) bool { return f.Code == object.CodePending && strings.Contains(f.Message, says) }) {
				return fmt.Errorf("found %v, want %d and %q", found, want, says)
			}
			return nil
		})
	}
	findings(len(names), "no Pod of Deployment default/shop-example-org-istio-")
	// There is no controller here: the test says what one would.
	status := func(i int, text string) {
		t.Helper()
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON([]byte(`{"apiVersion":"apps/v1","kind":"Deployment","status":` + text + `}`)); err != nil {
			t.Fatal(err)
		}
		body, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := typed.AppsV1().Deployments("default").Patch(t.Context(), made.Items[i].Name, types.MergePatchType, body, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
	}
	status(0, `{"conditions":[{"type":"ReplicaFailure","status":"True","message":"violates PodSecurity"}]}`)
	findings(len(names), "cannot make Pods: violates PodSecurity")
	for i := range made.Items {
		status(i, `{"replicas":1,"readyReplicas":1,"conditions":[]}`)
	}
	findings(0, "")
	if changed.Load() < 3 {
		t.Errorf("whoever writes conditions heard of %d changes", changed.Load())
	}
}
