package check

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// inCluster is what the cluster of TestCluster holds. The Deployment has no pod there.
const inCluster = `
{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "extensionProviders: [{name: logs, envoyFileAccessLog: {path: /dev/stdout}}]"}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: front, namespace: default}, spec: {selector: {istio: front}, ports: [{name: https, port: 443, targetPort: 8443}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: front-1, namespace: default, labels: {istio: front}}, spec: {containers: [{name: istio-proxy, image: envoy}]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: there, namespace: default}, type: kubernetes.io/tls, stringData: {tls.crt: "no", tls.key: "no"}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: old, namespace: default}, spec: {hosts: [web], http: [{route: [{destination: {host: gone}}]}]}}
`

// toCheck is what people are about to apply there.
const toCheck = `
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: new, namespace: default}, spec: {hosts: [web.example], http: [{route: [{destination: {host: web, subset: v2}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front, namespace: default}, spec: {selector: {istio: front}, servers: [
  {port: {number: 8443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {mode: SIMPLE, credentialName: there}},
  {port: {number: 8443, name: https2, protocol: HTTPS}, hosts: [b.example], tls: {mode: SIMPLE, credentialName: absent}}]}}
---
{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: logs, namespace: default}, spec: {accessLogging: [{providers: [{name: logs}]}]}}
`

// TestCluster looks at objects beside those of a real API server, at those alone, and at
// both without the right to read Secrets.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real API server")
	}
	server := kubetest.Start(t, kube.Options{RBAC: true})
	applyAll(t, server, inCluster)
	file := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(file, []byte(toCheck), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		args []string
		says []string // in this order
		not  []string
	}{
		{"objects beside a cluster", []string{file, "--kubeconfig", server.Kubeconfig},
			[]string{"Secret default/absent: ", "Secret default/there data[tls.key]", `VirtualService default/new spec.http[0].route[0].destination.subset: no DestinationRule in force for host web.default.svc.cluster.local defines subset "v2"`, "3 objects"},
			[]string{"not looked up", "default/old", "Telemetry"}},
		{"a cluster", []string{"--kubeconfig", server.Kubeconfig}, []string{"VirtualService default/old"}, []string{"not looked up", "default/new"}},
		{"without the right to read Secrets", []string{file, "--kubeconfig", reader(t, server)},
			[]string{"not looked up, since the API server refuses to tell them: Secrets (default/absent, default/there)", "VirtualService default/new"}, []string{"warning  Secret"}},
	} {
		cmd := NewCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(c.args)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		rest := out.String()
		for _, want := range c.says {
			_, after, found := strings.Cut(rest, want)
			if !found {
				t.Errorf("%s: says\n%s\nand not %q, or not in its place", c.what, &out, want)
				break
			}
			rest = after
		}
		for _, no := range c.not {
			if strings.Contains(out.String(), no) {
				t.Errorf("%s: says\n%s\nwith %q", c.what, &out, no)
			}
		}
	}
}

// applyAll creates objects, and what of their status is given.
func applyAll(t *testing.T, server *kube.Server, text string) {
	t.Helper()
	client := kubetest.Dynamic(t, server)
	d, err := discovery.NewDiscoveryClientForConfig(server.REST)
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName("istio-system")
	all := []*unstructured.Unstructured{namespace}
	for doc := range strings.SplitSeq(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	for _, o := range all {
		m, err := mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
		if err != nil {
			t.Fatal(err)
		}
		resource := client.Resource(m.Resource)
		// The ServiceAccounts of a new namespace come in a moment.
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if m.Scope.Name() == apimeta.RESTScopeNameRoot {
				_, err = resource.Create(t.Context(), o, metav1.CreateOptions{})
			} else {
				_, err = resource.Namespace(o.GetNamespace()).Create(t.Context(), o, metav1.CreateOptions{})
			}
			if err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// reader is a kubeconfig of somebody who may read everything that `view` of Kubernetes
// and of Istio lets people read: no Secrets.
func reader(t *testing.T, server *kube.Server) string {
	t.Helper()
	client := kubetest.Client(t, server)
	ctx := context.Background()
	look := []string{"get", "list", "watch"}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{
		{Verbs: look, APIGroups: []string{""}, Resources: []string{"configmaps", "endpoints", "namespaces", "nodes", "pods", "services", "serviceaccounts"}},
		{Verbs: look, APIGroups: []string{"apiextensions.k8s.io", "discovery.k8s.io", "gateway.networking.k8s.io", "networking.istio.io", "networking.k8s.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io"}, Resources: []string{"*"}},
	}}
	if _, err := client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reader"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "reader"}}}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(server.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.Impersonate = "reader"
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}
