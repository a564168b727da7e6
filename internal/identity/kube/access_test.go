package kube

import (
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/test/kube"
	"github.com/fairway-mesh/fairway/test/kube/kubetest"
)

// TestAccess asks an API server with RBAC about two accounts, of which one is
// bound to a role as the chart's.
func TestAccess(t *testing.T) {
	s := kubetest.Start(t, kube.Options{NoCRDs: true, RBAC: true})
	client := kubetest.Client(t, s)
	_, err := client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "fairway-debug"},
		Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/debug/*"}, Verbs: []string{"get"}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "fairway-debug"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "fairway-debug"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "operator"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token := func(account string) string {
		if _, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		r, err := client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status.Token
	}
	operator, stranger := token("operator"), token("stranger")
	a := NewAccess(client)
	// The authorizer learns of a binding by a watch.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, allowed, err := a.Allowed(t.Context(), operator, "/debug/syncz"); err != nil || allowed || time.Now().After(deadline) {
			break
		}
	}
	for _, c := range []struct {
		name, token, path string
		known, allowed    bool
	}{
		{"the operator", operator, "/debug/syncz", true, true},
		{"the operator elsewhere", operator, "/metrics", true, false},
		{"a stranger", stranger, "/debug/syncz", true, false},
		{"nobody", "nonsense", "/debug/syncz", false, false},
	} {
		known, allowed, err := a.Allowed(t.Context(), c.token, c.path)
		if err != nil || known != c.known || allowed != c.allowed {
			t.Errorf("%s: known %t, allowed %t, %v", c.name, known, allowed, err)
		}
	}
}
