// Package workload says by which name people know the workload behind a Pod. The
// object that made the Pod is often one that no person made: a ReplicaSet of a
// Deployment, one run of a CronJob. Injection and the mesh ask here, so that labels,
// metrics and node ids agree.
//
// It looks at the Pod alone: whoever asks has no more, or not yet.
package workload

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Owner is what people call it: a Deployment rather than its ReplicaSet.
type Owner struct{ Kind, Name string }

// OwnerOf is the workload of a Pod: what its controller belongs to, else the controller,
// else the Pod itself.
func OwnerOf(pod *corev1.Pod) Owner {
	c := metav1.GetControllerOfNoCopy(pod)
	if c == nil {
		if pod.Name != "" {
			return Owner{"Pod", pod.Name}
		}
		return Owner{"Pod", strings.TrimSuffix(pod.GenerateName, "-")}
	}
	switch c.Kind {
	case "ReplicaSet":
		for _, of := range []struct{ label, kind string }{
			{"pod-template-hash", "Deployment"},
			{"rollouts-pod-template-hash", "Rollout"}, // of Argo
		} {
			if name, ok := strings.CutSuffix(c.Name, "-"+pod.Labels[of.label]); ok && name != "" && pod.Labels[of.label] != "" {
				return Owner{of.kind, name}
			}
		}
	case "Job":
		if name, ok := schedule(c.Name); ok {
			return Owner{"CronJob", name}
		}
	case "ReplicationController": // of a DeploymentConfig of OpenShift: NAME-REVISION
		if name := pod.Labels["deploymentconfig"]; name != "" {
			if revision, ok := strings.CutPrefix(c.Name, name+"-"); ok && digits(revision) {
				return Owner{"DeploymentConfig", name}
			}
		}
	}
	return Owner{c.Kind, c.Name}
}

// Minutes since 1970 in which a CronJob can have begun a run: from the year 2015,
// before which there were none, to 2160. A date, such as 20240101, is not among them.
const firstMinute, lastMinute = 24_000_000, 99_999_999

// schedule is the CronJob that made a Job of that name, which is then NAME-MINUTES.
func schedule(job string) (name string, ok bool) {
	at := strings.LastIndexByte(job, '-')
	if at < 1 || !digits(job[at+1:]) {
		return "", false
	}
	minutes, err := strconv.Atoi(job[at+1:])
	return job[:at], err == nil && minutes >= firstMinute && minutes <= lastMinute
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
