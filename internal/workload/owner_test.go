package workload

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOwnerOf(t *testing.T) {
	owned := func(version, kind, name string, labels ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name + "-x7k2p", Labels: map[string]string{}}}
		for i := 0; i+1 < len(labels); i += 2 {
			p.Labels[labels[i]] = labels[i+1]
		}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.org/v1", Kind: "Other", Name: "no-controller"},
			{APIVersion: version, Kind: kind, Name: name, Controller: new(true)}}
		return p
	}
	for _, c := range []struct {
		what string
		pod  *corev1.Pod
		want Owner
	}{
		{"a Deployment", owned("apps/v1", "ReplicaSet", "web-5d4f", "pod-template-hash", "5d4f"), Owner{"Deployment", "web"}},
		{"a ReplicaSet of its own", owned("apps/v1", "ReplicaSet", "web-5d4f"), Owner{"ReplicaSet", "web-5d4f"}},
		{"a ReplicaSet of another hash", owned("apps/v1", "ReplicaSet", "web-5d4f", "pod-template-hash", "77"), Owner{"ReplicaSet", "web-5d4f"}},
		{"a Rollout", owned("apps/v1", "ReplicaSet", "web-77c9", "rollouts-pod-template-hash", "77c9"), Owner{"Rollout", "web"}},
		{"a run of a CronJob", owned("batch/v1", "Job", "nightly-29384760"), Owner{"CronJob", "nightly"}},
		{"a run of a CronJob with a number in its name", owned("batch/v1", "Job", "every-15-29384760"), Owner{"CronJob", "every-15"}},
		{"a Job", owned("batch/v1", "Job", "migrate"), Owner{"Job", "migrate"}},
		{"a Job of a day", owned("batch/v1", "Job", "migrate-20240101"), Owner{"Job", "migrate-20240101"}},
		{"a Job with a small number", owned("batch/v1", "Job", "migrate-7"), Owner{"Job", "migrate-7"}},
		{"a Job that is a number", owned("batch/v1", "Job", "29384760"), Owner{"Job", "29384760"}},
		{"a DeploymentConfig", owned("v1", "ReplicationController", "web-12", "deploymentconfig", "web"), Owner{"DeploymentConfig", "web"}},
		{"a ReplicationController", owned("v1", "ReplicationController", "web-12"), Owner{"ReplicationController", "web-12"}},
		{"a StatefulSet", owned("apps/v1", "StatefulSet", "db-29384760"), Owner{"StatefulSet", "db-29384760"}},
		{"a Pod", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, Owner{"Pod", "one"}},
		{"a Pod that gets a name", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "one-"}}, Owner{"Pod", "one"}},
	} {
		if got := OwnerOf(c.pod); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
