package snapshot_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/snapshot"
)

// TestDeletedPodLosesItsStream says that a credential lasts as long as its pod,
// and that a pod which the world does not know yet is not a deleted one.
func TestDeletedPodLosesItsStream(t *testing.T) {
	p := newPlane(t)
	p.store.Synced()
	p.settle(t, 0)
	id := func(uid string) snapshot.Identity {
		return snapshot.Identity{Namespace: "a", ServiceAccount: "default", Pod: "web-0", PodUID: uid}
	}
	try := func(i snapshot.Identity) (*snapshot.View, error) {
		return p.engine.Attach(t.Context(), &snapshot.Client{NodeID: i.PodUID, Role: snapshot.RoleSidecar, Namespace: "a", Pod: "web-0", IP: "10.0.0.1", Identity: i})
	}
	attach := func(i snapshot.Identity) *snapshot.View {
		t.Helper()
		v, err := try(i)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		return v
	}
	step := 0
	pod := func(uid types.UID, ready corev1.ConditionStatus) {
		t.Helper()
		change := mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: "web-0"}}
		if uid != "" {
			change.Object = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web-0", UID: uid},
				Status: corev1.PodStatus{PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
		}
		p.store.Submit([]mesh.Change{change})
		step++
		p.settle(t, step)
	}

	first, unproven := attach(id("one")), attach(snapshot.Identity{}) // before anything is known of the pod
	pod("one", corev1.ConditionFalse)
	pod("one", corev1.ConditionTrue)
	if err := first.Why(); err != nil {
		t.Fatalf("the stream of a pod that is there was ended: %v", err)
	}
	second := attach(id("two")) // its successor is faster than the news of it
	pod("two", corev1.ConditionFalse)
	if err := first.Why(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "pod a/web-0") {
		t.Errorf("after another pod took its name: %v", err)
	}
	if err := second.Why(); err != nil {
		t.Errorf("the successor's stream was ended: %v", err)
	}
	pod("", "")
	if second.Why() == nil {
		t.Error("the stream of a deleted pod goes on")
	}
	for _, uid := range []string{"one", "two"} { // the API server may say yes for some seconds more
		if _, err := try(id(uid)); status.Code(err) != codes.Unauthenticated {
			t.Errorf("the credential of a deleted pod: %v", err)
		}
	}
	pod("two", corev1.ConditionTrue) // it was only away from the world
	attach(id("two"))
	if err := unproven.Why(); err != nil {
		t.Errorf("a stream that proves no pod was ended: %v", err)
	}
}

func TestProofAndClaim(t *testing.T) {
	p := newPlane(t)
	p.store.Synced()
	p.settle(t, 0)
	proven := snapshot.Identity{Namespace: "a", ServiceAccount: "anna", Pod: "web-0", PodUID: "one"}
	for _, c := range []struct{ namespace, pod, account, says string }{
		{"a", "web-0", "anna", ""},
		{"a", "web-0", "", ""},
		{"b", "web-0", "anna", `its namespace is "b", and its credential is that of pod a/web-0 of service account anna`},
		{"a", "web-1", "anna", `its pod is "web-1", and its credential is that of pod a/web-0`},
		{"a", "web-0", "bob", `its service account is "bob"`},
	} {
		v, err := p.engine.Attach(t.Context(), &snapshot.Client{Role: snapshot.RoleSidecar, Namespace: c.namespace, Pod: c.pod, ServiceAccount: c.account, IP: "10.0.0.1", Identity: proven})
		if err == nil {
			v.Close()
		}
		if c.says == "" && err != nil || c.says != "" && (status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestProofAndWorld walks what a node id claims against what the world knows of
// the pods, for a credential that names a pod (a token) and one that does not
// (a certificate).
func TestProofAndWorld(t *testing.T) {
	p := newPlane(t)
	p.store.Synced()
	var changes []mesh.Change
	for _, x := range []struct{ name, account, address string }{{"web-0", "anna", "10.0.0.1"}, {"db-0", "bob", "10.0.0.2"}} {
		changes = append(changes, mesh.Change{Ref: object.Ref{Kind: object.KindPod, Namespace: "a", Name: x.name}, Object: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: x.name, UID: types.UID(x.name)}, Spec: corev1.PodSpec{ServiceAccountName: x.account},
			Status: corev1.PodStatus{PodIP: x.address}}})
	}
	p.store.Submit(changes)
	p.settle(t, 0)
	certificate := snapshot.Identity{Namespace: "a", ServiceAccount: "anna"}
	token := func(pod, uid string) snapshot.Identity {
		return snapshot.Identity{Namespace: "a", ServiceAccount: "anna", Pod: pod, PodUID: uid}
	}
	for _, c := range []struct {
		name    string
		proof   snapshot.Identity
		role    snapshot.Role
		pod, ip string
		want    codes.Code
	}{
		{"its own pod", certificate, snapshot.RoleSidecar, "web-0", "10.0.0.1", codes.OK},
		{"its own pod as a gateway", certificate, snapshot.RoleRouter, "web-0", "10.0.0.1", codes.OK},
		{"a pod of another account", certificate, snapshot.RoleSidecar, "db-0", "10.0.0.2", codes.PermissionDenied},
		{"a pod of another account as a gateway", certificate, snapshot.RoleRouter, "db-0", "10.0.0.2", codes.PermissionDenied},
		{"a pod of another account with its own address", certificate, snapshot.RoleSidecar, "db-0", "10.0.0.1", codes.PermissionDenied},
		{"a pod that nobody knows", certificate, snapshot.RoleSidecar, "new-0", "10.0.0.9", codes.OK},
		{"a pod that nobody knows with another's address", certificate, snapshot.RoleSidecar, "new-0", "10.0.0.2", codes.PermissionDenied},
		{"a pod that nobody knows with another's address, mapped", certificate, snapshot.RoleSidecar, "new-0", "::ffff:10.0.0.2", codes.PermissionDenied},
		{"a token", token("web-0", "web-0"), snapshot.RoleSidecar, "web-0", "10.0.0.1", codes.OK},
		{"a token as a gateway", token("web-0", "web-0"), snapshot.RoleRouter, "web-0", "10.0.0.1", codes.OK},
		{"a token of a pod that is not known yet", token("new-0", "new-0"), snapshot.RoleSidecar, "new-0", "10.0.0.9", codes.OK},
		{"a token of a pod that is not known yet, with another's address", token("new-0", "new-0"), snapshot.RoleSidecar, "new-0", "10.0.0.2", codes.PermissionDenied},
		{"a token of a pod that is not known yet, as a gateway", token("new-0", "new-0"), snapshot.RoleRouter, "new-0", "10.0.0.9", codes.Unavailable},
	} {
		v, err := p.engine.Attach(t.Context(), &snapshot.Client{NodeID: c.name, Role: c.role, Namespace: "a", Pod: c.pod, IP: c.ip, Identity: c.proof})
		if err == nil {
			v.Close()
		}
		if status.Code(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}
